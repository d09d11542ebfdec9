//! Exits of processes that are worth a record, with the preceding signals and refused requests.
//!
//! Input: events, in order. Output: [`Ended`]. Bounded: of the processes that got signals and did not end, the least
//! recently signalled are forgotten.

use std::{
    collections::{HashMap, HashSet},
    num::NonZeroUsize,
};

use lru::LruCache;
use memtrace_common::{
    UNKNOWN,
    event::{kill::Signal, task::Exit},
};

use crate::{
    ingest::decode::{Event, KillEvent, SpaceEvent, TaskEvent},
    mm::process::ProcessTable,
};

/// Processes whose signals are remembered: 2048.
const MOST: NonZeroUsize = NonZeroUsize::MIN.saturating_add(2047);
/// Refused requests within this time, in ns, belong to one allocation.
const ONE_TRY: u64 = 100_000_000;
/// Exit codes from here on mean 128 + signal by the shell's convention.
const LIKE_A_SIGNAL: u32 = 129;
/// `TRACE_SIGNAL_DELIVERED`: signals with other results did not reach the process.
const DELIVERED: u32 = 0;
const SIGKILL: u32 = 9;

/// A process that ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The exit event.
    pub exit: Exit,
    /// Path of its cgroup, escaped.
    pub cgroup: Option<String>,
    /// Whether it was the oldest of its cgroup.
    pub is_main: bool,
    /// Signals that were sent to it, the last one of each number, oldest first.
    pub signals: Vec<Signal>,
    /// Bytes that it was last refused, and when (ns since boot).
    pub refused: Option<(u64, u64)>,
}

#[derive(Debug, Default)]
struct Before {
    signals: Vec<Signal>,
    refused: Option<(u64, u64)>,
}

/// The state before exits.
#[derive(Debug)]
pub struct Exits {
    before: LruCache<u32, Before>,
    /// The oldest process of each cgroup, as of the last tick, with its start.
    mains: HashSet<(u64, u32)>,
}

impl Default for Exits {
    fn default() -> Self {
        Self { before: LruCache::new(MOST), mains: HashSet::new() }
    }
}

impl Exits {
    /// Determines the oldest process of each cgroup again, if a process appeared, moved or ended.
    pub fn look(&mut self, processes: &ProcessTable) {
        let mut oldest: HashMap<&[u8], (u64, u32)> = HashMap::new();
        for process in processes.iter() {
            let (Some(cgroup), Some(start)) = (process.cgroup.as_deref(), process.start) else { continue };
            if cgroup == b"/" {
                continue; // no container
            }
            let key = (start, process.pid);
            oldest.entry(cgroup).and_modify(|known| *known = key.min(*known)).or_insert(key);
        }
        self.mains = oldest.into_values().collect();
    }

    /// Takes an event, before it is applied to the table.
    pub fn take(&mut self, event: &Event, processes: &ProcessTable) -> Option<Ended> {
        match event {
            Event::Kill(KillEvent::Signal(signal))
                if signal.result == DELIVERED || signal.signal == SIGKILL =>
            {
                let before = self.before.get_or_insert_mut(signal.target.tgid, Before::default);
                // Only the last signal of each number, so that a runtime that handles SIGSEGV all the time does not push out
                // the sender of SIGKILL. The hook sends five numbers.
                before.signals.retain(|earlier| earlier.signal != signal.signal);
                before.signals.push(**signal);
                None
            }
            Event::Space(SpaceEvent::Refused(refused)) => {
                let before = self.before.get_or_insert_mut(refused.header.tgid, Before::default);
                // An allocator tries several requests, often ending with smaller ones: the program wanted the largest.
                let (len, at) = (refused.len, refused.header.ktime);
                let earlier = before.refused.filter(|(_, earlier)| earlier.saturating_add(ONE_TRY) >= at);
                before.refused = Some((earlier.map_or(len, |(most, _)| most.max(len)), at));
                None
            }
            Event::Task(TaskEvent::Exec(exec)) => {
                // Memory that the old program was refused is not the new one's. A signal stays pending over an exec.
                if let Some(before) = self.before.peek_mut(&exec.task.tgid) {
                    before.refused = None;
                }
                None
            }
            Event::Task(TaskEvent::Exit(exit)) => self.ended(exit, processes),
            _ => None,
        }
    }

    fn ended(&mut self, exit: &Exit, processes: &ProcessTable) -> Option<Ended> {
        let pid = exit.task.tgid;
        let Before { mut signals, mut refused } = self.before.pop(&pid).unwrap_or_default();
        // If the end of another process with this pid was lost, what came before this one started is about that one.
        let start = Some(exit.task.start_boottime).filter(|start| *start != UNKNOWN).unwrap_or_default();
        signals.retain(|signal| signal.header.ktime >= start);
        refused = refused.filter(|(_, at)| *at >= start);
        let process = processes.get(pid);
        let cgroup = process.and_then(|process| process.cgroup.as_deref());
        let started = process.and_then(|process| process.start);
        let was_main = started.is_some_and(|start| self.mains.remove(&(start, pid)));
        let is_by_signal = exit.exit_code & 0x7f != 0;
        // For a process that lived less than a tick, only exits that show a failure matter.
        let is_alone = || {
            !processes
                .iter()
                .any(|other| other.pid != pid && other.cgroup.as_deref() == cgroup && other.start < started)
        };
        let is_main =
            was_main || (exit.exit_code != 0 && cgroup.is_some_and(|path| path != b"/") && is_alone());
        let looks_like_one = !is_by_signal && (exit.exit_code >> 8) & 0xff >= LIKE_A_SIGNAL;
        (is_main || is_by_signal || looks_like_one || refused.is_some()).then(|| Ended {
            exit: *exit,
            cgroup: cgroup.map(crate::text::escape),
            is_main,
            signals,
            refused,
        })
    }
}

