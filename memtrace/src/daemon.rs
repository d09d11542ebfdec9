//! The node agent: puts the rooms together.
//!
//! Threads: `engine` (ring buffers and the model, the one writer), `recorder` (kills to disk), and a tokio runtime
//! for the API. Everything downstream reads the published `Arc<Snapshot>`.

pub mod engine;
pub mod governor;
pub mod kills;
pub mod recording;
pub mod run;
pub mod setup;
pub mod threads;

use std::{net::SocketAddr, path::PathBuf};

pub use self::run::run;
use self::{kills::recorder::Keep, setup::lock::LockError};
use crate::{
    container::sources,
    probe::{attach::AttachError, options::Options},
};

/// Where /proc is.
const PROC: &str = "/proc";

/// How to run.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where records are kept.
    pub state_dir: PathBuf,
    /// Where the API listens.
    pub socket: PathBuf,
    /// A TCP address for metrics and health.
    pub listen: Option<SocketAddr>,
    /// The file with the token that opens the rest of the API there.
    pub token_file: Option<PathBuf>,
    /// Containers that have series of their own at most.
    pub metrics_containers: usize,
    /// How to trace.
    pub options: Options,
    /// The part of one CPU that reading page tables may take, in percent.
    pub scan_share: u32,
    /// The part of one CPU that all of it may take, in percent; 0 for any.
    pub cpu_budget: u32,
    /// How many kills are kept.
    pub keep: Keep,
    /// Whether kills that were not seen are recorded from the kernel log.
    pub backfill: bool,
    /// Where names come from.
    pub names: sources::Config,
}

/// Why the daemon did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// It may not trace, or not use the state directory.
    #[error(transparent)]
    NotPermitted(anyhow::Error),
    /// Anything else.
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

impl From<AttachError> for DaemonError {
    fn from(error: AttachError) -> Self {
        match error {
            AttachError::NotPermitted(_) => Self::NotPermitted(error.into()),
            AttachError::Required { .. } | AttachError::Failed(_) => Self::Failed(error.into()),
        }
    }
}

impl From<LockError> for DaemonError {
    fn from(error: LockError) -> Self {
        if error.is_permission() { Self::NotPermitted(error.into()) } else { Self::Failed(error.into()) }
    }
}
