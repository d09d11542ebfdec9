//! The kernel log from now on, read without waiting: the kernel's own report of a kill is there before the mark is.
//!
//! Input: [`Kmsg`]. Output: the [`Dump`] of a kill. Without permission to read it, there is none.

use std::{collections::VecDeque, io::ErrorKind};

use super::kmsg::Kmsg;
use crate::oom::dump::{Dump, Reader};

/// Reports that wait for their kill; a report comes before its kill, and ten come in five seconds at most.
const MOST_WAITING: usize = 32;
/// Records that one look reads at most: a flood of the log must not hold up a kill.
const MOST_RECORDS: usize = 20_000;

/// The log.
#[derive(Debug)]
pub struct KernelLog {
    log: Option<Kmsg>,
    reader: Reader,
    waiting: VecDeque<Dump>,
}

impl KernelLog {
    /// From now on.
    pub fn from_now() -> Self {
        let log = Kmsg::from_now();
        let log = log.inspect_err(|error| tracing::warn!(%error, "failed to read the kernel log")).ok();
        Self { log, reader: Reader::default(), waiting: VecDeque::new() }
    }

    /// Whether there is a log to read.
    pub fn is_readable(&self) -> bool {
        self.log.is_some()
    }

    /// The report of the kill of this process, if the kernel has made one. Older ones are dropped with it.
    pub fn report(&mut self, pid: u32, tid: u32) -> Option<Dump> {
        self.read();
        let index = self.waiting.iter().rposition(|dump| {
            // The kernel names the process, and where its leader is gone, the thread.
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
                // The buffer went round before it was read: a report may be lost, and the next read goes on.
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }
}
