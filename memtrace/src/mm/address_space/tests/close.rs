//! Estimates adjusted to made-up totals of the kernel.

use memtrace_common::event::space::Mmap;
use zerocopy::FromZeros;

use super::{
    super::{Applied, Geometry, HugePages},
    *,
};
use crate::mm::{
    region::{Backing, Region},
    residency::Measured,
};

const PAGE: u64 = 4096;
const MIB: u64 = 1 << 20;
const HEAP: u64 = 0x10_0000_0000;
const NEW: u64 = 0x20_0000_0000;

fn space(thp: HugePages) -> AddressSpace {
    let mut space = AddressSpace::new(Geometry::new(PAGE, 2 * MIB, thp).unwrap());
    let heap = Region::new(HEAP, HEAP + 64 * MIB, Prot(Prot::READ | Prot::WRITE), Backing::Heap);
    space.resync(&[heap]);
    let truth = Measured { resident: Bytes(8 * MIB), ..Measured::default() };
    assert_eq!(space.set_truth(HEAP, HEAP + 64 * MIB, &truth, 1 << 30), Applied::Exact);
    space.settle();
    space
}

fn map(space: &mut AddressSpace, addr: u64, len: u64) {
    let mut call = Mmap::new_zeroed();
    (call.addr, call.len, call.fd, call.prot) = (addr, len, -1, 3);
    call.flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u32;
    space.map(&call);
}

fn resident(space: &AddressSpace, addr: u64) -> u64 {
    space.at(addr).unwrap().1.unwrap().resident.0
}

fn private(bytes: u64) -> Kinds {
    Kinds { private: (bytes / PAGE) as i64, shared: 0 }
}

#[test]
fn a_sampled_huge_page_is_worth_what_the_kernel_says() {
    let mut space = space(HugePages::Always);
    space.fault(HEAP + 32 * MIB, 64);
    assert_eq!(resident(&space, HEAP), 64 * MIB, "64 huge pages, as far as there is room");
    assert_eq!(space.close(private(12 * MIB)), Kinds::default());
    assert_eq!(resident(&space, HEAP), 12 * MIB);
    // The adjustment is undone when the total rises, and never goes below the measurement.
    assert_eq!(space.close(private(40 * MIB)), Kinds::default());
    assert_eq!(resident(&space, HEAP), 40 * MIB);
    let left = space.close(private(6 * MIB));
    assert_eq!(left, Kinds { private: -((2 * MIB / PAGE) as i64), shared: 0 });
    assert_eq!(resident(&space, HEAP), 8 * MIB);
}

#[test]
fn a_huge_page_that_no_sample_told_of_is_found() {
    let mut space = space(HugePages::Always);
    assert!(space.may_grow_unseen());
    assert_eq!(space.close(private(16 * MIB)), Kinds::default());
    assert_eq!(resident(&space, HEAP), 16 * MIB);
    space.close(private(8 * MIB));
    assert_eq!((resident(&space, HEAP), space.guesses.len()), (8 * MIB, 0));
}

#[test]
fn without_a_sample_or_anything_new_it_is_left_over() {
    let mut space = space(HugePages::Never);
    assert!(!space.may_grow_unseen());
    let missing = Kinds { private: (MIB / PAGE) as i64, shared: 3 };
    let total = Kinds { private: missing.private + (8 * MIB / PAGE) as i64, shared: 3 };
    assert_eq!(space.close(total), missing);
    assert_eq!(resident(&space, HEAP), 8 * MIB);
}

#[test]
fn the_uncertain_take_most_and_none_takes_more_than_it_has_room_for() {
    let mut space = space(HugePages::Never);
    map(&mut space, NEW, MIB);
    for _ in 0..8 {
        space.fault(HEAP, 64);
    }
    // Samples explain 2 MiB of 3: nine tenths of the rest go to the region with the samples.
    space.close(private(11 * MIB));
    let (heap, new) = (resident(&space, HEAP), resident(&space, NEW));
    assert_eq!(heap + new, 11 * MIB);
    assert!((MIB / 10 - PAGE..=MIB / 10 + PAGE).contains(&new), "{new}");
    space.close(private(64 * MIB));
    assert_eq!(resident(&space, NEW), MIB);
    assert_eq!(resident(&space, HEAP), 63 * MIB);
}

#[test]
fn what_was_unmapped_meanwhile_takes_its_part_with_it() {
    let mut space = space(HugePages::Never);
    map(&mut space, NEW, 4 * MIB);
    space.close(private(12 * MIB));
    assert_eq!(resident(&space, NEW), 4 * MIB);
    space.unmap(NEW, 3 * MIB);
    space.close(private(9 * MIB));
    assert_eq!(resident(&space, NEW + 3 * MIB), MIB);
    space.unmap(NEW, 4 * MIB);
    assert_eq!(space.close(private(8 * MIB)), Kinds::default());
    assert_eq!(space.guesses.len(), 0);
}

#[test]
fn scans_are_not_asked_for_by_what_was_closed() {
    let mut space = space(HugePages::Never);
    space.fault(HEAP, 64);
    let moved = space.moved();
    space.close(private(9 * MIB));
    assert_eq!(space.moved(), moved);
    assert_eq!(space.totals().resident, Bytes(9 * MIB));
    assert_eq!(space.totals().shared, Bytes(0));
}

#[test]
fn a_thousand_regions_are_kept_and_no_more() {
    let mut space = space(HugePages::Never);
    for at in 0..2 * MOST as u64 {
        map(&mut space, NEW + at * MIB, PAGE);
        space.fault(NEW + at * MIB, 64);
    }
    assert!(space.guesses.len() <= MOST);
    space.close(private(8 * MIB));
    assert!(space.guesses.len() <= MOST);
    let left = space.close(private(80 * MIB));
    assert!(left.private >= 0 && space.totals().resident.0 <= 80 * MIB, "{left:?}");
}
