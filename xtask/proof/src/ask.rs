//! `memtrace run`, and what it says.
//!
//! A command and options -> [`Page`].

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};
use serde::Deserialize;
use xtask_base::process;

use super::program::Program;

/// A memtrace to be judged.
pub(crate) struct Memtrace {
    pub(crate) bin: PathBuf,
}

/// What is read of a page.
#[derive(Debug, Deserialize)]
pub(crate) struct Page {
    pub(crate) advised: Option<Advised>,
    pub(crate) not_advised: Option<String>,
    pub(crate) runs: Vec<Run>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Advised {
    pub(crate) limit_bytes: u64,
    pub(crate) peak_bytes: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Run {
    pub(crate) end: End,
    pub(crate) seconds: f64,
    pub(crate) oom_kills: Option<u64>,
}

#[derive(Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum End {
    Exited(u8),
    Signalled(u8),
}

impl Run {
    /// Ended as it should, with no process killed.
    pub(crate) fn lived(&self) -> bool {
        self.end == End::Exited(0) && self.oom_kills == Some(0)
    }

    /// At least one process was killed for memory.
    pub(crate) fn died(&self) -> bool {
        self.oom_kills.is_some_and(|kills| kills > 0)
    }
}

impl Memtrace {
    /// The words before a command's own.
    pub(crate) fn words(&self, options: &[&str], page: &Path) -> Command {
        let mut command = Command::new(&self.bin);
        command.args(["run", "--alone"]).args(options).arg("--page").arg(page).arg("--");
        command
    }

    /// Runs a program in a directory, and reads the page.
    ///
    /// # Errors
    /// When there is no page.
    pub(crate) fn run(&self, program: &Program, dir: &Path, options: &[&str]) -> Result<Page> {
        let file = dir.join("page.json");
        let options = [options, &["-o", "json"]].concat();
        let mut command = self.words(&options, &file);
        command.args(program.words()).current_dir(dir).stdin(Stdio::null()).stdout(Stdio::null());
        let output =
            command.output().with_context(|| format!("failed to run {}", process::shown(&command)))?;
        let text = std::fs::read_to_string(&file).with_context(|| {
            format!("there is no page: {}", process::tail(&String::from_utf8_lossy(&output.stderr), 3))
        })?;
        std::fs::remove_file(&file).context("failed to remove the page")?;
        serde_json::from_str(&text).context("failed to read the page")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_lived_died_or_failed_by_itself() {
        let run = |json: &str| serde_json::from_str::<Run>(json).unwrap();
        let lived = run(r#"{"end": {"exited": 0}, "seconds": 1.0, "oom_kills": 0}"#);
        assert!(lived.lived() && !lived.died());
        let died = run(r#"{"end": {"signalled": 9}, "seconds": 1.0, "oom_kills": 1}"#);
        assert!(died.died() && !died.lived());
        let failed = run(r#"{"end": {"exited": 3}, "seconds": 1.0, "oom_kills": 0}"#);
        assert!(!failed.died() && !failed.lived());
        let unknown = run(r#"{"end": {"exited": 0}, "seconds": 1.0, "oom_kills": null}"#);
        assert!(!unknown.died() && !unknown.lived());
    }
}
