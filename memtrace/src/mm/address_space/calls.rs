//! mmap, munmap, brk and mprotect.
//!
//! Sources: mm/mmap.c, mm/vma.c, mm/mprotect.c. Only successful calls come here, with the address that was returned.

use memtrace_common::event::space::Mmap;

use super::{
    AddressSpace, Released, Stale,
    span::{Call, Span, Traits},
};
use crate::{
    mm::{
        region::{Backing, Prot, VmFlags},
        residency::Held,
    },
    units::{Bytes, Grade},
};

impl AddressSpace {
    /// `mmap`. It replaces the regions in its range; if the flags do not allow that, the space becomes stale.
    pub fn map(&mut self, call: &Mmap) -> Released {
        let len = self.map_len(call);
        let Some((start, end)) = self.pages(call.addr, len) else { return Released::default() };
        let has = |flag: i32| call.flags & flag as u32 != 0;
        let released = self.make_room(start, end, has(libc::MAP_FIXED));
        let traits = traits_of(call);
        let is_hugetlb = traits.is_hugetlb;
        let is_filled = is_filled_at_once(call, &traits);
        let mut span = Span {
            end,
            offset: if traits.backing == Backing::UnknownFile { call.offset } else { 0 },
            born_addr: call.addr,
            born_len: call.len,
            traits: self.pool.share(traits),
            held: Held::EMPTY,
        };
        if is_filled && !is_hugetlb {
            let pages = self.count(end - start);
            span.held.add(pages, pages, span.traits.is_anonymous(), self.geometry.page, Grade::Inferred);
            self.moved = self.moved.saturating_add(end - start);
        }
        self.put(start, span);
        self.bound();
        released
    }

    /// Handles a call whose mapping was read from maps before the event arrived: sets where the mapping was born.
    /// Returns whether there was such a mapping.
    pub fn recall(&mut self, call: &Mmap) -> bool {
        let Some((start, end)) = self.pages(call.addr, self.map_len(call)) else { return false };
        let told = traits_of(call);
        let last = self.spans.range(..=start).next_back();
        let is_it = last.is_some_and(|(_, span)| {
            span.end >= end && span.traits.call.is_none() && span.traits.backing == told.backing
        });
        if !is_it || told.backing != Backing::Anonymous {
            return false;
        }
        self.cut(start);
        self.cut(end);
        let Some(traits) =
            self.spans.get(&start).map(|span| Traits { call: told.call, ..(*span.traits).clone() })
        else {
            return false;
        };
        let traits = self.pool.share(traits);
        if let Some(span) = self.spans.get_mut(&start) {
            (span.traits, span.born_addr, span.born_len) = (traits, call.addr, call.len);
        }
        true
    }

    /// `munmap`. Holes in the range are allowed.
    pub fn unmap(&mut self, addr: u64, len: u64) -> Released {
        match self.pages(addr, len) {
            Some((start, end)) => self.discard(start, end),
            None => Released::default(),
        }
    }

    /// `brk`: the program break is at `brk` from now on.
    pub fn set_brk(&mut self, brk: u64) -> Released {
        let mask = self.geometry.page - 1;
        let Some(new) = brk.checked_add(mask).map(|end| end & !mask) else { return Released::default() };
        let Some(old) = self.brk.replace(new) else {
            // The new break alone does not give the heap's start.
            self.mark_stale(Stale::UnknownBreak);
            return Released::default();
        };
        if new <= old {
            return self.discard(new, old);
        }
        let released = self.make_room(old, new, false);
        let traits = Traits {
            prot: Prot(Prot::READ | Prot::WRITE),
            is_shared: false,
            is_hugetlb: false,
            has_flags: true,
            flags: VmFlags(VmFlags::ACCOUNT),
            backing: Backing::Heap,
            name: None,
            call: None,
        };
        // The flags below the old break apply above it too, so that the heap stays one region.
        let below = self.find(old.saturating_sub(1)).map(|(_, span)| &span.traits);
        let same = below.filter(|below| {
            below.backing == Backing::Heap
                && below.prot == traits.prot
                && (!below.has_flags || below.flags == traits.flags)
        });
        let traits = match same {
            Some(below) => std::sync::Arc::clone(below),
            None => self.pool.share(traits),
        };
        let held = Held::EMPTY;
        self.put(old, Span { end: new, offset: 0, born_addr: 0, born_len: 0, traits, held });
        self.join(old);
        released
    }

    /// Sets the initial program break (`start_brk` in `/proc/PID/stat`): needed before the first `brk`, while maps
    /// shows no heap.
    pub fn set_start_brk(&mut self, start_brk: u64) {
        let mask = self.geometry.page - 1;
        if let Some(aligned) = start_brk.checked_add(mask) {
            self.brk.get_or_insert(aligned & !mask);
        }
    }

