//! `build`: the binary that is shipped.
//!
//! Workspace -> target/release/memtrace. Must not know how: `xtask_base::build` does, for all who need it.

use anyhow::Result;
use xtask_base::{build, workspace::Workspace};

use crate::setup;

/// Build target/release/memtrace, one static binary that contains the kernel programs.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo xtask build && target/release/memtrace doctor")]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args) -> Result<()> {
    let workspace = Workspace::find()?;
    setup::ensure(&workspace)?;
    build::build(&workspace)
}
