//! The unwinder: has copies of stacks walked, in a thread of its own, because program files are read for that, which may
//! be on slow file systems.
//!
//! Input: [`Job`]s, by a short channel; senders never wait and drop what does not fit. Output: one [`Unwound`] per job,
//! by channel.

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, channel, sync_channel},
    time::{Duration, Instant},
};

use anyhow::Context as _;

use crate::{
    health::Beat,
    model::walk::{Job, Unwound},
    reader::Reader,
};

/// The most jobs that wait: twice the capacity of the ring buffer of stacks.
const MOST_WAITING: usize = 256;

/// The most jobs that are given to the reader at once.
const MOST_AT_ONCE: usize = 32;

/// How long unused unwind tables are kept: those of a large program take megabytes, and are read again in milliseconds.
const KEPT: Duration = Duration::from_secs(60);

/// The running unwinder; it ends when the sender is dropped.
pub struct Unwinder {
    /// Where jobs go.
    pub jobs: SyncSender<Job>,
    /// The results.
    pub done: Receiver<Unwound>,
}

/// Starts the thread.
///
/// # Errors
/// When it cannot be started.
pub fn start(mut reader: impl Reader + 'static, beat: Beat) -> anyhow::Result<Unwinder> {
    let (jobs, asked) = sync_channel::<Job>(MOST_WAITING);
    let (answers, done) = channel();
    std::thread::Builder::new()
        .name("unwinder".to_owned())
        .spawn(move || {
            let mut looked = Instant::now();
            loop {
                match beat.wait(|| asked.recv_timeout(KEPT)) {
                    Ok(job) => {
                        let jobs = std::iter::once(job).chain(asked.try_iter().take(MOST_AT_ONCE - 1));
                        let walked = reader.walk(jobs.collect());
                        if walked.into_iter().any(|unwound| answers.send(unwound).is_err()) {
                            return;
                        }
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                if looked.elapsed() >= KEPT {
                    reader.rest();
                    looked = Instant::now();
                }
            }
        })
        .context("failed to start the unwinder thread")?;
    Ok(Unwinder { jobs, done })
}
