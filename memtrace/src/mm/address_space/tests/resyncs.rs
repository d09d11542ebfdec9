//! A fresh list of mappings against the regions from events.

use std::sync::Arc;

use super::*;
use crate::mm::region::File;

fn file(path: &str) -> Backing {
    Backing::File(Arc::new(File { device: 1, inode: 2, path: path.into() }))
}

fn anonymous(start: u64, end: u64) -> Region {
    Region::new(start, end, Prot(3), Backing::Anonymous)
}

#[test]
fn births_and_contents_survive_where_the_mapping_is_the_same() {
    let mut space = space();
    for at in [0x10000, 0x14000, 0x20000] {
        space.map(&mmap(at, 0x4000, RW, PRIVATE));
        space.fault(at, 2);
    }
    space.mark_stale(Stale::Loss);
    // The kernel merged the first two with a new one, and the last was replaced.
    let report = space.resync(&[
        anonymous(0x10000, 0x1a000),
        Region { backing: file("/a"), ..anonymous(0x20000, 0x24000) },
    ]);
    assert_eq!(report, Resynced { kept: 0x8000, added: 0x6000, dropped: 0x4000, refused: 0 });
    assert_eq!(space.stale(), None);
    let regions: Vec<_> = space.iter().collect();
    assert_eq!(
        ranges(&space),
        [(0x10000, 0x14000), (0x14000, 0x18000), (0x18000, 0x1a000), (0x20000, 0x24000)]
    );
    let born: Vec<_> = regions.iter().map(|(region, _)| region.born.map(|born| born.addr)).collect();
    assert_eq!(born, [Some(0x10000), Some(0x14000), None, None]);
    let resident: Vec<_> = regions.iter().map(|(_, held)| held.map(|held| held.resident.0)).collect();
    assert_eq!(resident, [Some(0x2000), Some(0x2000), None, None]);
    check(&space);
}

#[test]
fn a_call_that_comes_after_the_list_still_tells_where_its_mapping_was_born() {
    let mut space = space();
    space.map(&mmap(0x10000, 0x4000, RW, PRIVATE));
    // The kernel merged it with two mappings whose calls have not arrived yet.
    space.resync(&[anonymous(0x10000, 0x20000)]);
    assert!(space.recall(&mmap(0x14000, 0x8000, RW, PRIVATE)));
    let born = |at| space.at(at).unwrap().0.born.map(|born| (born.addr, born.len));
    assert_eq!(
        [0x10000, 0x14000, 0x1c000].map(born),
        [Some((0x10000, 0x4000)), Some((0x14000, 0x8000)), None]
    );
    check(&space);
    // Already applied; not there; of another kind.
    let shared = (libc::MAP_SHARED | libc::MAP_ANONYMOUS) as u32;
    for call in [
        mmap(0x10000, 0x4000, RW, PRIVATE),
        mmap(0x30000, 0x4000, RW, PRIVATE),
        mmap(0x1c000, 0x8000, RW, PRIVATE),
        mmap(0x1c000, 0x4000, RW, shared),
    ] {
        assert!(!space.recall(&call), "{call:?}");
    }
    check(&space);
}

#[test]
fn a_file_that_was_not_known_gets_its_name() {
    let mut space = space();
    space.map(&Mmap { offset: 0x1000, ..mmap(0x10000, 0x4000, 1, libc::MAP_PRIVATE as u32) });
    space.fault(0x10000, 1);
    let fresh = |offset| Region { prot: Prot(1), backing: file("/a"), offset, ..anonymous(0x10000, 0x14000) };
    space.resync(&[fresh(0x1000)]);
    let (region, held) = space.at(0x10000).unwrap();
    assert!(region.backing == file("/a") && region.born.is_some() && held.is_some());
    // The same file at another place is another mapping.
    space.resync(&[fresh(0x3000)]);
    let (region, held) = space.at(0x10000).unwrap();
    assert!((region.born, region.offset, held) == (None, 0x3000, None));
}

#[test]
fn protection_and_flags_are_the_fresh_ones() {
    let mut space = space();
    space.map(&mmap(0x10000, 0x4000, RW, PRIVATE));
    let flags = Some(VmFlags(VmFlags::HUGE_PAGE));
    let fresh = Region {
        prot: Prot(1),
        vm_flags: flags,
        name: Some(Arc::from(&b"x"[..])),
        ..anonymous(0x10000, 0x14000)
    };
    space.resync(std::slice::from_ref(&fresh));
    let region = space.at(0x10000).unwrap().0;
    assert_eq!(Region { born: None, ..region.clone() }, fresh);
    assert!(region.born.is_some());
    // maps shows no flags, so known flags are kept.
    space.resync(&[anonymous(0x10000, 0x14000)]);
    assert_eq!(space.at(0x10000).unwrap().0.vm_flags, flags);
}

#[test]
fn a_seeded_heap_that_grew_unseen_stays_one_region() {
    let mut space = space();
    let heap = |end| Region::new(0x10000, end, Prot(3), Backing::Heap);
    space.resync(&[heap(0x20000)]);
    space.resync(&[heap(0x30000)]);
    assert_eq!(space.len(), 1);
    space.set_brk(0x28000);
    assert_eq!((ranges(&space), space.stale()), (vec![(0x10000, 0x28000)], None));
}

#[test]
fn mappings_that_cannot_be_are_refused() {
    let mut space = space();
    let report = space.resync(&[
        anonymous(0x10000, 0x14000),
        anonymous(0x13000, 0x15000),
        anonymous(0x15800, 0x16000),
        anonymous(0x18000, 0x18000),
        anonymous(0x20000, 0x21000),
    ]);
    assert_eq!((report.refused, report.added), (3, 0x5000));
    check(&space);
}

#[test]
fn a_second_look_at_the_same_changes_nothing() {
    let mut space = space();
    let fresh = [
        anonymous(0x10000, 0x14000),
        Region { is_shared: true, backing: file("/a"), offset: 0x7000, ..anonymous(0x14000, 0x15000) },
    ];
    space.resync(&fresh);
    let report = space.resync(&fresh);
    assert_eq!(report, Resynced { kept: 0x5000, ..Resynced::default() });
    assert_eq!(space.regions().collect::<Vec<_>>(), fresh);
}

#[test]
fn neighbours_that_are_alike_and_not_merged_keep_what_each_holds() {
    let mut space = space();
    let part = |at: u64| Region::new(at, at + 4 * PAGE, Prot(3), Backing::Anonymous);
    let (left, right) = (part(0x10000), part(0x10000 + 4 * PAGE));
    for _ in 0..2 {
        space.resync(&[left.clone(), right.clone()]);
        for (region, pages) in [(&left, 1), (&right, 2)] {
            let truth = Measured { resident: Bytes(pages * PAGE), ..Measured::default() };
            assert_eq!(space.set_truth(region.start, region.end, &truth, 1), Applied::Exact);
        }
        assert_eq!(space.totals().resident, Bytes(3 * PAGE));
    }
}
