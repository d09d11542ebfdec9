//! `memtrace health`: whether the daemon watches, for probes of an image that has no shell.

use std::io::Write;

use anyhow::anyhow;
use clap::Args;
use jiff::Timestamp;

use super::{Failure, SocketArgs};
use crate::{
    api::{
        client::{self, ClientError},
        v1::path,
    },
    snapshot::Snapshot,
};

/// A snapshot that is older was made by an engine that stands still: it makes one a second.
const OLDEST: i64 = 30;

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
/// When the daemon does not answer, or its last snapshot is old.
pub fn run(args: &HealthArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let snapshot: Snapshot =
        client::get(&args.socket.socket, path::SNAPSHOT).map_err(|error| match error {
            ClientError::NoDaemon(_) => Failure::NoDaemon(error.into()),
            ClientError::NotPermitted(_) => Failure::NotPermitted(error.into()),
            ClientError::Failed(error) => Failure::Failed(error),
        })?;
    let Some(tracer) = snapshot.tracer else { return Err(anyhow!("the daemon does not trace").into()) };
    let age = Timestamp::now().as_second() - snapshot.time.as_second();
    if age > OLDEST {
        return Err(anyhow!("the daemon's last snapshot is {age} s old").into());
    }
    writeln!(out, "watching with {} of {} hooks", tracer.hooks_attached, tracer.hooks_total)?;
    Ok(())
}
