//! Programs to be run: proof/programs.toml.
//!
//! TOML -> [`Programs`], or what is wrong with it; what this machine lacks for one.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use anyhow::{Context as _, Result};
use serde::Deserialize;
use xtask_base::process;

/// All of them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Programs {
    /// Programs that give nothing up when memory is short.
    pub(crate) firm: Vec<Program>,
    /// Programs that do give something up, with a setting.
    pub(crate) giving: Vec<Giving>,
}

/// A program that prints `ready` when it is at rest, and the setting that lets it give memory back.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Giving {
    #[serde(flatten)]
    pub(crate) program: Program,
    /// Whose free memory it is.
    pub(crate) allocator: String,
    /// `$SETTING` without the setting.
    #[serde(default)]
    pub(crate) base: String,
    /// `$SETTING` with it.
    pub(crate) setting: String,
}

/// A command, run by `sh` in a directory of its own.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Program {
    pub(crate) name: String,
    /// What it does, for the table.
    pub(crate) about: String,
    /// Programs on PATH, or files with an absolute path.
    pub(crate) needs: Vec<String>,
    /// Files that it has in its directory.
    #[serde(default)]
    pub(crate) files: BTreeMap<String, String>,
    /// What is done before, unmeasured.
    #[serde(default)]
    pub(crate) prepare: String,
    pub(crate) run: String,
}

impl AsRef<Self> for Program {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl AsRef<Program> for Giving {
    fn as_ref(&self) -> &Program {
        &self.program
    }
}

impl Programs {
    /// # Errors
    /// When the text is something else.
    pub(crate) fn read(text: &str) -> Result<Self> {
        basic_toml::from_str(text).context("failed to read proof/programs.toml")
    }
}

impl Program {
    /// The first thing that this machine lacks for it.
    pub(crate) fn lacks(&self) -> Option<&str> {
        let is_there = |need: &str| match need.starts_with('/') {
            true => Path::new(need).exists(),
            false => process::find(need).is_some(),
        };
        self.needs.iter().map(String::as_str).find(|need| !is_there(need))
    }

    /// Makes ready what it needs in its directory.
    ///
    /// # Errors
    /// When that fails.
    pub(crate) fn prepare(&self, dir: &Path) -> Result<()> {
        for (name, text) in &self.files {
            fs::write(dir.join(name), text).with_context(|| format!("failed to write {name}"))?;
        }
        if !self.prepare.is_empty() {
            process::capture(Command::new("sh").args(["-ec", &self.prepare]).current_dir(dir))?;
        }
        Ok(())
    }

    /// The words that run it.
    pub(crate) fn words(&self) -> [&str; 3] {
        ["sh", "-c", &self.run]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_right_and_names_differ() {
        let all = Programs::read(include_str!("../../../proof/programs.toml")).unwrap();
        let mut names: Vec<&str> = all.firm.iter().map(|program| program.name.as_str()).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(count >= 20, "{count}");
        assert!(Programs::read("[[firm]]\nname = \"x\"").is_err());
    }

    #[test]
    fn what_is_missing_is_named() {
        let program = |needs: &[&str]| Program {
            name: String::new(),
            about: String::new(),
            needs: needs.iter().map(|&need| need.to_owned()).collect(),
            files: BTreeMap::new(),
            prepare: String::new(),
            run: String::new(),
        };
        assert_eq!(program(&["sh", "/proc/self/stat"]).lacks(), None);
        assert_eq!(program(&["sh", "/proc/self/absent"]).lacks(), Some("/proc/self/absent"));
    }
}
