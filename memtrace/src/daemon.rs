//! The node agent: connects the modules.
//!
//! Threads: `engine` (ring buffers and the model, the one writer), `recorder` (kills to disk), and a tokio runtime
//! for the API. Everything downstream reads the published `Arc<Snapshot>`.

pub mod attention;
pub mod engine;
pub mod governor;
pub mod kills;
pub mod recording;
pub mod run;
pub mod setup;
pub mod threads;

use std::{net::SocketAddr, path::PathBuf};

pub use self::run::run;
use self::{
    kills::recorder::Keep,
    setup::{lock::LockError, take_over::Pinning},
};
use crate::{
    container::sources,
    model::budget::Budget,
    probe::{attach::AttachError, options::Options},
};

/// Mount point of procfs.
const PROC: &str = "/proc";
/// This program, even if its file was replaced.
pub(crate) const OWN_PROGRAM: &str = "/proc/self/exe";

/// The daemon's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Directory of the store and the history file.
    pub state_dir: PathBuf,
    /// Path of the API's unix socket.
    pub socket: PathBuf,
    /// A TCP address that serves metrics and health.
    pub listen: Option<SocketAddr>,
    /// The file with the bearer token that grants the full API on `listen`.
    pub token_file: Option<PathBuf>,
    /// The most containers that get metric series of their own.
    pub metrics_containers: usize,
    /// How to trace.
    pub options: Options,
    /// The part of one CPU that reading page tables may take, in percent.
    pub scan_share: u32,
    /// The CPU budget of the daemon in percent of one CPU; 0 for no limit.
    pub cpu_budget: u32,
    /// The memory budget of the daemon and its readers.
    pub memory_budget: Budget,
    /// How long, and in how many bytes, kills are kept.
    pub keep: Keep,
    /// Where the programs that record kills are pinned.
    pub pinning: Pinning,
    /// Whether missed kills are recorded from the kernel log.
    pub backfill: bool,
    /// Sources of container names.
    pub names: sources::Config,
    /// A collector that gets kills.
    pub otlp: Option<threads::otlp::Config>,
}

/// Why the daemon did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Missing permission to trace or to use the state directory.
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
            AttachError::Required { .. } | AttachError::PidNamespace(_) | AttachError::Failed(_) => {
                Self::Failed(error.into())
            }
        }
    }
}

impl From<LockError> for DaemonError {
    fn from(error: LockError) -> Self {
        if error.is_permission() { Self::NotPermitted(error.into()) } else { Self::Failed(error.into()) }
    }
}
