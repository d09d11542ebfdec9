//! `memtrace completions`: what a shell knows of the commands.
//!
//! The command line's own description -> a script. Must not know any command by name.

use std::io::Write;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, Failure};

/// Arguments of `completions`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  memtrace completions bash > /etc/bash_completion.d/memtrace
  memtrace completions zsh > /usr/share/zsh/vendor-completions/_memtrace
  memtrace completions fish > ~/.config/fish/completions/memtrace.fish")]
pub struct CompletionsArgs {
    /// Shell to print the script for.
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// When it cannot be written.
pub fn run(args: &CompletionsArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "memtrace", &mut script);
    out.write_all(&script)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::{CompletionsArgs, Shell, run};

    #[test]
    fn every_shell_gets_a_script_that_knows_the_commands() {
        for shell in Shell::value_variants() {
            let mut script = Vec::new();
            run(&CompletionsArgs { shell: *shell }, &mut script).unwrap();
            let script = String::from_utf8(script).unwrap();
            for word in ["daemon", "top", "explain", "state-dir"] {
                assert!(script.contains(word), "{shell}: no {word}");
            }
        }
    }
}
