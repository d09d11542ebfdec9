//! Resident pages after faults, releases and measurements.

use super::*;
use crate::units::Grade;

const AT: u64 = 90 << 26;

fn held(space: &AddressSpace, addr: u64) -> Residency {
    space.at(addr).unwrap().1.unwrap()
}

fn resident(space: &AddressSpace, addr: u64) -> u64 {
    held(space, addr).resident.0 / PAGE
}

/// A region of 100 pages at 0x100000 of which `pages` were faulted in.
fn with_faults(pages: u64) -> AddressSpace {
    let mut space = space();
    space.map(&mmap(0x10_0000, 100 * PAGE, RW, PRIVATE));
    space.fault(0x10_0000, pages);
    space
}

#[test]
fn a_sample_counts_for_its_period_as_far_as_there_is_room() {
    let mut space = with_faults(64);
    assert_eq!((resident(&space, 0x10_0000), held(&space, 0x10_0000).grade), (64, Grade::Sampled));
    assert_eq!(space.fault(0x10_5000, 64), Bytes(36 * PAGE));
    assert_eq!(space.totals().resident, Bytes(100 * PAGE));
    assert_eq!(space.moved(), Bytes(100 * PAGE));
}

#[test]
fn what_finds_no_room_came_in_to_neighbours_of_the_same_caller() {
    let mut space = space();
    for at in 0..8 {
        space.map(&mmap(0x10_0000 + at * 0x10_0000, 33 * PAGE, RW, PRIVATE));
    }
    let mut other = mmap(0x18_0000, 33 * PAGE, RW, PRIVATE);
    other.caller = 0x07e4;
    space.map(&other);
    assert_eq!(space.fault(0x10_0000, 64), Bytes(64 * PAGE));
    assert_eq!((resident(&space, 0x10_0000), resident(&space, 0x20_0000)), (33, 31));
    assert_eq!(space.fault(0x80_0000, 300), Bytes(200 * PAGE), "all are full");
    assert_eq!(resident(&space, 0x18_0000), 0, "another's");
    check(&space);
}

#[test]
fn a_fault_that_is_a_signal_brings_nothing() {
    let mut space = space();
    space.map(&mmap(0x10_0000, PAGE, 0, PRIVATE));
    assert_eq!(space.fault(0x10_0000, 1), Bytes(0));
}

#[test]
fn a_huge_page_comes_where_one_was_asked_for_and_fits() {
    let mut space = space();
    space.map(&mmap(0x10_0000, 4 << 20, RW, PRIVATE));
    space.fault(0x20_0000, 1);
    assert_eq!(resident(&space, 0x20_0000), 1, "nobody asked");
    space.advise(0x10_0000, 4 << 20, libc::MADV_HUGEPAGE);
    space.fault(0x10_0000, 1);
    assert_eq!(resident(&space, 0x10_0000), 2, "the block does not fit");
    space.fault(0x30_0000, 1);
    assert_eq!(resident(&space, 0x10_0000), 514);
}

#[test]
fn a_read_of_a_file_brings_its_neighbours() {
    let mut space = space();
    space.map(&mmap(0x10_0000, 100 * PAGE, 1, libc::MAP_PRIVATE as u32));
    space.map(&mmap(0x20_0000, 100 * PAGE, RW, libc::MAP_PRIVATE as u32));
    space.fault(0x10_0000, 1);
    space.fault(0x20_0000, 1);
    assert_eq!((resident(&space, 0x10_0000), resident(&space, 0x20_0000)), (16, 1));
    assert_eq!(held(&space, 0x10_0000).pss, None, "others may map the same pages");
}

