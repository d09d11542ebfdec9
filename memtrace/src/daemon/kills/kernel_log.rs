//! The kernel log from now on, read without waiting. The kernel writes its report of a kill before it marks the victim.
//!
//! Input: [`Kmsg`]. Output: the [`Dump`] of a kill; none without permission to read the log.

use std::{collections::VecDeque, io::ErrorKind};

use super::kmsg::Kmsg;
use crate::oom::dump::{Dump, Reader};

/// The most reports that wait for their kill. A report precedes its kill, and the kernel limits reports to ten in five
/// seconds.
const MOST_WAITING: usize = 32;
/// The most log records read at once: a flood of the log must not delay a kill.
const MOST_RECORDS: usize = 20_000;

/// The log.
#[derive(Debug)]
pub struct KernelLog {
    log: Option<Kmsg>,
    reader: Reader,
    waiting: VecDeque<Dump>,
}

impl KernelLog {
    /// Starts at the end of the log.
    pub fn from_now() -> Self {
        let log = Kmsg::from_now();
        let log = log.inspect_err(|error| tracing::warn!(%error, "failed to read the kernel log")).ok();
        Self { log, reader: Reader::default(), waiting: VecDeque::new() }
    }

    /// Whether there is a log to read.
    pub fn is_readable(&self) -> bool {
        self.log.is_some()
    }

    /// Takes the report of this process's kill, if the kernel has made one. Older reports are dropped.
    pub fn report(&mut self, pid: u32, tid: u32) -> Option<Dump> {
        self.read();
        let index = self.waiting.iter().rposition(|dump| {
            // The report has the pid, or the thread id if the leader is gone.
            dump.victim.is_some_and(|victim| victim == pid || victim == tid)
        })?;
        self.waiting.drain(..=index).next_back()
    }

    fn read(&mut self) {
        let Some(log) = &mut self.log else { return };
        let mut record = [0; 8192];
        for _ in 0..MOST_RECORDS {
            match log.read(&mut record) {
                Ok(length) => {
                    let text = String::from_utf8_lossy(record.get(..length).unwrap_or_default());
                    // `6,1234,5678901,-;text`, then lines of ` KEY=value`.
                    let message = text.split_once(';').map_or("", |(_, rest)| rest);
                    if let Some(dump) = self.reader.take(message.lines().next().unwrap_or_default()) {
                        self.waiting.push_back(dump);
                        if self.waiting.len() > MOST_WAITING {
                            self.waiting.pop_front();
                        }
                    }
                }
                // The buffer was overwritten before it was read: a report may be lost, and the next read continues.
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }
}
