//! `memtrace health`: whether the daemon watches, for probes of an image that has no shell.

use std::io::Write;

use clap::Args;

use super::{Failure, args::SocketArgs};
use crate::api::{client, v1::path};

/// Arguments of `health`.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 it watches, 1 it stands still or answers badly, 3 nobody answers.

Examples:
  memtrace health
  memtrace health --socket /tmp/mt/memtrace.sock")]
pub struct HealthArgs {
    /// Whom to ask.
    #[command(flatten)]
    pub socket: SocketArgs,
}

/// Runs the command.
///
/// # Errors
/// When the daemon does not answer, or says that it does not watch.
pub fn run(args: &HealthArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let said = client::text(args.socket.path(), path::READY)?;
    write!(out, "{said}")?;
    Ok(())
}
