//! One call, one fact.

use super::*;
use crate::mm::region::Born;

#[test]
fn a_mapping_is_born_of_its_call_and_rounded_up_to_pages() {
    let mut space = space();
    space.map(&mmap(0x10000, 5000, RW, PRIVATE | libc::MAP_NORESERVE as u32));
    let flags = PRIVATE | libc::MAP_NORESERVE as u32;
    let born = Born { addr: 0x10000, len: 5000, prot: Prot(3), flags, caller: 0xca11 };
    let expected = Region {
        born: Some(born),
        vm_flags: Some(VmFlags(VmFlags::NO_RESERVE)),
        ..Region::new(0x10000, 0x12000, Prot(3), Backing::Anonymous)
    };
    assert_eq!(space.at(0x11fff).unwrap().0, expected);
    assert_eq!(space.at(0x12000), None);
}

#[test]
fn munmap_in_the_middle_splits_the_region_and_both_parts_keep_their_birth() {
    let mut space = space();
    space.map(&Mmap { offset: 0x3000, ..mmap(0x10000, 0x8000, RW, libc::MAP_PRIVATE as u32) });
    space.unmap(0x12000, 0x1800);
    let regions: Vec<_> = space.regions().collect();
    assert_eq!(ranges(&space), [(0x10000, 0x12000), (0x14000, 0x18000)]);
    assert_eq!((regions[0].offset, regions[1].offset), (0x3000, 0x7000));
    assert!(regions.iter().all(|region| region.born.unwrap().len == 0x8000));
}

#[test]
fn mappings_of_two_calls_stay_apart_where_the_kernel_merges_them() {
    let mut space = space();
    space.map(&mmap(0x10000, PAGE, RW, PRIVATE));
    space.map(&mmap(0x11000, PAGE, RW, PRIVATE));
    assert_eq!(space.len(), 2);
}

#[test]
fn map_fixed_replaces_and_anything_else_in_the_way_is_a_conflict() {
    let mut space = space();
    space.map(&mmap(0x10000, 0x4000, RW, PRIVATE));
    space.map(&mmap(0x11000, PAGE, 0, PRIVATE | FIXED));
    assert_eq!(ranges(&space), [(0x10000, 0x11000), (0x11000, 0x12000), (0x12000, 0x14000)]);
    assert_eq!((space.stale(), space.conflicts()), (None, 0));
    space.map(&mmap(0x13000, 0x2000, RW, PRIVATE | libc::MAP_FIXED_NOREPLACE as u32));
    assert_eq!(space.at(0x13000).unwrap().0.start, 0x13000, "the call is right");
    assert_eq!((space.stale(), space.conflicts()), (Some(Stale::Conflict), 1));
}

#[test]
fn a_hugetlb_mapping_is_rounded_up_to_its_own_pages() {
    let mut space = space();
    let huge = PRIVATE | libc::MAP_HUGETLB as u32;
    space.map(&mmap(0x4000_0000, PAGE, RW, huge));
    space.map(&mmap(0x8000_0000, PAGE, RW, huge | 30 << 26));
    assert_eq!(ranges(&space), [(0x4000_0000, 0x4020_0000), (0x8000_0000, 0xc000_0000)]);
    assert!(space.regions().all(|region| region.is_hugetlb));
}

#[test]
fn an_arena_that_grows_by_mprotect_page_by_page_stays_two_regions() {
    let mut space = space();
    space.map(&mmap(0x400_0000, 0x400_0000, 0, PRIVATE | libc::MAP_NORESERVE as u32));
    for page in 0..100 {
        space.protect(0x400_0000 + page * PAGE, PAGE, RW.into());
    }
    assert_eq!(ranges(&space), [(0x400_0000, 0x406_4000), (0x406_4000, 0x800_0000)]);
    space.protect(0x400_0000, 0x6_4000, 0);
    assert_eq!(space.len(), 1, "and one again when all is as it was");
}

#[test]
fn a_private_mapping_that_becomes_writable_is_accounted() {
    let mut space = space();
    space.map(&mmap(0x10000, 0x2000, 0, PRIVATE));
    space.protect(0x10000, PAGE, RW.into());
    let flags: Vec<_> =
        space.regions().map(|region| region.vm_flags.unwrap().has(VmFlags::ACCOUNT)).collect();
    assert_eq!(flags, [true, false]);
}

