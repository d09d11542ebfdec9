//! `memtrace completions` and the hidden `memtrace man`: shell completions and manual pages.
//!
//! The command line's own description -> a script, or pages. Must not know any command by name.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::{Args, Command, CommandFactory as _};
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

/// Arguments of `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Directory for the pages: memtrace.1, memtrace-top.1 and so on.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
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

/// Writes the pages.
///
/// # Errors
/// When one cannot be written.
pub fn man(args: &ManArgs) -> Result<(), Failure> {
    fs::create_dir_all(&args.directory)
        .with_context(|| format!("failed to create {}", args.directory.display()))?;
    let mut all = Cli::command();
    all.build();
    page(&all, "memtrace", &args.directory)?;
    for command in all.get_subcommands().filter(|command| !command.is_hide_set()) {
        page(command, &format!("memtrace-{}", command.get_name()), &args.directory)?;
    }
    Ok(())
}

fn page(command: &Command, name: &str, directory: &Path) -> anyhow::Result<()> {
    let file = directory.join(format!("{name}.1"));
    let mut page = Vec::new();
    // It names itself by its parent too, once it is built.
    clap_mangen::Man::new(command.clone())
        .render(&mut page)
        .with_context(|| format!("failed to render the manual page of {name}"))?;
    fs::write(&file, page).with_context(|| format!("failed to write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::ValueEnum as _;

    use super::{CompletionsArgs, ManArgs, Shell, man, run};

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

    #[test]
    fn every_command_that_is_shown_has_a_page() {
        let dir = tempfile::tempdir().unwrap();
        man(&ManArgs { directory: dir.path().join("man") }).unwrap();
        let page = |name: &str| fs::read_to_string(dir.path().join("man").join(name)).unwrap();
        assert!(page("memtrace.1").contains(".TH memtrace 1"));
        assert!(page("memtrace-top.1").contains("filter"));
        assert!(!dir.path().join("man/memtrace-man.1").exists());
    }
}