#[cfg(test)]
mod tests {
    use memtrace_common::event::{
        Header,
        kill::Signal,
        space::Refused,
        task::{Exec, Exit},
    };
    use zerocopy::FromZeros;

    use super::{Event, Exits, KillEvent, MOST, ProcessTable, SpaceEvent, TaskEvent};

    fn signal(pid: u32, number: u32) -> Event {
        let mut signal = Signal::new_zeroed();
        (signal.target.tgid, signal.signal) = (pid, number);
        Event::Kill(KillEvent::Signal(Box::new(signal)))
    }

    fn exit(pid: u32, code: u32) -> Event {
        let mut exit = Exit::new_zeroed();
        (exit.task.tgid, exit.exit_code) = (pid, code);
        Event::Task(TaskEvent::Exit(exit))
    }

    #[test]
    fn an_end_comes_with_what_came_before_it() {
        let (mut exits, none) = (Exits::default(), ProcessTable::default());
        exits.take(&signal(7, 15), &none);
        exits.take(&signal(8, 9), &none);
        let header = Header { tgid: 7, ..Header::new_zeroed() };
        exits.take(&Event::Space(SpaceEvent::Refused(Refused { header, len: 99 })), &none);
        let ended = exits.take(&exit(7, 6), &none).unwrap();
        assert_eq!(ended.signals.iter().map(|sent| sent.signal).collect::<Vec<_>>(), [15]);
        assert_eq!(ended.refused, Some((99, 0)));
        assert!(exits.take(&exit(7, 0), &none).is_none(), "the next of that number is another");
    }

    #[test]
    fn a_signal_outlives_an_exec_and_a_refusal_does_not() {
        let (mut exits, none) = (Exits::default(), ProcessTable::default());
        exits.take(&signal(7, 15), &none);
        let header = Header { tgid: 7, ..Header::new_zeroed() };
        exits.take(&Event::Space(SpaceEvent::Refused(Refused { header, len: 99 })), &none);
        let mut exec = Exec::new_zeroed();
        exec.task.tgid = 7;
        exits.take(&Event::Task(TaskEvent::Exec(exec)), &none);
        let ended = exits.take(&exit(7, 15), &none).unwrap();
        assert_eq!((ended.signals.len(), ended.refused), (1, None));
    }

    /// A JVM handles SIGSEGV all the time.
    #[test]
    fn the_last_signal_of_each_number_is_kept() {
        let (mut exits, none) = (Exits::default(), ProcessTable::default());
        let sent = [11, 15].into_iter().chain([11; 1000]).chain([9, 11]);
        for (at, number) in sent.enumerate() {
            let Event::Kill(KillEvent::Signal(mut sent)) = signal(7, number) else { unreachable!() };
            sent.header.ktime = at as u64;
            exits.take(&Event::Kill(KillEvent::Signal(sent)), &none);
        }
        let ended = exits.take(&exit(7, 9), &none).unwrap();
        let kept: Vec<_> = ended.signals.iter().map(|sent| (sent.signal, sent.header.ktime)).collect();
        assert_eq!(kept, [(15, 1), (9, 1002), (11, 1003)]);
    }

    /// The end of the process before it was lost.
    #[test]
    fn what_came_before_a_process_started_is_not_its() {
        let (mut exits, none) = (Exits::default(), ProcessTable::default());
        for at in [10, 30] {
            let Event::Kill(KillEvent::Signal(mut sent)) = signal(7, 10 + at as u32) else { unreachable!() };
            sent.header.ktime = at;
            exits.take(&Event::Kill(KillEvent::Signal(sent)), &none);
        }
        let header = Header { tgid: 7, ktime: 10, ..Header::new_zeroed() };
        exits.take(&Event::Space(SpaceEvent::Refused(Refused { header, len: 99 })), &none);
        let Event::Task(TaskEvent::Exit(mut end)) = exit(7, 9) else { unreachable!() };
        end.task.start_boottime = 20;
        let ended = exits.take(&Event::Task(TaskEvent::Exit(end)), &none).unwrap();
        let sent: Vec<_> = ended.signals.iter().map(|sent| sent.header.ktime).collect();
        assert_eq!((sent, ended.refused), (vec![30], None));
    }

    #[test]
    fn those_that_do_not_end_are_forgotten() {
        let (mut exits, none) = (Exits::default(), ProcessTable::default());
        let most = MOST.get() as u32;
        for pid in 0..most {
            exits.take(&signal(pid, 15), &none);
        }
        // A process that gets another signal is not the oldest, and one that ended needs no entry.
        exits.take(&signal(0, 15), &none);
        exits.take(&exit(2, 9), &none);
        (most..=most + 1).for_each(|pid| drop(exits.take(&signal(pid, 15), &none)));
        assert_eq!(exits.before.len(), MOST.get());
        let mut signals = |pid| exits.take(&exit(pid, 9), &none).unwrap().signals.len();
        assert_eq!([0, 1, 3].map(&mut signals), [1, 0, 1]);
    }
}
