//! `memtrace health`: whether the daemon is tracing, for health checks in an image without a shell.

use std::io::Write;

use clap::Args;

use super::{Failure, args::SocketArgs};
use crate::api::{client, v1::path};

/// Arguments of `health`.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 the daemon is tracing, 1 it has stalled, cannot store kills, or its answer is invalid, 3 no daemon, \
4 not permitted.
It asks through the unix socket, which strangers cannot fill.

Examples:
  memtrace health
  memtrace health --live     for a liveness probe: fails only if a restart would help
  memtrace health --socket /tmp/mt/memtrace.sock")]
pub struct HealthArgs {
    /// Check only that the daemon's threads make progress (/healthz), not that its hooks are attached (/readyz).
    #[arg(long)]
    pub live: bool,
    /// The daemon's address.
    #[command(flatten)]
    pub socket: SocketArgs,
}

/// Runs the command.
///
/// # Errors
/// When the daemon does not answer, or is not ready.
pub fn run(args: &HealthArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let path = if args.live { path::HEALTHY } else { path::READY };
    let said = client::text(args.socket.path(), path)?;
    write!(out, "{said}")?;
    Ok(())
}
