//! How a verb ends.
//!
//! Result of a verb -> a message and an exit code. Must not decide what counts as a failure.

use std::{fmt, process::ExitCode};

/// The exit code that says "not permitted", the same as memtrace's own.
pub const NOT_PERMITTED: u8 = 4;

/// Something this machine or this user does not give; nothing is broken.
#[derive(Debug)]
pub struct NotPermitted(pub String);

impl fmt::Display for NotPermitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotPermitted {}

/// How another part of xtask ended, which told why itself.
#[derive(Debug)]
pub struct Told(pub u8);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it ended with {}", self.0)
    }
}

impl std::error::Error for Told {}

/// Says what went wrong, if anything did.
pub fn exit_code(done: anyhow::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Told>() => ExitCode::from(code_of(&error)),
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(code_of(&error))
        }
    }
}

fn code_of(error: &anyhow::Error) -> u8 {
    if let Some(Told(code)) = error.downcast_ref() {
        return *code;
    }
    if error.chain().any(|cause| cause.is::<NotPermitted>()) { NOT_PERMITTED } else { 1 }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_missing_permission_is_seen_through_its_context() {
        let error = anyhow::Error::new(NotPermitted("needs root".to_owned())).context("failed to demo");
        assert_eq!(code_of(&error), NOT_PERMITTED);
        let wrapped = Err::<(), _>(NotPermitted("needs root".to_owned())).context("failed").unwrap_err();
        assert_eq!(code_of(&wrapped), NOT_PERMITTED);
    }

    #[test]
    fn any_other_error_is_a_failure() {
        assert_eq!(code_of(&anyhow::anyhow!("failed")), 1);
    }
}
