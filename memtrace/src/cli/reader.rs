//! The hidden `memtrace reader`: a process that reads other processes for the daemon, and may die of it.
//!
//! A socket as its standard input -> answers on it.

use std::io::{Write, stdin};

use anyhow::Context as _;
use clap::Args;

use super::Failure;
use crate::reader::child;

/// Arguments of `reader`: none.
#[derive(Debug, Args)]
pub struct ReaderArgs {}

/// Answers until the daemon has no more questions.
///
/// # Errors
/// When standard input is no socket, or this process cannot give up what it does not need.
pub fn run(_: &ReaderArgs, _: &mut dyn Write) -> Result<(), Failure> {
    Ok(child::serve(stdin(), "/proc")
        .context("failed to read for the daemon, which alone starts this command")?)
}
