//! Verbs that are programs of their own: whoever wants the demo need not build them.
//!
//! A verb and its words -> the program, run with them. Must not know what the words mean.

use std::ffi::OsString;

use anyhow::{Result, bail};
use xtask_base::{
    outcome::{NOT_PERMITTED, NotPermitted, Told},
    process,
    workspace::Workspace,
};

use crate::setup;

/// Whatever the program takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    words: Vec<OsString>,
}

/// A package of this workspace that is a verb.
pub(crate) struct Part {
    package: &'static str,
}

pub(crate) const VM: Part = Part { package: "xtask-vm" };
pub(crate) const BENCH: Part = Part { package: "xtask-bench" };
pub(crate) const INCIDENTS: Part = Part { package: "xtask-incidents" };
pub(crate) const PROOF: Part = Part { package: "xtask-proof" };

impl Part {
    /// Runs it in our place.
    pub(crate) fn hand_over(&self, args: &Args) -> Result<()> {
        let workspace = Workspace::find()?;
        let is_question =
            |word: &OsString| ["-h", "--help", "-V", "--version"].iter().any(|known| word == known);
        if !args.words.iter().any(is_question) {
            setup::ensure(&workspace)?;
        }
        match self.code(&workspace, &args.words)? {
            0 => Ok(()),
            code => Err(Told(code).into()),
        }
    }

    /// Runs it as a stage of another verb.
    pub(crate) fn run(&self, workspace: &Workspace, words: &[OsString]) -> Result<()> {
        match self.code(workspace, words)? {
            0 => Ok(()),
            NOT_PERMITTED => Err(NotPermitted(format!("{} says above what it needs", self.package)).into()),
            code => bail!("{} failed with {code}", self.package),
        }
    }

    fn code(&self, workspace: &Workspace, words: &[OsString]) -> Result<u8> {
        let mut cargo = workspace.cargo();
        cargo.args(["run", "--quiet", "--package", self.package, "--"]).args(words);
        let status = process::status(&mut cargo)?;
        // None where a signal ended it.
        Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
    }
}
