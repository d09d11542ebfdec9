//! Programs that xtask starts.
//!
//! A command -> its output, or an error that names the command. Must not know what any of them is for.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
};

use anyhow::{Context as _, Result, bail};

/// The command as one would type it, without the environment.
pub fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or(command.get_program()).to_string_lossy();
    let words = std::iter::once(program).chain(command.get_args().map(OsStr::to_string_lossy));
    words.collect::<Vec<_>>().join(" ")
}

/// Shows the command, runs it with our own output, and hands back how it ended.
pub fn status(command: &mut Command) -> Result<ExitStatus> {
    println!("$ {}", shown(command));
    command.status().with_context(|| format!("failed to run {}", shown(command)))
}

/// Shows the command, runs it with our own output, and fails when it does.
pub fn run(command: &mut Command) -> Result<()> {
    let status = status(command)?;
    if !status.success() {
        bail!("failed to run `{}`: {status}", shown(command));
    }
    Ok(())
}

/// Runs the command quietly and hands back its standard output.
pub fn capture(command: &mut Command) -> Result<String> {
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("failed to run {}", shown(command)))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("failed to run `{}`: {}\n{}", shown(command), output.status, tail(&said, 10));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The last `lines` lines of a text.
pub fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.trim_end().lines().collect();
    all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
}

/// Where a program is on PATH.
pub fn find(program: &str) -> Option<PathBuf> {
    find_in(&env::var_os("PATH")?, program)
}

fn find_in(path: &OsStr, program: &str) -> Option<PathBuf> {
    env::split_paths(path).map(|dir| dir.join(program)).find(|file| is_executable(file))
}

/// True for a file that we may run.
pub fn is_executable(file: &Path) -> bool {
    file.is_file() && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_it_is_typed() {
        assert_eq!(shown(Command::new("/opt/bin/cargo").args(["fmt", "--all"])), "cargo fmt --all");
    }

    #[test]
    fn the_tail_of_a_short_text_is_all_of_it() {
        assert_eq!(tail("a\nb\n", 10), "a\nb");
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc");
        assert_eq!(tail("", 2), "");
    }

    #[test]
    fn a_program_is_found_in_path_order() {
        assert_eq!(find_in(OsStr::new("/nowhere:/bin"), "sh"), Some(PathBuf::from("/bin/sh")));
        assert_eq!(find_in(OsStr::new("/nowhere"), "sh"), None);
    }
}
