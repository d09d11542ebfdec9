//! Applies a scan to the state of a process.
//!
//! Input: a scan, and the events that arrived during it. Output: the current space. Pure.

use super::{
    scan_state::Doubt,
    tracked::{SMALL, Tracked},
};
use crate::{
    ingest::decode::{Event, SpaceEvent},
    mm::{address_space::Stale, listing::Mappings, page_table::Found, residency::Measured},
    model::scan::Scan,
    units::Bytes,
};

impl Tracked {
    /// Takes a scan, and applies the events since then.
    pub(super) fn take(&mut self, scan: Scan) {
        let is_empty = scan.is_empty();
        let Scan {
            pid: _,
            begun,
            at,
            resident,
            is_bare,
            mappings,
            over: _,
            parts,
            outside,
            evidence,
            reading,
            took: _,
            not_read,
        } = scan;
        let kept = self.scan.pending.take();
        if at <= self.born {
            return; // a scan of the previous program
        }
        self.scan.is_unreadable = is_empty;
        if self.scan.not_read.is_some() || not_read.is_some() {
            self.touch();
        }
        self.scan.not_read = not_read.map(|why| (why, at));
        if is_empty {
            // The space is kept, and the next scan is requested only after a change.
            self.totals.gap = self.gap(self.scan.rss_at_request);
            return;
        }
        if is_bare {
            return self.take_regions(mappings.regions(), at, kept);
        }
        let was = self.resident();
        let is_detailed = !mappings.is_empty();
        let mut last = self.scan.last.unwrap_or_default();
        let taken = if is_detailed {
            self.take_mappings(&mappings, at);
            (self.scan.expected, self.scan.list) = (mappings.len() as u64, Bytes(0));
            (last.detailed_at, last.doubt) = (at, Doubt::Nothing);
            Vec::new()
        } else {
            last.doubt = last.after_pages(outside.0 >= SMALL.max(was / 100));
            self.take_parts(&parts, at)
        };
        self.peak.correct(was, self.resident());
        self.space.settle();
        (last.begun_at, last.at, last.sampled) = (begun, at, 0);
        self.scan.last = Some(last);
        (self.totals.closed, self.totals.left_over, self.totals.may_grow_unseen) = (0, 0, None);
        self.compare(resident, is_detailed);
        if let Some(evidence) = evidence {
            (self.attribution.evidence, self.dirty.owners) = (evidence, true);
        }
        if reading.is_some() {
            self.attribution.reading = reading;
        }
        self.touch();
        let Some(events) = kept else { return self.space.mark_stale(Stale::Budget) };
        self.totals.gap = self.gap(self.scan.rss_at_request);
        let unmeasured = if is_detailed { 0 } else { self.unmeasured() };
        let is_during = |event: &Event| (begun..=at).contains(&event.header().ktime);
        if let Some(last) = &mut self.scan.last {
            (last.unmeasured, last.is_smeared) = (unmeasured, events.iter().any(is_during));
        }
        for event in events.iter().filter(|event| event.header().ktime > at) {
            if let Event::Space(SpaceEvent::Fault(fault)) = event {
                self.scan.sample(fault.period);
            }
            // Growth by stack was counted when the event arrived. If the regions were kept, calls were applied already.
            if is_detailed || falls_in(event, &taken) {
                self.space.apply(event);
            }
        }
    }

    fn take_mappings(&mut self, mappings: &Mappings, at: u64) {
        self.space.resync(mappings.regions());
        self.stacks.forget_modules();
        for (region, measured) in mappings.measured() {
            self.space.set_truth(region.start, region.end, measured, at);
        }
        (self.dirty.owners, self.dirty.evidence) = (true, false);
    }

    /// Takes the measurements of ranges. Returns the ranges of regions that have not changed since.
    fn take_parts(&mut self, parts: &[Found], at: u64) -> Vec<(u64, u64)> {
        self.attribution.split.clear();
        let mut taken = Vec::new();
        let regions: Vec<(u64, u64)> =
            self.space.regions().map(|region| (region.start, region.end)).collect();
        let mut rest = parts;
        for (start, end) in regions {
            rest = rest.get(rest.partition_point(|part| part.start < start)..).unwrap_or_default();
            let inside = rest.get(..rest.partition_point(|part| part.end <= end)).unwrap_or_default();
            if inside.iter().map(|part| part.end.saturating_sub(part.start)).sum::<u64>() != end - start {
                continue;
            }
            let sum = |of: fn(&Found) -> Option<Bytes>| {
                Bytes(inside.iter().filter_map(of).fold(0, |sum, Bytes(more)| sum.saturating_add(more)))
            };
            let resident = sum(|part| Some(part.measured.resident));
            let swapped = Some(sum(|part| part.measured.swapped));
            self.space.set_truth(start, end, &Measured { resident, swapped, ..Measured::default() }, at);
            taken.push((start, end));
            if inside.len() > 1 {
                let held = inside.iter().map(|part| ((part.start, part.end), part.measured.resident.0));
                self.attribution.split.extend(held);
            }
        }
        taken
    }
}

/// Whether an event concerns pages of one of these ranges, which are sorted by address.
fn falls_in(event: &Event, ranges: &[(u64, u64)]) -> bool {
    let addr = match event {
        Event::Space(SpaceEvent::Fault(fault)) => fault.addr,
        Event::Space(SpaceEvent::Madvise(call)) => call.addr,
        _ => return false,
    };
    let after = ranges.partition_point(|(start, _)| *start <= addr);
    after.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|(_, end)| addr < *end)
}