#[test]
fn populated_memory_is_there_at_once() {
    let mut space = space();
    let populate = PRIVATE | libc::MAP_POPULATE as u32;
    space.map(&mmap(0x10_0000, 100 * PAGE, RW, populate));
    space.map(&mmap(0x20_0000, 100 * PAGE, 1, populate));
    space.map(&mmap(0x30_0000, 100 * PAGE, RW, populate | libc::MAP_NONBLOCK as u32));
    space.map(&mmap(0x40_0000, 100 * PAGE, RW, PRIVATE));
    space.advise(0x40_0000, 10 * PAGE, libc::MADV_POPULATE_WRITE);
    let all = [0x10_0000, 0x20_0000, 0x30_0000, 0x40_0000].map(|at| resident(&space, at));
    assert_eq!(all, [100, 0, 0, 10], "reads of untouched memory find the zero page");
    assert_eq!(held(&space, 0x10_0000).grade, Grade::Inferred);
}

#[test]
fn hugetlb_pages_are_in_no_rss() {
    let mut space = space();
    space.map(&mmap(0x4000_0000, 8 << 20, RW, PRIVATE | libc::MAP_HUGETLB as u32));
    assert_eq!(space.fault(0x4000_0000, 2), Bytes(0));
    assert_eq!((space.totals().resident, space.totals().hugetlb), (Bytes(0), Bytes(4 << 20)));
    assert_eq!(space.unmap(0x4000_0000, 8 << 20).resident, Bytes(0));
}

#[test]
fn unmapping_takes_what_the_range_held() {
    let mut space = with_faults(50);
    assert_eq!(space.unmap(0x10_0000, 20 * PAGE).resident, Bytes(10 * PAGE));
    assert_eq!(space.unmap(0x10_0000, 100 * PAGE).resident, Bytes(40 * PAGE));
    assert_eq!(space.totals(), Totals::default());
}

#[test]
fn what_is_given_back_had_been_used() {
    let mut space = with_faults(50);
    let released = space.advise(0x10_0000, 20 * PAGE, libc::MADV_DONTNEED);
    assert_eq!((released.resident, space.len()), (Bytes(20 * PAGE), 1));
    assert_eq!(space.advise(0x10_0000, 100 * PAGE, libc::MADV_DONTNEED).resident, Bytes(30 * PAGE));
    assert_eq!(resident(&space, 0x10_0000), 0);
}

#[test]
fn no_more_is_given_back_than_the_call_is_about() {
    let mut space = space();
    for at in [0x10_0000, 0x10_a000] {
        space.map(&mmap(at, 10 * PAGE, RW, PRIVATE));
        space.fault(at, 10);
    }
    let released = space.advise(0x10_0000 + 8 * PAGE, 3 * PAGE, libc::MADV_DONTNEED);
    assert_eq!(released.resident, Bytes(3 * PAGE));
    assert_eq!((resident(&space, 0x10_0000), resident(&space, 0x10_a000)), (8, 9));
}

#[test]
fn lazily_freed_memory_is_resident_until_it_goes() {
    let mut space = with_faults(50);
    let freed = space.advise(0x10_0000, 30 * PAGE, libc::MADV_FREE);
    assert_eq!((freed.resident, freed.freed_lazily), (Bytes(0), Bytes(30 * PAGE)));
    assert_eq!(held(&space, 0x10_0000).lazy_free, Bytes(30 * PAGE));
    assert_eq!((space.totals().resident, space.totals().lazy_free), (Bytes(50 * PAGE), Bytes(30 * PAGE)));
    space.advise(0x10_0000, 30 * PAGE, libc::MADV_FREE);
    assert_eq!(held(&space, 0x10_0000).lazy_free, Bytes(50 * PAGE), "never more than is resident");
    space.unmap(0x10_0000, 100 * PAGE);
    assert_eq!(space.totals().lazy_free, Bytes(0));
}

#[test]
fn pages_move_with_their_mapping() {
    let mut space = with_faults(50);
    let flags = libc::MREMAP_MAYMOVE;
    space.remap(&mremap(0x10_0000, 100 * PAGE, 0x80_0000, 300 * PAGE, flags));
    assert_eq!((resident(&space, 0x80_0000), space.len()), (50, 1));
    space.remap(&mremap(0x80_0000, 300 * PAGE, 0x10_0000, 150 * PAGE, flags));
    assert_eq!(resident(&space, 0x10_0000), 25);
    check(&space);
}

