//! A reader process for one caller.
//!
//! Requests in turn -> answers. What the reader remembers between requests is there for the next one, unless it was
//! replaced: then its number is another.

use std::time::Duration;

use super::{MOST_STUCK, Readers, quarantine::Whom};
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
    /// Whether there was a request since the last rest.
    is_used: bool,
}

impl Session {
    /// Without a process yet.
    pub const fn new(readers: Readers) -> Self {
        Self { readers, process: None, number: 0, is_used: false }
    }

    fn process(&mut self) -> Result<&mut Process, NotRead> {
        if self.process.is_none() {
            let stuck = self.readers.lock().stuck.len();
            if stuck >= MOST_STUCK {
                return Err(NotRead::TooMany { stuck, busy: 0 });
            }
            // When memory is short, none may start: then that of all others is better than none.
            let idle = || self.readers.lock().idle.take();
            let started = self.readers.started().or_else(|error| idle().ok_or(error));
            self.process = Some(started.map_err(|error| NotRead::NoReader(error.to_string()))?);
        }
        self.process.as_mut().ok_or(NotRead::Gone)
    }
}

/// A line to a reader process that remembers.
pub trait Line {
    /// Rises when the process is lost, so that the caller knows what it can no longer refer to.
    fn number(&self) -> u64;

    /// The process and its cgroup, if it may be read. They are found before a reader is asked, so that a process that ends
    /// while a reader hangs on it does not escape, and once for all requests of one task.
    ///
    /// # Errors
    /// When it is gone, or quarantined.
    fn check(&self, pid: u32) -> Result<Whom, NotRead>;

    /// Sends a request about this process, and waits for the answer. A process that a reader hangs on is quarantined; if the
    /// reader died, the caller decides, because it may have died before.
    ///
    /// # Errors
    /// When there is no answer.
    fn ask(&mut self, whom: Whom, ask: &Ask, patience: Duration) -> Result<Answer, NotRead>;

    /// Called from time to time: ends a process without requests since the last call, and one that has died.
    fn rest(&mut self);

    /// Quarantines a process that readers died on.
    fn blame(&self, whom: Whom, why: &NotRead);

    /// Counts a request that has no answer.
    fn count(&self, why: &NotRead);
}

impl Line for Session {
    fn number(&self) -> u64 {
        self.number
    }

    fn check(&self, pid: u32) -> Result<Whom, NotRead> {
        let whom = self.readers.whom(pid)?;
        self.readers.check(whom)?;
        Ok(whom)
    }

    fn ask(&mut self, whom: Whom, ask: &Ask, patience: Duration) -> Result<Answer, NotRead> {
        let frame = frame(ask).ok_or(NotRead::TooLarge)?;
        self.is_used = true;
        let process = self.process()?;
        let failure = match process.ask(&frame, patience) {
            Ok(Answer::TooLarge) => return Err(NotRead::TooLarge),
            Ok(answer) => return Ok(answer),
            Err(failure) => failure,
        };
        let stuck = self.readers.end(self.process.take());
        self.number += 1;
        let why = match failure {
            Failure::Late => NotRead::Late(patience),
            Failure::Busy(time) => NotRead::Busy(time),
            Failure::Died(error) => return Err(NotRead::Died(error.to_string())),
        };
        self.readers.blame(whom, &why, stuck);
        Err(why)
    }

    fn rest(&mut self) {
        let is_used = std::mem::take(&mut self.is_used);
        // One that somebody killed is waited for, too.
        if self.process.as_mut().is_some_and(|process| !is_used || process.has_ended()) {
            self.readers.end(self.process.take());
            self.number += 1;
        }
    }

    fn blame(&self, whom: Whom, why: &NotRead) {
        self.readers.blame(whom, why, None);
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
