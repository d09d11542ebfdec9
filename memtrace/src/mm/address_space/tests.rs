//! Address spaces: call by call, against a naive model, and against the kernel.

use memtrace_common::event::{
    Header,
    space::{Mmap, Mremap},
};

use super::*;
use crate::mm::{
    region::{Backing, Prot, VmFlags},
    residency::Measured,
};

mod behaviour;
mod cost;
mod kernel;
mod naive;
mod resident;
mod resyncs;

const PAGE: u64 = 4096;
const RW: u32 = (libc::PROT_READ | libc::PROT_WRITE) as u32;
const PRIVATE: u32 = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u32;
const FIXED: u32 = libc::MAP_FIXED as u32;
const HEADER: Header = Header { ktime: 0, tgid: 1, tid: 1, kind: 0, cpu: 0, reserved: 0 };

fn geometry() -> Geometry {
    Geometry::new(PAGE, 2 << 20, HugePages::Madvise).unwrap()
}

/// An empty space that is not stale.
fn space() -> AddressSpace {
    let mut space = AddressSpace::new(geometry());
    space.resync(&[]);
    space
}

fn mmap(addr: u64, len: u64, prot: u32, flags: u32) -> Mmap {
    let fd = if flags & libc::MAP_ANONYMOUS as u32 != 0 { -1 } else { 3 };
    Mmap { header: HEADER, addr, len, offset: 0, caller: 0xca11, prot, flags, fd, reserved: 0 }
}

fn mremap(old_addr: u64, old_len: u64, new_addr: u64, new_len: u64, flags: i32) -> Mremap {
    Mremap { header: HEADER, old_addr, old_len, new_addr, new_len, flags: flags as u64 }
}

/// Start and end of each region.
fn ranges(space: &AddressSpace) -> Vec<(u64, u64)> {
    space.regions().map(|region| (region.start, region.end)).collect()
}

/// Panics when the regions or the sums are inconsistent.
fn check(space: &AddressSpace) {
    let mut sums = Totals::default();
    let mut behind = 0;
    for (region, residency) in space.iter() {
        assert!(region.start >= behind && region.end > region.start, "{region:?} is not behind {behind:#x}");
        assert_eq!((region.start | region.end) & (PAGE - 1), 0, "{region:?}");
        behind = region.end;
        sums.mapped.0 += region.len();
        let (_, span) = space.find(region.start).unwrap();
        let pages = span.held.pages;
        assert!(u64::from(pages) * PAGE <= region.len(), "{region:?} {residency:?}");
        assert!(span.held.lazy <= pages && u64::from(span.held.swapped) * PAGE <= region.len());
        if region.is_hugetlb {
            sums.hugetlb.0 += u64::from(pages) * PAGE;
        } else {
            sums.resident.0 += u64::from(pages) * PAGE;
            sums.shared.0 += if span.traits.is_anonymous() { 0 } else { u64::from(pages) * PAGE };
            sums.lazy_free.0 += u64::from(span.held.lazy) * PAGE;
            sums.swapped.0 += u64::from(span.held.swapped) * PAGE;
        }
    }
    assert_eq!(sums, space.totals());
}
