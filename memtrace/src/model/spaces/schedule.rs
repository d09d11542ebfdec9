//! Which processes to scan next.
//!
//! Input: processes with events, and the kernel's totals. Output: requests, the most valuable first. Pure.

use super::{
    Spaces, list,
    scan_state::Pending,
    tracked::{SMALL, Tracked},
};
use crate::{
    model::{
        budget,
        scan::{Depth, Order, Request},
    },
    units::Bytes,
};

/// The most requested scans. The scanner takes them one by one, and later requests may be more valuable.
const UNDER_WAY: usize = 64;

/// The memory of a requested scan.
#[derive(Clone, Copy, Default)]
pub(super) struct Asked {
    /// All of it, until the result is applied.
    bytes: u64,
    /// The part for the list of its mappings.
    pub(super) room: Bytes,
}

impl Spaces {
    /// The processes whose calls do not explain their mappings: these are read immediately, without their pages.
    pub fn astray(&mut self) -> Vec<Request> {
        let mut astray = Vec::new();
        for pid in std::mem::take(&mut self.touched) {
            self.touched.push(pid);
            let is_astray = self.tracked.get(&pid).is_some_and(Tracked::is_astray);
            if !is_astray || self.under_way.contains_key(&pid) || !self.has_room_to_ask(pid) {
                continue;
            }
            let room = self.room_of(pid);
            self.under_way.insert(pid, Asked { bytes: room.0, room });
            if let Some(tracked) = self.tracked.get_mut(&pid) {
                tracked.scan.pending = Pending::Mappings(Vec::new());
            }
            astray.push(Request { pid, depth: Depth::Regions, room });
        }
        astray
    }

    /// The processes to scan next, the most valuable first.
    pub fn due(&mut self, now: u64) -> Vec<Request> {
        let Self { tracked, given_up, under_way, candidates, touched, .. } = self;
        for pid in &*touched {
            if let Some(tracked) = tracked.get(pid) {
                candidates.entry(*pid).or_insert(tracked.totals.rss);
            }
        }
        let mut due: Vec<(u64, u64, u32)> = Vec::new();
        candidates.retain(|pid, rss| {
            let (worth, may_be_more) = match tracked.get_mut(pid) {
                Some(tracked) => {
                    let (worth, may_be_more) = tracked.look(*rss, now);
                    list(touched, *pid, tracked);
                    (worth, may_be_more)
                }
                None => (*rss, false),
            };
            let is_worth_it = worth > 0 && *rss >= SMALL;
            if is_worth_it && !under_way.contains_key(pid) {
                due.push((worth, *rss, *pid));
            }
            // The next reading of its totals makes a process that was given up a candidate again.
            (is_worth_it || may_be_more) && !given_up.has(*pid)
        });
        due.sort_unstable_by(|a, b| b.cmp(a));
        let mut requests = Vec::new();
        for (_, rss, pid) in due {
            if !self.comes_back(pid, now) {
                continue;
            }
            // The first without room goes first at the next tick, otherwise a large one would never go.
            if self.under_way.len() >= UNDER_WAY || !self.has_room_to_ask(pid) {
                break;
            }
            requests.push(self.expect(pid, rss, now));
        }
        requests.extend(self.by_time(now));
        requests
    }

    /// The process whose counters are so old that they are read again, if it is time for one.
    fn by_time(&mut self, now: u64) -> Option<Request> {
        let pid = self.reread.due(&self.tracked, |pid| self.under_way.contains_key(&pid), now)?;
        if self.under_way.len() >= UNDER_WAY || !self.has_room_to_ask(pid) {
            return None;
        }
        self.reread.begun(pid, now);
        let rss = self.tracked.get(&pid)?.totals.rss;
        Some(self.expect(pid, rss, now))
    }

    /// Requests a scan of this process, and expects its result.
    pub fn expect(&mut self, pid: u32, rss: u64, now: u64) -> Request {
        let room = self.room_of(pid);
        self.expect_within(pid, rss, now, room)
    }

    /// Requests a scan of this process alone: the list of its mappings may take all the room that there is.
    pub fn expect_alone(&mut self, pid: u32, rss: u64, now: u64) -> Request {
        let room = Bytes(self.budget.scans());
        self.expect_within(pid, rss, now, room)
    }

    fn expect_within(&mut self, pid: u32, rss: u64, now: u64, room: Bytes) -> Request {
        let (geometry, bytes) = (self.geometry, self.bytes_of_scan(pid).max(room.0));
        self.under_way.insert(pid, Asked { bytes, room });
        if !self.tracked.contains_key(&pid) {
            self.insert(pid, Tracked::new(geometry));
        }
        let Some(tracked) = self.tracked.get_mut(&pid) else {
            return Request { pid, depth: Depth::Mappings, room };
        };
        tracked.scan.rss_at_request = rss;
        list(&mut self.touched, pid, tracked);
        Request { pid, depth: tracked.request(now, self.budget.scans()), room }
    }

    /// Requests a scan, before all others, of a process whose group is near its limit.
    pub fn arm(&mut self, pid: u32, rss: u64, now: u64) -> Vec<Order> {
        let may_ask =
            !self.under_way.contains_key(&pid) && !self.given_up.has(pid) && self.has_room_to_ask(pid);
        let read = may_ask.then(|| Order::Read(self.expect(pid, rss, now)));
        read.into_iter().chain([Order::Hurry(pid)]).collect()
    }

    /// The room for the list of a process's mappings.
    pub(super) fn room_of(&self, pid: u32) -> Bytes {
        let list = self.tracked.get(&pid).map_or(Bytes(0), |tracked| tracked.scan.list);
        Bytes(self.budget.list_room(self.mappings(pid), list))
    }

    /// The number of its mappings, as far as known.
    fn mappings(&self, pid: u32) -> u64 {
        let known = |tracked: &Tracked| tracked.scan.expected.max(tracked.space.len() as u64);
        self.tracked.get(&pid).map_or(0, known)
    }

    /// Memory that a scan of this process may take until it is applied.
    fn bytes_of_scan(&self, pid: u32) -> u64 {
        let mappings = self.mappings(pid);
        let pages = budget::pages(mappings, mappings);
        // With more, mappings are read instead.
        let pages = if pages > self.budget.scans() { 0 } else { pages };
        pages.max(self.room_of(pid).0)
    }

    fn has_room_to_ask(&self, pid: u32) -> bool {
        let under_way: u64 = self.under_way.values().map(|asked| asked.bytes).sum();
        under_way.saturating_add(self.bytes_of_scan(pid)) <= self.budget.scans()
    }
}
