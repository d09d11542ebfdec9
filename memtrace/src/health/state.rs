//! The health of the daemon's threads as a value.
//!
//! Plain values with a JSON form, and their words.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The health of all threads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// In the order of their start.
    pub threads: Vec<ThreadHealth>,
}

/// The health of a thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadHealth {
    /// Its name.
    pub name: String,
    /// Whether its hang is a reason to restart the daemon.
    pub is_vital: bool,
    /// What it does.
    pub state: State,
}

/// What a thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It works or waits for work.
    Well,
    /// It has work and makes no progress.
    Late {
        /// Since then.
        since: Timestamp,
    },
    /// It has ended, and the daemon goes on.
    Ended {
        /// When it ended.
        at: Timestamp,
    },
}

impl Health {
    /// Whether the daemon does its work: no thread has ended, and no vital one is late.
    pub fn is_good(&self) -> bool {
        !self.threads.iter().any(ThreadHealth::is_fatal)
    }

    /// The threads that are late or have ended; the reasons for a restart first.
    pub fn troubled(&self) -> Vec<&ThreadHealth> {
        let mut troubled: Vec<_> = self.threads.iter().filter(|thread| thread.state != State::Well).collect();
        troubled.sort_by_key(|thread| !thread.is_fatal());
        troubled
    }
}

impl ThreadHealth {
    /// Whether it is a reason to restart the daemon.
    pub fn is_fatal(&self) -> bool {
        match self.state {
            State::Well => false,
            State::Late { .. } => self.is_vital,
            // Nothing starts it again.
            State::Ended { .. } => true,
        }
    }
}

impl fmt::Display for ThreadHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, state, .. } = self;
        match state {
            State::Well => write!(f, "{name} is well"),
            State::Late { since } => write!(f, "{name} has made no progress since {since:.0}"),
            State::Ended { at } => write!(f, "{name} ended unexpectedly at {at:.0}"),
        }
    }
}
