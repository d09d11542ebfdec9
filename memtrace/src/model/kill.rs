//! What the model knows at a kill, and what it requests before one.
//!
//! Input: a kill, or a group that is near its limit. Output: the victim's memory and relatives, or scan requests.

use memtrace_common::{UNKNOWN, event::oom::OomKill};

use super::{Model, now};
use crate::{
    cgroup::hierarchy::is_within,
    clock,
    model::{peaks::ticks::Now, rows, scan::Order},
    snapshot::Memory,
    text::escape,
    units::Bytes,
};

/// A forked process that still runs its parent's program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copy {
    /// The child.
    pub pid: u32,
    /// The process that forked it.
    pub parent: u32,
    /// When it was forked, ns since boot.
    pub since: u64,
}

/// The largest processes of a group near its limit that are scanned.
const ARMED: usize = 4;
/// The most ancestors of a victim.
const GENERATIONS: usize = 8;

/// What the model knows of a kill.
#[derive(Debug)]
pub struct AtKill {
    /// The victim's memory; `None` when its page tables were never read.
    pub victim: Option<Memory>,
    /// Processes that are copies of others.
    pub copies: Vec<Copy>,
    /// The victim's parent, its parent, and so on.
    pub ancestors: Vec<u32>,
}

impl Model {
    /// What is known of the victim at the kill, before its exit is applied.
    pub fn at_kill(&mut self, kill: &OomKill) -> AtKill {
        let (ktime, page) = (kill.header.ktime, rustix::param::page_size() as u64);
        let known = |pages: u64| if pages == UNKNOWN { 0 } else { pages.saturating_mul(page) };
        let total = known(kill.mm.anon) + known(kill.mm.file) + known(kill.mm.shmem);
        let victim = self.spaces.arenas(kill.victim.tgid, Bytes(total), ktime);
        let now = Now { time: clock::wall(ktime), ktime };
        let parent = |pid: &u32| self.processes.get(*pid)?.parent.filter(|parent| *parent != 0);
        AtKill {
            victim: victim.map(|arenas| rows::memory(&arenas, now)),
            copies: self
                .processes
                .iter()
                .filter_map(|process| {
                    let (parent, since) = process.copy_of?;
                    Some(Copy { pid: process.pid, parent, since })
                })
                .collect(),
            ancestors: std::iter::successors(Some(kill.victim.tgid), parent)
                .skip(1)
                .take(GENERATIONS)
                .collect(),
        }
    }

    /// Requests for the page tables and counters of the largest processes of a group near its limit.
    pub fn arm(&mut self, group: &str) -> Vec<Order> {
        let is_inside = |cgroup: &[u8]| is_within(&escape(cgroup), group);
        let mut inside: Vec<(u64, u32)> = self
            .processes
            .iter()
            .filter(|process| process.cgroup.as_deref().is_some_and(is_inside))
            .map(|process| (process.resident().map_or(0, |reading| reading.bytes), process.pid))
            .collect();
        inside.sort_unstable_by(|a, b| b.cmp(a));
        let at = now(&self.journal).1;
        let largest = inside.into_iter().take(ARMED);
        largest.flat_map(|(resident, pid)| self.spaces.arm(pid, resident, at)).collect()
    }
}
