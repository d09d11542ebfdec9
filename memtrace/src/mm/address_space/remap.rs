//! mremap.
//!
//! Source: mm/mremap.c. Since 6.17, one call may move several mappings and the holes between them.

use memtrace_common::event::space::Mremap;

use super::{AddressSpace, Released, Stale, span::Span};
use crate::mm::{region::VmFlags, residency::Held};

/// libc defines it on some targets only.
const MREMAP_DONTUNMAP: u64 = 4;

impl AddressSpace {
    /// `mremap`.
    pub fn remap(&mut self, call: &Mremap) -> Released {
        let align = |len: u64| {
            let is_hugetlb = self.find(call.old_addr).is_some_and(|(_, span)| span.traits.is_hugetlb);
            let unit = if is_hugetlb { self.geometry.huge } else { self.geometry.page };
            len.checked_next_multiple_of(unit)
        };
        let (Some(old_len), Some(new_len)) = (align(call.old_len), align(call.new_len)) else {
            return Released::default();
        };
        let (old, new) = (call.old_addr, call.new_addr);
        let ends = old.checked_add(old_len).zip(new.checked_add(new_len));
        // The kernel refuses such a call.
        let is_whole = (old | new) & (self.geometry.page - 1) == 0 && new_len > 0;
        let Some((old_end, new_end)) = ends.filter(|_| is_whole) else { return Released::default() };
        if new != old && old < new_end && new < old_end {
            return Released::default();
        }
        let is_fixed = call.flags & libc::MREMAP_FIXED as u64 != 0;
        if old_len == 0 {
            self.duplicate(old, new, new_end, is_fixed)
        } else if new != old {
            let keeps_old = call.flags & MREMAP_DONTUNMAP != 0;
            self.move_range((old, old_end), (new, new_end), is_fixed, keeps_old)
        } else if new_len <= old_len {
            self.discard(new_end, old_end)
        } else {
            let released = self.make_room(old_end, new_end, false);
            self.extend(old_end, new_end);
            released
        }
    }

    /// A length of 0 maps the same shared pages once more.
    fn duplicate(&mut self, old: u64, new: u64, new_end: u64, is_fixed: bool) -> Released {
        let source = self.find(old).map(|(start, span)| {
            let held = Held::EMPTY;
            Span { end: new_end, offset: span.offset_at(start, old), held, ..span.clone() }
        });
        let released = self.make_room(new, new_end, is_fixed);
        match source {
            Some(span) => self.put(new, span),
            None => self.mark_stale(Stale::Missing),
        }
        released
    }

    fn move_range(
        &mut self,
        (old, old_end): (u64, u64),
        (new, new_end): (u64, u64),
        is_fixed: bool,
        keeps_old: bool,
    ) -> Released {
        let (old_len, new_len) = (old_end - old, new_end - new);
        let moved_end = old + old_len.min(new_len);
        // Where the source has a hole, the kernel leaves the target unchanged.
        let may_have_holes = is_fixed && old_len == new_len;
        if !may_have_holes && !self.is_covered(old, moved_end) {
            self.mark_stale(Stale::Missing);
        }
        let mut released = Released::default();
        let mut count = |more: Released| {
            released.resident.0 = released.resident.0.saturating_add(more.resident.0);
        };
        count(self.discard(moved_end, old_end));
        let mut pieces = Vec::new();
        self.carve(old, moved_end, |at, span| pieces.push((at, span)));
        if !may_have_holes {
            count(self.make_room(new, new_end, is_fixed));
        }
        for (at, mut span) in pieces.into_iter().rev() {
            let (start, end) = (at - old + new, span.end - old + new);
            if may_have_holes {
                count(self.discard(start, end));
            }
            if keeps_old {
                let mut rest = Span { held: Held::EMPTY, ..span.clone() };
                if rest.traits.flags.has(VmFlags::LOCKED) {
                    let mut traits = (*rest.traits).clone();
                    traits.flags = traits.flags.with(VmFlags::LOCKED, false);
                    rest.traits = self.pool.share(traits);
                }
                self.put(at, rest);
            }
            span.end = end;
            self.put(start, span);
        }
        let moved_to = new + (moved_end - old);
        if moved_to < new_end {
            self.extend(moved_to, new_end);
        }
        released
    }

    /// Extends the region that ends at `from` to `to`; the range between must be free.
    fn extend(&mut self, from: u64, to: u64) {
        let below = from.checked_sub(1).and_then(|last| self.find(last));
        let Some((start, span)) = below.filter(|(_, span)| span.end == from) else {
            self.mark_stale(Stale::Missing);
            return;
        };
        let more = Span { end: to, offset: span.offset_at(start, from), held: Held::EMPTY, ..span.clone() };
        self.put(from, more);
        self.join(from);
    }
}
