//! Why a command failed, and the exit code that says it.
//!
//! Errors of the rooms -> [`Failure`]. The one place where an exit code is chosen.

use std::io;

use crate::{api::client::ClientError, daemon::DaemonError, sizing::run::End};

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
    /// 126, 127: the command of `memtrace run` was not run.
    NotRun(u8, anyhow::Error),
    /// The exit code of `memtrace run`; all is said already.
    Ended(End),
}

impl Failure {
    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::NoDaemon(_) => 3,
            Self::NotPermitted(_) => 4,
            Self::NotRun(code, _) => *code,
            Self::Ended(end) => end.code(),
        }
    }

    /// What to print; nothing when all is said.
    pub fn error(&self) -> Option<&anyhow::Error> {
        match self {
            Self::Failed(error)
            | Self::Usage(error)
            | Self::NoDaemon(error)
            | Self::NotPermitted(error)
            | Self::NotRun(_, error) => Some(error),
            Self::Ended(_) => None,
        }
    }

    /// The same, with what it was about before its text.
    pub fn context(self, of: String) -> Self {
        match self {
            Self::Failed(error) => Self::Failed(error.context(of)),
            Self::Usage(error) => Self::Usage(error.context(of)),
            Self::NoDaemon(error) => Self::NoDaemon(error.context(of)),
            Self::NotPermitted(error) => Self::NotPermitted(error.context(of)),
            Self::NotRun(code, error) => Self::NotRun(code, error.context(of)),
            Self::Ended(end) => Self::Ended(end),
        }
    }

    /// The signal that ends this process too, as it ended the command of `memtrace run`.
    pub fn signal(&self) -> Option<u8> {
        match self {
            Self::Ended(End::Signalled(signal)) => Some(*signal),
            _ => None,
        }
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
