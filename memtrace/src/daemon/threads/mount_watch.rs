//! Reads the mounts of groups that are full of tmpfs pages, for the limit watch.
//!
//! Requests -> remembered mounts. A thread of its own, because a mount may hang, and the limit watch must not wait. If too
//! many requests wait, the sender drops them.

use std::sync::mpsc::{SyncSender, sync_channel};

use anyhow::Context as _;

use crate::{
    health::Beat,
    reader::{
        NotRead, Reader,
        tmpfs::{self, KnownMounts},
    },
    units::Bytes,
};

/// The most groups that wait.
const MOST: usize = 8;

/// A group whose mounts are wanted.
#[derive(Debug)]
pub struct Wanted {
    /// Its path.
    pub group: String,
    /// Its tmpfs pages.
    pub shmem: Bytes,
    /// Processes in it, which all see its mounts, usually.
    pub pids: Vec<u32>,
    /// When they were in it, in ns since boot: a request may wait, and a pid is used again.
    pub at: u64,
}

/// Starts the thread, which ends with the sender.
///
/// # Errors
/// When it cannot be started.
pub fn start(
    mut reader: impl Reader + 'static,
    known: KnownMounts,
    beat: Beat,
) -> anyhow::Result<SyncSender<Wanted>> {
    let (sender, asked) = sync_channel::<Wanted>(MOST);
    std::thread::Builder::new()
        .name("mount-watch".to_owned())
        .spawn(move || {
            while let Ok(wanted) = beat.wait(|| asked.recv()) {
                learn(&mut reader, &known, wanted);
            }
        })
        .context("failed to start the mount watch thread")?;
    Ok(sender)
}

fn learn(reader: &mut dyn Reader, known: &KnownMounts, Wanted { group, shmem, pids, at }: Wanted) {
    for pid in pids {
        if !reader.was_there(pid, at) {
            continue;
        }
        match reader.mounts(pid) {
            Ok(seen) => return known.put(&group, tmpfs::likely(seen, shmem)),
            Err(NotRead::Gone) => {}
            // The others of the group are probably in the same mount namespace.
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, TrySendError, channel};

    use super::*;
    use crate::{
        daemon::threads::MOUNT_WATCH,
        model::{
            scan::Scan,
            walk::{self, Unwound},
        },
        reader::{job::Job, tmpfs::Tmpfs},
        symbols::Place,
    };

    /// Says which pid it is asked for, and answers when it is told to.
    struct Slow {
        asked: std::sync::mpsc::Sender<u32>,
        answers: Receiver<Result<Vec<Tmpfs>, NotRead>>,
    }

    impl Reader for Slow {
        fn scan(&mut self, job: Job) -> Result<Scan, Box<Job>> {
            Err(Box::new(job))
        }

        fn walk(&mut self, _: Vec<walk::Job>) -> Vec<Unwound> {
            Vec::new()
        }

        fn mounts(&mut self, pid: u32) -> Result<Vec<Tmpfs>, NotRead> {
            let _ = self.asked.send(pid);
            self.answers.recv().unwrap_or(Err(NotRead::Gone))
        }

        fn has_thread(&mut self, _: u32, _: &[&str]) -> Result<bool, NotRead> {
            Ok(false)
        }

        fn names(&mut self, places: Vec<Place>) -> Vec<Option<String>> {
            vec![None; places.len()]
        }

        fn was_there(&self, pid: u32, at: u64) -> bool {
            at >= u64::from(pid)
        }

        fn rest(&mut self) {}
    }

    fn wanted(group: &str, pids: &[u32]) -> Wanted {
        Wanted { group: group.to_owned(), shmem: Bytes(8 << 20), pids: pids.to_vec(), at: 100 }
    }

    #[test]
    fn nobody_waits_for_a_mount_that_hangs_and_what_came_is_remembered() {
        let (known, (asked, asks), (answer, answers)) = (KnownMounts::default(), channel(), channel());
        let sender = start(Slow { asked, answers }, known.clone(), Beat::unwatched(MOUNT_WATCH)).unwrap();
        // The first one ended while the request waited, and another has its id.
        sender.try_send(wanted("/hangs", &[101, 1, 2])).unwrap();
        assert_eq!(asks.recv().unwrap(), 1);
        // It hangs. Others may ask, and are told when there are too many.
        (0..MOST).for_each(|_| sender.try_send(wanted("/good", &[3, 4])).unwrap());
        assert!(matches!(sender.try_send(wanted("/good", &[5])), Err(TrySendError::Full(_))));
        answer.send(Err(NotRead::Quarantined)).unwrap();
        assert_eq!(asks.recv().unwrap(), 3, "nobody else of the group that hangs");
        answer.send(Err(NotRead::Gone)).unwrap();
        assert_eq!(asks.recv().unwrap(), 4);
        let tmpfs = Tmpfs { mount: "/cache".to_owned(), used_bytes: Bytes(8 << 20) };
        answer.send(Ok(vec![tmpfs.clone()])).unwrap();
        assert_eq!(asks.recv().unwrap(), 3, "the next group: the answer is remembered");
        assert_eq!(known.of("/good"), Some(vec![tmpfs]));
        assert_eq!(known.of("/hangs"), None);
        drop(answer);
    }
}
