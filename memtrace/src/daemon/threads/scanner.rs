//! The scanner: has page tables and programs of processes read, in a thread of its own.
//!
//! Input: `Request`s, by channel. Output: [`Scan`]s, by channel. A process is read in pieces of a few milliseconds,
//! in turn with a few other requested ones, so that none blocks the rest. A process whose mmap lock is held, or whose
//! programs are on a file system that hangs, delays the next piece by two seconds. The thread rests between pieces to keep
//! to its share of one CPU.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;

use crate::{
    health::Beat,
    model::scan::{Depth, Order, Scan},
    reader::{Reader, job::Job},
};

/// The most processes that are read in turn: a half-read one takes memory.
const MOST_BEGUN: usize = 4;
/// How long a reader is kept without requests.
const KEPT: Duration = Duration::from_secs(60);
/// The longest single rest, because the engine may shut down meanwhile.
const LONGEST_REST: Duration = Duration::from_secs(1);
/// The most rest that may be postponed to read a process that may be dead soon: the share is kept on average over some
/// seconds.
const MOST_OWED: Duration = Duration::from_secs(2);

/// The running scanner; it ends when the sender is dropped.
pub struct Scanner {
    /// Where requests go.
    pub requests: Sender<Order>,
    /// Where scans come from.
    pub scans: Receiver<Scan>,
    /// The part of one CPU that it may use, in percent, 1 to 100.
    pub share: Arc<AtomicU32>,
}

/// Starts the thread.
///
/// # Errors
/// When the thread cannot be started.
pub fn start(mut reader: impl Reader + 'static, share: u32, beat: Beat) -> anyhow::Result<Scanner> {
    let (requests, asked) = channel();
    let (done, scans) = channel();
    let share = Arc::new(AtomicU32::new(share));
    let own = Arc::clone(&share);
    std::thread::Builder::new()
        .name("scanner".to_owned())
        .spawn(move || run(&mut reader, &own, (&asked, &done), &beat))
        .context("failed to start the scanner thread")?;
    Ok(Scanner { requests, scans, share })
}

fn run(
    reader: &mut dyn Reader,
    share: &AtomicU32,
    (asked, done): (&Receiver<Order>, &Sender<Scan>),
    beat: &Beat,
) {
    let mut queue = Queue::default();
    let mut rested = Instant::now();
    loop {
        let rest = rested.saturating_duration_since(Instant::now());
        let next = if queue.jobs.is_empty() {
            match beat.wait(|| asked.recv_timeout(KEPT)) {
                Err(RecvTimeoutError::Timeout) => {
                    reader.rest();
                    continue;
                }
                next => next,
            }
        } else {
            let rest = if queue.may_go(rest) { Duration::ZERO } else { rest };
            beat.wait(|| asked.recv_timeout(rest))
        };
        match next {
            Ok(order) => {
                queue.take(order);
                continue;
            }
            Err(RecvTimeoutError::Timeout) if !queue.may_go(rest) => continue,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let Some(job) = queue.next() else { continue };
        let begun = Instant::now();
        match reader.scan(job) {
            Ok(scan) => {
                queue.hurried.retain(|pid| *pid != scan.pid);
                if done.send(scan).is_err() {
                    return;
                }
            }
            Err(job) => queue.put_back(*job),
        }
        let share = share.load(Ordering::Relaxed).clamp(1, 100);
        let rest = begun.elapsed() * (100 - share) / share;
        rested = rested.max(begun) + rest.min(LONGEST_REST);
    }
}

/// Processes to read in turn; those near their limit first.
#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    hurried: Vec<u32>,
}

impl Queue {
    fn take(&mut self, order: Order) {
        match order {
            // Go first: an unseen call makes everything after it wrong, and reading the mappings is cheap.
            Order::Read(request) if matches!(request.depth, Depth::Regions) => {
                self.jobs.push_front(Job::new(request));
            }
            Order::Read(request) => self.jobs.push_back(Job::new(request)),
            // A process that is not in the queue has just been read.
            Order::Hurry(pid) => {
                if let Some(job) = self.jobs.iter().position(|job| job.pid() == pid)
                    && let Some(job) = self.jobs.remove(job)
                {
                    self.jobs.push_front(job);
                    self.hurried.push(pid);
                }
            }
        }
    }

    /// The next one: that in front, unless it would be one too many in turn.
    fn next(&mut self) -> Option<Job> {
        let is_first =
            self.jobs.front().is_some_and(|job| job.is_cheap() || self.hurried.contains(&job.pid()));
        let begun = self.jobs.iter().filter(|job| job.is_begun()).count();
        let place =
            if is_first || begun < MOST_BEGUN { None } else { self.jobs.iter().position(Job::is_begun) };
        self.jobs.remove(place.unwrap_or(0))
    }

    fn put_back(&mut self, job: Job) {
        if self.hurried.contains(&job.pid()) { self.jobs.push_front(job) } else { self.jobs.push_back(job) }
    }

    /// Whether the next one may be read although `rest` is still owed.
    fn may_go(&self, rest: Duration) -> bool {
        let is_hurried = self.jobs.front().is_some_and(|job| self.hurried.contains(&job.pid()));
        rest.is_zero() || (is_hurried && rest < MOST_OWED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::scan::Request, units::Bytes};

    fn order(queue: &Queue) -> Vec<u32> {
        queue.jobs.iter().map(Job::pid).collect()
    }

    #[test]
    fn a_few_are_read_in_turn_and_the_urgent_before_them() {
        let begun = |pid| {
            let request = Request { pid, depth: Depth::Mappings, room: Bytes(0) };
            Job::new(request).begun()
        };
        let mut queue = Queue::default();
        let read = |pid| Order::Read(Request { pid, depth: Depth::Mappings, room: Bytes(0) });
        (1..10).for_each(|pid| queue.take(read(pid)));
        for pid in 11..15 {
            queue.put_back(begun(pid));
        }
        let next = |queue: &mut Queue| queue.next().map(|job| job.pid());
        assert_eq!(next(&mut queue), Some(11), "four have begun, so no fifth one begins");
        assert_eq!(next(&mut queue), Some(1));
        queue.put_back(begun(1));
        queue.take(Order::Hurry(9));
        assert_eq!(next(&mut queue), Some(9));
        queue.take(Order::Read(Request { pid: 20, depth: Depth::Regions, room: Bytes(0) }));
        assert_eq!(next(&mut queue), Some(20));
        assert_eq!(next(&mut queue), Some(12));
    }

    #[test]
    fn what_is_near_its_limit_goes_first_and_owes_its_rest() {
        let mut queue = Queue::default();
        (1..4)
            .for_each(|pid| queue.take(Order::Read(Request { pid, depth: Depth::Mappings, room: Bytes(0) })));
        let rest = Duration::from_millis(100);
        assert!(!queue.may_go(rest) && queue.may_go(Duration::ZERO));
        queue.take(Order::Hurry(3));
        queue.take(Order::Hurry(9));
        assert_eq!(order(&queue), [3, 1, 2]);
        assert!(queue.may_go(rest) && !queue.may_go(MOST_OWED));
        let job = queue.jobs.pop_front().unwrap();
        queue.put_back(job);
        assert_eq!(order(&queue), [3, 1, 2], "a piece of it is done, and the next one follows");
        let job = queue.jobs.remove(1).unwrap();
        queue.put_back(job);
        assert_eq!(order(&queue), [3, 2, 1], "the others go in turn");
    }
}