#[test]
fn the_truth_replaces_the_estimate() {
    let mut space = with_faults(64);
    let truth = Measured {
        resident: Bytes(30 * PAGE),
        lazy_free: Some(Bytes(5 * PAGE)),
        swapped: Some(Bytes(7 * PAGE)),
        pss: Some(Bytes(10 * 1024)),
    };
    assert_eq!(space.set_truth(0x10_0000, 0x10_0000 + 100 * PAGE, &truth, AT), Applied::Exact);
    let expected = Residency {
        resident: Bytes(30 * PAGE),
        lazy_free: Bytes(5 * PAGE),
        swapped: Bytes(7 * PAGE),
        pss: Some(Bytes(10 * 1024)),
        grade: Grade::Measured,
        measured_at: Some(AT),
    };
    assert_eq!(held(&space, 0x10_0000), expected);
    space.fault(0x10_0000, 4);
    let after = held(&space, 0x10_0000);
    assert_eq!(
        (after.grade, after.measured_at, after.pss),
        (Grade::Sampled, Some(AT), Some(Bytes(26 * 1024)))
    );
}

#[test]
fn the_truth_of_merged_regions_is_shared_as_they_were_thought_to_hold() {
    let mut space = space();
    for (at, faults) in [(0x10_0000, 10), (0x10_a000, 0), (0x11_4000, 5)] {
        space.map(&mmap(at, 10 * PAGE, RW, PRIVATE));
        space.fault(at, faults);
    }
    let mut measure = |pages: u64| {
        let truth =
            Measured { resident: Bytes(pages * PAGE), swapped: Some(Bytes(3 * PAGE)), ..Measured::default() };
        assert_eq!(space.set_truth(0x10_0000, 0x11_e000, &truth, AT), Applied::Shared);
        check(&space);
        assert_eq!(space.totals().swapped, Bytes(3 * PAGE));
        [0x10_0000, 0x10_a000, 0x11_4000].map(|at| resident(&space, at))
    };
    assert_eq!(measure(15), [10, 0, 5]);
    assert_eq!(measure(30), [10, 10, 10]);
    assert_eq!(measure(3), [1, 1, 1]);
    assert_eq!(measure(0), [0, 0, 0]);
    assert_eq!(measure(15), [5, 5, 5]);
    assert_eq!(held(&space, 0x10_0000).grade, Grade::Inferred);
    assert_eq!(space.set_truth(0x10_1000, 0x10_2000, &Measured::default(), AT), Applied::Nowhere);
    assert_eq!(space.set_truth(0x90_1000, 0x90_2000, &Measured::default(), AT), Applied::Nowhere);
}

#[test]
fn what_was_there_before_the_tracer_is_unknown_until_it_is_read() {
    let mut space = space();
    space.resync(&[Region::new(0x10_0000, 0x20_0000, Prot(3), Backing::Anonymous)]);
    space.fault(0x10_0000, 8);
    assert_eq!(space.at(0x10_0000).unwrap().1, None);
    assert_eq!(space.totals().resident, Bytes(8 * PAGE), "at least");
    space.set_truth(0x10_0000, 0x20_0000, &Measured::default(), AT);
    assert_eq!(held(&space, 0x10_0000).grade, Grade::Measured);
}

#[test]
fn the_sum_closes_against_the_kernels_own() {
    let space = with_faults(50);
    let more = space.totals().close(Bytes(60 * PAGE));
    assert_eq!(
        (more.attributed, more.unattributed, more.excess),
        (Bytes(50 * PAGE), Bytes(10 * PAGE), Bytes(0))
    );
    let less = space.totals().close(Bytes(40 * PAGE));
    assert_eq!((less.unattributed, less.excess), (Bytes(0), Bytes(10 * PAGE)));
}

#[test]
fn paged_out_memory_is_doubted_and_says_that_it_is_time_to_look() {
    let mut space = with_faults(50);
    space.settle();
    space.advise(0x10_0000, 100 * PAGE, libc::MADV_PAGEOUT);
    assert_eq!(held(&space, 0x10_0000).grade, Grade::Inferred);
    assert_eq!(space.moved(), Bytes(50 * PAGE));
}
