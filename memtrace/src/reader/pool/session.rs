//! A reader process for one caller.
//!
//! Requests in turn -> answers. What the reader remembers between requests is there for the next one, unless it was
//! replaced: then its number is another.

use std::time::Duration;

use super::{MOST_STUCK, Readers};
use crate::reader::{
    NotRead,
    process::{Failure, Process},
    protocol::{Answer, Ask, frame},
};

/// A caller's own reader, which is started with the first request.
#[derive(Debug)]
pub struct Session {
    readers: Readers,
    process: Option<Process>,
    number: u64,
}

impl Session {
    /// Without a process yet.
    pub const fn new(readers: Readers) -> Self {
        Self { readers, process: None, number: 0 }
    }

    fn process(&mut self) -> Result<&mut Process, NotRead> {
        if self.process.is_none() {
            let stuck = self.readers.lock().stuck.len();
            if stuck >= MOST_STUCK {
                return Err(NotRead::TooMany { stuck, busy: 0 });
            }
            let started = self.readers.started().map_err(|error| NotRead::NoReader(error.to_string()))?;
            self.process = Some(started);
        }
        self.process.as_mut().ok_or(NotRead::Gone)
    }
}

/// A line to a reader process that remembers.
pub trait Line {
    /// Rises when the process is lost, so that the caller knows what it can no longer refer to.
    fn number(&self) -> u64;

    /// Whether a process may be read.
    ///
    /// # Errors
    /// When it is quarantined.
    fn check(&self, pid: u32) -> Result<(), NotRead>;

    /// Sends a request, and waits for the answer. A process that a reader hangs on is quarantined; if the reader died, the
    /// caller decides, because it may have died before.
    ///
    /// # Errors
    /// When there is no answer.
    fn ask(&mut self, ask: &Ask, patience: Duration) -> Result<Answer, NotRead>;

    /// Quarantines a process that readers died on.
    fn blame(&self, pid: u32, why: &NotRead);

    /// Counts a request that has no answer.
    fn count(&self, why: &NotRead);
}

impl Line for Session {
    fn number(&self) -> u64 {
        self.number
    }

    fn check(&self, pid: u32) -> Result<(), NotRead> {
        self.readers.check(pid)
    }

    fn ask(&mut self, ask: &Ask, patience: Duration) -> Result<Answer, NotRead> {
        let frame = frame(ask).ok_or(NotRead::TooLarge)?;
        let process = self.process()?;
        let failure = match process.ask(&frame, patience) {
            Ok(Answer::TooLarge) => return Err(NotRead::TooLarge),
            Ok(answer) => return Ok(answer),
            Err(failure) => failure,
        };
        let stuck = self.readers.end(self.process.take());
        self.number += 1;
        match failure {
            Failure::Late => {
                let why = NotRead::Late(patience);
                self.readers.blame(ask.pid(), &why, stuck);
                Err(why)
            }
            Failure::Died(error) => Err(NotRead::Died(error.to_string())),
        }
    }

    fn blame(&self, pid: u32, why: &NotRead) {
        self.readers.blame(pid, why, None);
    }

    fn count(&self, why: &NotRead) {
        self.readers.count(Some(why));
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.readers.end(self.process.take());
    }
}
