//! The hidden `memtrace man`: what man(1) knows of the commands.
//!
//! The command line's own description -> pages. Must not know any command by name.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::{Args, Command, CommandFactory as _};

use super::{Cli, Failure};

/// Arguments of `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Directory for the pages: memtrace.1, memtrace-top.1 and so on.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}

/// Writes the pages.
///
/// # Errors
/// When one cannot be written.
pub fn run(args: &ManArgs, _: &mut dyn Write) -> Result<(), Failure> {
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
    use std::{fs, io};

    use super::{ManArgs, run};

    #[test]
    fn every_command_that_is_shown_has_a_page() {
        let dir = tempfile::tempdir().unwrap();
        run(&ManArgs { directory: dir.path().join("man") }, &mut io::sink()).unwrap();
        let page = |name: &str| fs::read_to_string(dir.path().join("man").join(name)).unwrap();
        assert!(page("memtrace.1").contains(".TH memtrace 1"));
        assert!(page("memtrace-top.1").contains("filter"));
        assert!(!dir.path().join("man/memtrace-man.1").exists());
    }
}
