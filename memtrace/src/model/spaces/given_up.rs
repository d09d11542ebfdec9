//! Keeps the address spaces within their share of the memory budget: the largest are given up first.
//!
//! Sizes of address spaces -> which are kept. A process that is given up keeps its totals (RSS, peak, limit); its
//! regions, their owners and its growth by stack are dropped, and its row says why. It returns when there is room again,
//! with a margin and after a time that grows, so that no process alternates. Pure.

use std::collections::HashMap;

use super::{Spaces, tracked::Tracked};
use crate::{
    model::{
        budget::{self, Budget},
        scan::Over,
    },
    snapshot::{MemoryUse, TotalsOnly},
    units::Bytes,
};

/// The least time in ns before a process returns; it doubles each time, up to 2^`MOST_TRIES` times this.
const WAIT: u64 = 60_000_000_000;
const MOST_TRIES: u32 = 4;
/// New regions of a process after which its size is computed again, without waiting for the tick.
const MORE: usize = 4096;

/// The processes of which only totals are known.
#[derive(Default)]
pub(super) struct GivenUp {
    processes: HashMap<u32, Reason>,
    /// How often a process was given up.
    total: u64,
}

/// Why a process was given up, and until when.
#[derive(Clone, Copy)]
pub(super) struct Reason {
    mappings: u64,
    not_before: u64,
    tries: u32,
}

impl GivenUp {
    pub(super) fn has(&self, pid: u32) -> bool {
        self.processes.contains_key(&pid)
    }

    pub(super) fn forget(&mut self, pid: u32) {
        self.processes.remove(&pid);
    }

    /// A forked child is as large as its parent.
    pub(super) fn inherit(&mut self, parent: u32, child: u32) -> bool {
        let Some(reason) = self.processes.get(&parent).copied() else { return false };
        self.processes.insert(child, reason);
        true
    }
}

impl Spaces {
    /// Why only totals are known of a process; `None` when that is not so.
    pub fn totals_only(&self, pid: u32) -> Option<TotalsOnly> {
        self.given_up.processes.get(&pid).map(|reason| TotalsOnly { mappings: reason.mappings })
    }

    /// Keeps within this budget.
    pub fn keep_within(&mut self, budget: Budget) {
        (self.budget, self.room_for_events) = (budget, budget.events());
        self.enforce();
    }

    /// The budget, and what it is used for.
    pub fn memory(&self) -> MemoryUse {
        MemoryUse {
            budget_bytes: self.budget.total(),
            resident_bytes: None,
            spaces_bytes: Bytes(self.footprint),
            spaces_share_bytes: Bytes(self.budget.spaces()),
            totals_only: self.given_up.processes.len(),
            given_up: self.given_up.total,
        }
    }

    /// Computes the memory that a process uses.
    pub(super) fn account(&mut self, pid: u32) {
        let Some(tracked) = self.tracked.get_mut(&pid) else { return };
        let takes = tracked.footprint();
        (tracked.shown.regions, tracked.shown.kept) = (tracked.space.len(), tracked.peak.regions());
        let took = std::mem::replace(&mut tracked.shown.footprint, takes);
        self.footprint = self.footprint.saturating_add(takes).saturating_sub(took);
    }

    /// Whether a process has grown so much that it must be counted before the next tick: by regions, or by the copy of
    /// its highest state.
    pub(super) fn has_grown(tracked: &Tracked) -> bool {
        tracked.space.len() >= tracked.shown.regions.saturating_add(MORE)
            || tracked.peak.regions() > tracked.shown.kept
    }

    /// Gives up the largest address spaces until the rest fits.
    pub(super) fn enforce(&mut self) {
        if self.footprint <= self.budget.spaces() {
            return;
        }
        let mut sizes: Vec<(u64, u32)> =
            self.tracked.iter().map(|(pid, tracked)| (tracked.shown.footprint, *pid)).collect();
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        for (_, pid) in sizes {
            if self.footprint <= self.budget.low_mark() {
                break;
            }
            self.give_up(pid, 0);
        }
    }

    /// Drops the address space of a process that has at least so many mappings.
    pub(super) fn give_up(&mut self, pid: u32, mappings: u64) {
        let Some(tracked) = self.remove(pid) else { return };
        let mappings = mappings.max(tracked.space.len() as u64).max(tracked.scan.expected);
        self.note(pid, mappings, tracked.tries);
    }

    fn note(&mut self, pid: u32, mappings: u64, tries: u32) {
        let not_before = self.ticked.saturating_add(WAIT << tries.min(MOST_TRIES));
        self.given_up.processes.insert(pid, Reason { mappings, not_before, tries: tries.saturating_add(1) });
        self.given_up.total += 1;
        // Its row is built again.
        self.touched.push(pid);
    }

    /// A child is not copied if there is no room for it. Returns whether there is.
    pub(super) fn has_room_for_child(&mut self, parent: u32, child: u32) -> bool {
        if self.given_up.inherit(parent, child) {
            self.given_up.total += 1;
            return false;
        }
        let Some(tracked) = self.tracked.get(&parent) else { return true };
        // Its owners are determined at the next tick.
        let takes = tracked.shown.footprint.max(tracked.space.footprint().0);
        if self.footprint.saturating_add(takes) <= self.budget.spaces() {
            return true;
        }
        let mappings = tracked.space.len() as u64;
        self.note(child, mappings, 0);
        false
    }

    /// A scan found that the list of a process's mappings exceeds the room that it had. Reads it again with more room
    /// if there is enough, else gives up the largest: this one, or others.
    pub(super) fn take_size(&mut self, pid: u32, over: Over, room: Bytes) {
        let mappings = over.mappings;
        let Some(tracked) = self.tracked.get_mut(&pid) else { return };
        tracked.scan.expect_more(over);
        let rss = tracked.totals.rss;
        // It would not fit again.
        if self.room_of(pid) <= room {
            return self.give_up(pid, mappings);
        }
        self.account(pid);
        let takes = self.tracked.get(&pid).map_or(0, |tracked| tracked.shown.footprint);
        let needs = budget::held(mappings).max(takes);
        while self.footprint.saturating_sub(takes).saturating_add(needs) > self.budget.spaces() {
            let others = self.tracked.iter().filter(|(other, _)| **other != pid);
            let largest = others.map(|(pid, tracked)| (tracked.shown.footprint, *pid)).max();
            // Of two that are equal, the one that is there stays.
            match largest.filter(|(size, _)| *size > needs.saturating_add(needs / 8)) {
                Some((_, other)) => self.give_up(other, 0),
                None => return self.give_up(pid, mappings),
            }
        }
        self.candidates.entry(pid).or_insert(rss);
    }

    /// Lets a process return if there is room for it now. Returns whether it did.
    pub(super) fn comes_back(&mut self, pid: u32, now: u64) -> bool {
        let Some(Reason { mappings, not_before, tries }) = self.given_up.processes.get(&pid).copied() else {
            return true;
        };
        let needs = budget::held(mappings.saturating_add(mappings / 8));
        if now < not_before || self.footprint.saturating_add(needs) > self.budget.low_mark() {
            return false;
        }
        self.given_up.forget(pid);
        let mut tracked = Tracked::new(self.geometry);
        (tracked.tries, tracked.scan.expected) = (tries, mappings);
        self.insert(pid, tracked);
        true
    }
}
