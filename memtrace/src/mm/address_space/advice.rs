//! madvise.
//!
//! Source: mm/madvise.c. Advice that changes flags splits regions, as the kernel splits VMAs. Advice that only releases
//! or populates pages does not, because allocators release a few pages at a time in many places.

use super::{AddressSpace, Released, Stale, span::Traits};
use crate::{
    mm::region::{Prot, VmFlags},
    units::Grade,
};

/// Effects of an advice on the model (values: include/uapi/asm-generic/mman-common.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Advice {
    /// The pages of the range are released at once: `MADV_DONTNEED`, `_LOCKED`, `MADV_REMOVE`, `MADV_GUARD_INSTALL`.
    Release,
    /// The kernel may release them later: `MADV_FREE`.
    FreeLazily,
    /// The pages become resident: `MADV_POPULATE_READ` and `_WRITE`.
    Populate { is_write: bool },
    /// An unknown number of pages changes: `MADV_PAGEOUT`, `MADV_COLLAPSE`.
    Doubt,
    /// VMA flags are set and cleared.
    Flags { set: u16, clear: u16 },
    /// No effect on this model.
    Nothing,
}

impl Advice {
    const fn from_call(advice: i32) -> Self {
        const GUARD_INSTALL: i32 = 102;
        let (set, clear) = match advice {
            libc::MADV_DONTNEED | libc::MADV_DONTNEED_LOCKED | libc::MADV_REMOVE | GUARD_INSTALL => {
                return Self::Release;
            }
            libc::MADV_FREE => return Self::FreeLazily,
            libc::MADV_POPULATE_READ => return Self::Populate { is_write: false },
            libc::MADV_POPULATE_WRITE => return Self::Populate { is_write: true },
            libc::MADV_PAGEOUT | libc::MADV_COLLAPSE => return Self::Doubt,
            libc::MADV_DONTFORK => (VmFlags::DONT_COPY, 0),
            libc::MADV_DOFORK => (0, VmFlags::DONT_COPY),
            libc::MADV_HUGEPAGE => (VmFlags::HUGE_PAGE, VmFlags::NO_HUGE_PAGE),
            libc::MADV_NOHUGEPAGE => (VmFlags::NO_HUGE_PAGE, VmFlags::HUGE_PAGE),
            libc::MADV_DONTDUMP => (VmFlags::DONT_DUMP, 0),
            libc::MADV_DODUMP => (0, VmFlags::DONT_DUMP),
            libc::MADV_WIPEONFORK => (VmFlags::WIPE_ON_FORK, 0),
            libc::MADV_KEEPONFORK => (0, VmFlags::WIPE_ON_FORK),
            _ => return Self::Nothing,
        };
        Self::Flags { set, clear }
    }
}

impl AddressSpace {
    /// `madvise`.
    pub fn advise(&mut self, addr: u64, len: u64, advice: i32) -> Released {
        let advice = Advice::from_call(advice);
        let Some((start, end)) = self.pages(addr, len).filter(|_| advice != Advice::Nothing) else {
            return Released::default();
        };
        if !self.is_covered(start, end) {
            self.mark_stale(Stale::Missing);
        }
        let mut released = Released::default();
        if let Advice::Flags { set, clear } = advice {
            self.retrait(start, end, |traits: &mut Traits| {
                traits.flags = traits.flags.with(clear, false).with(set, true);
            });
            return released;
        }
        let page = self.geometry.page;
        let mut at = start;
        while let Some((first, span)) = self.first_in(at, end) {
            let (from, to) = (first.max(start), span.end.min(end));
            at = to;
            let part = self.count(to - from);
            let traits = std::sync::Arc::clone(&span.traits);
            let is_anonymous = traits.is_anonymous();
            // Reads of untouched private memory map the zero page, which RSS does not count.
            let is_filled = |is_write| traits.prot != Prot::NONE && (is_write || !is_anonymous);
            let before = span.held.pages;
            let change = self.rehold(first, |held, all| match advice {
                Advice::Release => (held.release(part, all), 0),
                Advice::FreeLazily if is_anonymous => (0, held.free_lazily(part, all)),
                Advice::Populate { is_write } if is_filled(is_write) => {
                    // Assumes that resident pages are spread evenly over the region.
                    let untouched = u128::from(all.saturating_sub(before.into())) * u128::from(part);
                    let more = untouched.div_ceil(u128::from(all.max(1)));
                    held.add(u64::try_from(more).unwrap_or(part), all, is_anonymous, page, Grade::Inferred);
                    (0, 0)
                }
                Advice::Doubt => {
                    held.doubt();
                    (0, 0)
                }
                Advice::FreeLazily | Advice::Populate { .. } | Advice::Flags { .. } | Advice::Nothing => {
                    (0, 0)
                }
            });
            if advice == Advice::Doubt {
                self.moved = self.moved.saturating_add(u64::from(before).saturating_mul(page));
            }
            let (gone, lazy) = change.filter(|_| !traits.is_hugetlb).unwrap_or_default();
            let count =
                |sum: &mut u64, pages: u32| *sum = sum.saturating_add(u64::from(pages).saturating_mul(page));
            count(&mut released.resident.0, gone);
            count(&mut released.freed_lazily.0, lazy);
        }
        released
    }
}
