//! Which processes to scan next.
//!
//! Input: processes with events, and the kernel's totals. Output: requests, the most valuable first. Pure.

use super::{
    Spaces, list,
    scan_state::Pending,
    tracked::{SMALL, Tracked},
};
use crate::model::scan::{Depth, Order, Request};

/// The most requested scans. The scanner takes them one by one, and later requests may be more valuable.
const UNDER_WAY: usize = 64;

impl Spaces {
    /// The processes whose calls do not explain their mappings: these are read immediately, without their pages.
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

    /// The processes to scan next, the most valuable first.
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

    /// Requests a scan of this process, and expects its result.
    pub fn expect(&mut self, pid: u32, rss: u64, now: u64) -> Request {
        self.under_way.insert(pid);
        let geometry = self.geometry;
        let tracked = self.tracked.entry(pid).or_insert_with(|| Tracked::new(geometry));
        tracked.scan.rss_at_request = rss;
        list(&mut self.touched, pid, tracked);
        Request { pid, depth: tracked.request(now) }
    }

    /// Requests a scan, before all others, of a process whose group is near its limit.
    pub fn arm(&mut self, pid: u32, rss: u64, now: u64) -> Vec<Order> {
        let read = (!self.under_way.contains(&pid)).then(|| Order::Read(self.expect(pid, rss, now)));
        read.into_iter().chain([Order::Hurry(pid)]).collect()
    }
}
