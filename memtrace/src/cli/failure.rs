//! Why a command failed, and the exit code that says it.
//!
//! Errors of the rooms -> [`Failure`]. The one place where an exit code is chosen.

use std::io;

use crate::{api::client::ClientError, daemon::DaemonError};

/// Why a command failed; each variant has its exit code.
#[derive(Debug)]
pub enum Failure {
    /// 1: it failed.
    Failed(anyhow::Error),
    /// 2: the arguments contradict each other.
    Usage(anyhow::Error),
    /// 3: there is no daemon, or no store.
    NoDaemon(anyhow::Error),
    /// 4: this process lacks the permission.
    NotPermitted(anyhow::Error),
}

impl Failure {
    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::NoDaemon(_) => 3,
            Self::NotPermitted(_) => 4,
        }
    }

    /// What to print.
    pub fn error(&self) -> &anyhow::Error {
        let (Self::Failed(error) | Self::Usage(error) | Self::NoDaemon(error) | Self::NotPermitted(error)) =
            self;
        error
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::NoDaemon(_) => Self::NoDaemon(error.into()),
            ClientError::NotPermitted(_) => Self::NotPermitted(error.into()),
            ClientError::Failed(error) => Self::Failed(error),
        }
    }
}

impl From<DaemonError> for Failure {
    fn from(error: DaemonError) -> Self {
        match error {
            DaemonError::NotPermitted(error) => Self::NotPermitted(error),
            DaemonError::Failed(error) => Self::Failed(error),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.into())
    }
}
