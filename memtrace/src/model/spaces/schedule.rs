//! Which processes to scan next.
//!
//! Input: who was touched, and the kernel's totals. Output: requests, what tells most first. Pure.

use super::{
    Spaces, list,
    scan_state::Pending,
    tracked::{SMALL, Tracked},
};
use crate::model::scan::{Depth, Order, Request};

/// Scans that are asked for at most: the scanner takes them one by one, and what moves most should go first.
const UNDER_WAY: usize = 64;

impl Spaces {
    /// The processes whose mappings are not known by calls alone: these are read at once, without their pages.
    pub fn astray(&mut self) -> Vec<Request> {
        let mut astray = Vec::new();
        for pid in &self.touched {
            let Some(tracked) = self.tracked.get_mut(pid).filter(|tracked| tracked.is_astray()) else {
                continue;
            };
            if self.under_way.insert(*pid) {
                tracked.scan.pending = Pending::Mappings(Vec::new());
                astray.push(Request { pid: *pid, depth: Depth::Regions });
            }
        }
        astray
    }

    /// The processes to scan next, what tells most first.
    pub fn due(&mut self, now: u64) -> Vec<Request> {
        let Self { tracked, under_way, candidates, touched, .. } = self;
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
            if is_worth_it && !under_way.contains(pid) {
                due.push((worth, *rss, *pid));
            }
            is_worth_it || may_be_more
        });
        due.sort_unstable_by(|a, b| b.cmp(a));
        due.truncate(UNDER_WAY.saturating_sub(self.under_way.len()));
        due.into_iter().map(|(_, rss, pid)| self.expect(pid, rss, now)).collect()
    }

    /// A scan of this process is asked for: it will come.
    pub fn expect(&mut self, pid: u32, rss: u64, now: u64) -> Request {
        self.under_way.insert(pid);
        let geometry = self.geometry;
        let tracked = self.tracked.entry(pid).or_insert_with(|| Tracked::new(geometry));
        tracked.scan.rss_at_request = rss;
        list(&mut self.touched, pid, tracked);
        Request { pid, depth: tracked.request(now) }
    }

    /// The same of one whose group is near its limit: before all others.
    pub fn arm(&mut self, pid: u32, rss: u64, now: u64) -> Vec<Order> {
        let read = (!self.under_way.contains(&pid)).then(|| Order::Read(self.expect(pid, rss, now)));
        read.into_iter().chain([Order::Hurry(pid)]).collect()
    }
}