#[test]
fn a_stack_made_executable_changes_from_its_beginning() {
    let mut space = space();
    space.resync(&[Region::new(0x10000, 0x20000, Prot(3), Backing::Stack)]);
    space.protect(0x1f000, PAGE, (7 | libc::PROT_GROWSDOWN) as u64);
    assert_eq!(space.len(), 1);
    assert_eq!(space.at(0x10000).unwrap().0.prot, Prot(7));
}

#[test]
fn mremap_grows_in_place_shrinks_and_moves() {
    let mut space = space();
    space.map(&mmap(0x10000, 0x2000, RW, PRIVATE));
    space.remap(&mremap(0x10000, 0x2000, 0x10000, 0x5000, 0));
    assert_eq!(ranges(&space), [(0x10000, 0x15000)]);
    space.remap(&mremap(0x10000, 0x5000, 0x10000, 0x1000, 0));
    assert_eq!(ranges(&space), [(0x10000, 0x11000)]);
    space.remap(&mremap(0x10000, 0x1000, 0x80000, 0x3000, libc::MREMAP_MAYMOVE));
    assert_eq!(ranges(&space), [(0x80000, 0x83000)]);
    assert_eq!(space.at(0x82000).unwrap().0.born.unwrap().addr, 0x10000, "it is the same block");
    assert_eq!(space.stale(), None);
}

#[test]
fn mremap_of_a_part_leaves_the_rest() {
    let mut space = space();
    space.map(&Mmap { offset: 0, ..mmap(0x10000, 0x6000, RW, libc::MAP_SHARED as u32) });
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
    space.remap(&mremap(0x12000, 0x2000, 0x80000, 0x2000, flags));
    assert_eq!(ranges(&space), [(0x10000, 0x12000), (0x14000, 0x16000), (0x80000, 0x82000)]);
    assert_eq!(space.at(0x80000).unwrap().0.offset, 0x2000);
}

#[test]
fn mremap_that_does_not_unmap_leaves_an_empty_range() {
    let mut space = space();
    space.map(&mmap(0x10000, 0x2000, RW, PRIVATE));
    space.fault(0x10000, 2);
    space.remap(&mremap(0x10000, 0x2000, 0x80000, 0x2000, libc::MREMAP_MAYMOVE | 4));
    let resident: Vec<_> =
        space.iter().map(|(region, held)| (region.start, held.unwrap().resident.0)).collect();
    assert_eq!(resident, [(0x10000, 0), (0x80000, 0x2000)]);
}

#[test]
fn mremap_of_no_bytes_maps_shared_pages_again() {
    let mut space = space();
    space.map(&mmap(0x10000, 0x4000, RW, libc::MAP_SHARED as u32));
    space.remap(&mremap(0x11000, 0, 0x80000, 0x2000, libc::MREMAP_MAYMOVE));
    assert_eq!(ranges(&space), [(0x10000, 0x14000), (0x80000, 0x82000)]);
    assert_eq!(space.at(0x80000).unwrap().0.offset, 0x1000);
}

#[test]
fn several_mappings_and_the_hole_between_them_move_at_once() {
    let mut space = space();
    space.map(&mmap(0x10000, 0x1000, RW, PRIVATE));
    space.map(&mmap(0x12000, 0x1000, 0, PRIVATE));
    space.map(&mmap(0x80000, 0x3000, RW, PRIVATE));
    space.remap(&mremap(0x10000, 0x3000, 0x80000, 0x3000, libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED));
    let born: Vec<_> = space.regions().map(|region| (region.start, region.born.unwrap().addr)).collect();
    assert_eq!(born, [(0x80000, 0x10000), (0x81000, 0x80000), (0x82000, 0x12000)]);
}

#[test]
fn the_heap_follows_the_break_both_ways() {
    let mut space = space();
    space.resync(&[Region::new(0x10000, 0x14000, Prot(3), Backing::Heap)]);
    space.set_brk(0x15001);
    assert_eq!(ranges(&space), [(0x10000, 0x16000)]);
    space.set_brk(0x11000);
    assert_eq!(ranges(&space), [(0x10000, 0x11000)]);
    space.set_brk(0x10000);
    assert!(space.is_empty());
    space.set_brk(0x12000);
    assert_eq!(space.at(0x11000).unwrap().0.backing, Backing::Heap);
}