    /// `mprotect`, and `pkey_mprotect`.
    pub fn protect(&mut self, addr: u64, len: u64, prot: u64) {
        let Some((mut start, end)) = self.pages(addr, len) else { return };
        if !self.is_covered(start, end) {
            self.mark_stale(Stale::Missing);
        }
        if prot & libc::PROT_GROWSDOWN as u64 != 0
            && let Some((first, _)) = self.find(start)
        {
            start = first;
        }
        let prot = Prot::from_call(prot);
        self.retrait(start, end, |traits| {
            traits.prot = prot;
            let uncounted = VmFlags::ACCOUNT | VmFlags::NO_RESERVE | VmFlags::HUGETLB;
            if prot.is_writable() && !traits.is_shared && !traits.flags.has(uncounted) {
                traits.flags = traits.flags.with(VmFlags::ACCOUNT, traits.has_flags);
            }
        });
    }

    /// Empties the range of a new mapping.
    pub(super) fn make_room(&mut self, start: u64, end: u64, may_replace: bool) -> Released {
        if !self.is_taken(start, end) {
            return Released::default();
        }
        if !may_replace {
            self.conflicts = self.conflicts.saturating_add(1);
            self.mark_stale(Stale::Conflict);
        }
        self.discard(start, end)
    }

    /// Unmaps a range.
    pub(super) fn discard(&mut self, start: u64, end: u64) -> Released {
        let mut pages = 0_u64;
        self.carve(start, end, |_, span| {
            pages = pages.saturating_add(if span.traits.is_hugetlb { 0 } else { span.held.pages.into() });
        });
        let resident = Bytes(pages.saturating_mul(self.geometry.page));
        self.moved = self.moved.saturating_add(resident.0);
        Released { resident, ..Released::default() }
    }

    /// The kernel rounds the length of hugetlb mappings up to hugetlb pages.
    fn map_len(&self, call: &Mmap) -> u64 {
        if call.flags & libc::MAP_HUGETLB as u32 == 0 {
            return call.len;
        }
        let shift = call.flags >> libc::MAP_HUGE_SHIFT & libc::MAP_HUGE_MASK as u32;
        let page = 1_u64.checked_shl(shift).filter(|_| shift != 0).unwrap_or(self.geometry.huge);
        call.len.checked_next_multiple_of(page).unwrap_or(call.len)
    }

    /// A program may map block after block until the kernel has merged a million of them into one VMA. Above a limit,
    /// neighbours from the same call site become one region here too.
    fn bound(&mut self) {
        if self.spans.len() <= self.many {
            return;
        }
        let mut at = 0;
        while let Some((start, next)) = self.spans.range(at..).next().map(|(start, span)| (*start, span)) {
            at = next.end;
            let Some((first, span)) = self.spans.range(..start).next_back() else { continue };
            let is_same = span.traits.call.is_some() && span.end == start && span.traits == next.traits;
            if !is_same || span.offset_at(*first, start) != next.offset {
                continue;
            }
            let (first, addr) = (*first, span.born_addr.min(next.born_addr));
            let len = span.born_len.saturating_add(next.born_len);
            for at in [first, start] {
                if let Some(span) = self.spans.get_mut(&at) {
                    (span.born_addr, span.born_len) = (addr, len);
                }
            }
            self.join(start);
        }
        // If that merged little, do not try again soon.
        self.many = self.many.max(self.spans.len().saturating_mul(2));
    }
}

fn traits_of(call: &Mmap) -> Traits {
    let has = |flag: i32| call.flags & flag as u32 != 0;
    // MAP_SHARED_VALIDATE is 3, MAP_DROPPABLE, which is private, 8.
    let is_shared = has(libc::MAP_SHARED);
    let prot = Prot::from_call(call.prot.into());
    let (is_hugetlb, is_free) = (has(libc::MAP_HUGETLB), has(libc::MAP_NORESERVE));
    let flags = VmFlags::default()
        .with(VmFlags::NO_RESERVE, is_free)
        .with(VmFlags::ACCOUNT, prot.is_writable() && !is_shared && !is_free && !is_hugetlb)
        .with(VmFlags::LOCKED, has(libc::MAP_LOCKED))
        .with(VmFlags::HUGETLB, is_hugetlb)
        .with(VmFlags::GROWS_DOWN, has(libc::MAP_GROWSDOWN));
    let backing = match (has(libc::MAP_ANONYMOUS), is_shared) {
        (true, false) => Backing::Anonymous,
        (true, true) => Backing::SharedAnonymous,
        (false, _) => Backing::UnknownFile,
    };
    Traits {
        prot,
        is_shared,
        is_hugetlb,
        // A file mapping may get further flags from its driver.
        has_flags: has(libc::MAP_ANONYMOUS),
        flags,
        backing,
        name: None,
        call: Some(Call { prot, flags: call.flags, caller: call.caller }),
    }
}

/// `MAP_POPULATE` and `MAP_LOCKED` touch every page before the call returns. Reads of private memory map the zero page,
/// which RSS does not count.
fn is_filled_at_once(call: &Mmap, traits: &Traits) -> bool {
    let populate = (libc::MAP_POPULATE | libc::MAP_NONBLOCK) as u32;
    let is_asked =
        call.flags & populate == libc::MAP_POPULATE as u32 || call.flags & libc::MAP_LOCKED as u32 != 0;
    is_asked && traits.prot != Prot::NONE && (traits.prot.is_writable() || !traits.is_anonymous())
}
