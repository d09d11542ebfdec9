//! The hidden `memtrace reader`: a process that reads other processes for the daemon, and may crash.
//!
//! Requests on a socket, its standard input -> answers on it.

use std::io::{Write, stdin};

use anyhow::Context as _;
use clap::Args;

use super::Failure;
use crate::{daemon::setup::malloc, reader::child};

/// Arguments of `reader`: none.
#[derive(Debug, Args)]
pub struct ReaderArgs {}

/// Answers requests until the daemon closes the socket.
///
/// # Errors
/// When standard input is not a socket, or the sandbox cannot be entered.
pub fn run(_: &ReaderArgs, _: &mut dyn Write) -> Result<(), Failure> {
    malloc::keep_small();
    Ok(child::serve(stdin(), "/proc")
        .context("failed to read for the daemon, which alone starts this command")?)
}