#[test]
fn a_break_that_comes_from_nowhere_makes_no_region() {
    let mut space = space();
    space.set_brk(0x15000);
    assert_eq!((space.len(), space.stale()), (0, Some(Stale::UnknownBreak)));
    let mut space = super::space();
    space.set_start_brk(0x10000);
    space.set_brk(0x15000);
    assert_eq!((ranges(&space), space.stale()), (vec![(0x10000, 0x15000)], None));
}

#[test]
fn a_call_about_what_is_not_there_makes_it_stale() {
    let about: [fn(&mut AddressSpace); 4] = [
        |space| space.protect(0x10000, 0x3000, 0),
        |space| _ = space.advise(0x10000, 0x3000, libc::MADV_DONTNEED),
        |space| _ = space.remap(&mremap(0x11000, 0x1000, 0x80000, 0x2000, 1)),
        |space| _ = space.fault(0x12000, 1),
    ];
    for call in about {
        let mut space = space();
        space.map(&mmap(0x10000, 0x1000, RW, PRIVATE));
        space.unmap(0x9000, 0x1000);
        space.fault(8, 1);
        assert_eq!(space.stale(), None, "holes may be unmapped, and null may be read");
        call(&mut space);
        assert_eq!(space.stale(), Some(Stale::Missing));
        space.mark_stale(Stale::Loss);
        assert_eq!(space.stale(), Some(Stale::Missing), "the first reason stands");
    }
}

#[test]
fn a_child_gets_what_it_may_have() {
    let mut space = space();
    space.set_start_brk(0x1000);
    for at in 1..=3 {
        space.map(&mmap(at << 16, 0x4000, RW, PRIVATE));
        space.fault(at << 16, 2);
    }
    space.map(&mmap(4 << 16, 0x4000, RW, (libc::MAP_SHARED | libc::MAP_ANONYMOUS) as u32));
    space.fault(4 << 16, 2);
    space.advise(1 << 16, 0x1000, libc::MADV_DONTFORK);
    space.advise(2 << 16, 0x4000, libc::MADV_WIPEONFORK);
    let mut child = space.fork();
    let starts: Vec<_> =
        child.iter().map(|(region, held)| (region.start, held.unwrap().resident.0)).collect();
    assert_eq!(starts, [(0x11000, PAGE), (0x20000, 0), (0x30000, 0x2000), (0x40000, 0)]);
    child.set_brk(0x3000);
    assert!(child.at(0x1000).is_some() && space.at(0x1000).is_none());
    // The number of sharers of a copied page is unknown until smaps is read; only the parent maps a wiped one.
    let pss = |space: &AddressSpace, at| space.at(at).unwrap().1.unwrap().pss;
    assert_eq!((pss(&space, 0x30000), pss(&child, 0x30000)), (None, None));
    assert_eq!(pss(&space, 0x20000), Some(Bytes(0x2000)));
    check(&child);
}

#[test]
fn an_exec_forgets_everything() {
    let mut space = space();
    space.map(&mmap(0x10000, 0x4000, RW, PRIVATE));
    space.clear();
    assert_eq!((space.len(), space.stale(), space.totals()), (0, Some(Stale::Unseeded), Totals::default()));
}

#[test]
fn a_stack_reaches_down_to_what_was_touched() {
    let mut space = space();
    space.resync(&[
        Region::new(0x10_0000, 0x20_0000, Prot(3), Backing::Anonymous),
        Region::new(0x7f0_0000, 0x800_0000, Prot(3), Backing::Stack),
    ]);
    space.fault(0x7ef_e123, 1);
    assert_eq!(ranges(&space)[1], (0x7ef_e000, 0x800_0000));
    space.fault(0x300_0000, 1);
    assert_eq!(space.stale(), Some(Stale::Missing), "too far below to be the stack");
    check(&space);
}

#[test]
fn neighbours_of_one_caller_are_taken_together_when_there_are_too_many() {
    let mut space = space();
    space.many = 1000;
    for at in 0..3000 {
        let flags = if at % 1000 == 999 { PRIVATE | libc::MAP_STACK as u32 } else { PRIVATE };
        space.map(&mmap(0x10_0000 + at * PAGE, PAGE, RW, flags));
        check(&space);
    }
    assert!(space.len() <= 1001, "{}", space.len());
    assert_eq!(space.totals().mapped, Bytes(3000 * PAGE));
    let first = space.regions().next().unwrap();
    assert_eq!(first.born.map(|born| (born.addr, born.len)), Some((0x10_0000, first.len())));
}
