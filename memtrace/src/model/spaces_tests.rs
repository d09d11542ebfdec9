//! Address spaces of made-up processes: which are scanned, and the effect of scans and later events.

use std::{sync::Arc, time::Duration};

use memtrace_common::event::{
    Header, Kind,
    fault::Fault,
    space::{Mmap, Munmap},
    task::{Exec, Fork},
};
use zerocopy::FromZeros;

use super::*;
use crate::{
    allocator::{counters::Reading, evidence::ProcessEvidence},
    ingest::decode::SpaceEvent,
    mm::{
        growth::WalkedBy,
        listing::Mappings,
        page_table::Found,
        region::{Backing, Prot},
        residency::Measured,
    },
    model::scan::{Depth, Over, Request},
};

const MIB: u64 = 1 << 20;
const HEAP: u64 = 0x5555_0000_0000;
const MAPPED: u64 = 0x7f00_0000_0000;

fn header(kind: Kind, tgid: u32, ktime: u64) -> Header {
    Header { ktime, tgid, tid: tgid, kind: kind as u16, cpu: 0, reserved: 0 }
}

/// The processes to scan, some seconds after the start.
fn due(spaces: &mut Spaces, rss: impl IntoIterator<Item = (u32, u64)>) -> Vec<u32> {
    spaces.candidates.extend(rss);
    spaces.due(5_000_000_000).into_iter().map(|request| request.pid).collect()
}

fn spaces() -> Spaces {
    Spaces::new(Geometry::default(), Budget::default())
}

/// A heap of 64 MiB with 8 MiB resident.
fn scan(pid: u32, at: u64) -> Scan {
    let region = Region::new(HEAP, HEAP + 64 * MIB, Prot(Prot::READ | Prot::WRITE), Backing::Heap);
    let measured = Measured { resident: Bytes(8 * MIB), pss: Some(Bytes(8 * MIB)), ..Measured::default() };
    Scan {
        reading: None,
        pid,
        at,
        mappings: [(region, Some(measured))].into_iter().collect(),
        over: None,
        parts: Vec::new(),
        resident: None,
        is_bare: false,
        outside: Bytes(0),
        begun: at,
        evidence: Some(Arc::new(ProcessEvidence::default())),
        not_read: None,
        took: Duration::ZERO,
    }
}

fn map(pid: u32, ktime: u64, flags: i32) -> Event {
    let mut call = Mmap::new_zeroed();
    call.header = header(Kind::Mmap, pid, ktime);
    (call.addr, call.len, call.fd) = (MAPPED, 4 * MIB, -1);
    (call.prot, call.flags) = (3, flags as u32);
    Event::Space(SpaceEvent::Mmap(call))
}

fn fault(pid: u32, addr: u64, ktime: u64) -> Event {
    let mut fault = Fault::new_zeroed();
    fault.header = header(Kind::Fault, pid, ktime);
    (fault.addr, fault.period, fault.stack_len) = (addr, 64, 1);
    fault.stack[0] = 0x1234;
    Event::Space(SpaceEvent::Fault(Box::new(fault)))
}

fn resident(spaces: &mut Spaces, pid: u32) -> u64 {
    spaces
        .arenas(pid, Bytes(8 * MIB), 1)
        .map_or(0, |arenas| arenas.rows.iter().map(|row| row.resident.0).sum())
}

#[test]
fn the_largest_are_scanned_first_and_the_small_never() {
    let mut spaces = spaces();
    let processes = (1..=70).map(|pid| (pid, u64::from(pid) * MIB)).chain([(99, MIB / 2)]);
    assert!(due(&mut spaces, processes.clone()).into_iter().eq((7..=70).rev()));
    assert!(due(&mut spaces, processes.clone()).is_empty(), "so many are under way");
    spaces.take(scan(70, 1));
    assert_eq!(due(&mut spaces, processes), [6]);
}

#[test]
fn what_a_scan_gave_is_shown_until_something_moves() {
    let mut spaces = spaces();
    assert!(spaces.arenas(7, Bytes(0), 1).is_none());
    due(&mut spaces, [(7, 8 * MIB)]);
    spaces.take(scan(7, 1));
    assert_eq!(resident(&mut spaces, 7), 8 * MIB);
    let arenas = spaces.arenas(7, Bytes(9 * MIB), 1).unwrap();
    assert_eq!(arenas.closing.unattributed, Bytes(MIB), "the kernel's total is never hidden");
    assert!(due(&mut spaces, [(7, 8 * MIB)]).is_empty());
    assert_eq!(due(&mut spaces, [(7, 13 * MIB)]), [7]);
}

#[test]
fn what_nobody_could_read_says_why_and_is_tried_again_later() {
    const SECOND: u64 = 1_000_000_000;
    let mut spaces = spaces();
    due(&mut spaces, [(7, 8 * MIB)]);
    let why = "no answer within 2 s";
    spaces.take(Scan { at: 5 * SECOND, not_read: Some(why.to_owned()), ..Scan::empty(7) });
    assert_eq!(spaces.not_read(7), Some(why));
    assert!(due(&mut spaces, [(7, 8 * MIB)]).is_empty());
    assert!(due(&mut spaces, [(7, 64 * MIB)]).is_empty(), "it is not read, however much it grows");
    assert_eq!(spaces.due(70 * SECOND).len(), 1);
    spaces.take(scan(7, 70 * SECOND));
    assert_eq!(spaces.not_read(7), None);
    assert_eq!(resident(&mut spaces, 7), 8 * MIB);
}

#[test]
fn a_process_at_rest_is_read_once_more() {
    let mut spaces = spaces();
    due(&mut spaces, [(7, 8 * MIB)]);
    spaces.take(scan(7, 1));
    spaces.apply(&fault(7, HEAP + MIB, 2));
    assert!(due(&mut spaces, [(7, 8 * MIB)]).is_empty(), "busy, and little moved");
    assert_eq!(due(&mut spaces, [(7, 8 * MIB)]), [7]);
    spaces.take(scan(7, 3));
    assert!(due(&mut spaces, [(7, 8 * MIB)]).is_empty());
}

#[test]
fn faults_grow_their_owner_and_their_stack() {
    let mut spaces = spaces();
    due(&mut spaces, [(7, 8 * MIB)]);
    spaces.take(scan(7, 1));
    spaces.apply(&fault(7, HEAP + MIB, 2));
    assert_eq!(resident(&mut spaces, 7), 8 * MIB + 64 * 4096);
    let arenas = spaces.arenas(7, Bytes(0), 2).unwrap();
    let top = arenas.stacks.top(crate::mm::growth::Window::Minute1, 2, 9);
    assert_eq!(top, [(&[0x1234][..], WalkedBy::FramePointers, 64 * 4096)]);
    assert_eq!(arenas.closing.excess, Bytes(8 * MIB + 64 * 4096));
    assert_eq!(arenas.sampled, 64);
    // A scan makes up for lost events, except for those after it.
    assert_eq!(due(&mut spaces, [(7, 20 * MIB)]), [7]);
    spaces.apply(&fault(7, HEAP + 2 * MIB, 4));
    spaces.apply(&fault(7, HEAP + 2 * MIB, 9));
    spaces.take(scan(7, 5));
    assert_eq!(spaces.arenas(7, Bytes(0), 9).unwrap().sampled, 64);
}

#[test]
fn calls_that_came_while_the_scan_was_under_way_count_once() {
    let mut spaces = spaces();
    due(&mut spaces, [(7, 8 * MIB)]);
    // Scanned at 10: it includes events at 5, but not at 15.
    spaces.apply(&map(7, 5, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE));
    assert_eq!(resident(&mut spaces, 7), 0, "nothing is shown before the first scan");
    let unmap = Munmap { header: header(Kind::Munmap, 7, 6), addr: MAPPED, len: 4 * MIB };
    spaces.apply(&Event::Space(SpaceEvent::Munmap(unmap)));
    spaces.apply(&map(7, 15, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE));
    spaces.take(scan(7, 10));
    assert_eq!(resident(&mut spaces, 7), 12 * MIB);
}

#[test]
fn a_call_that_the_scan_has_seen_already_is_not_done_again() {
    let mut spaces = spaces();
    due(&mut spaces, [(7, 8 * MIB)]);
    spaces.take(scan(7, 10));
    let unmap = Munmap { header: header(Kind::Munmap, 7, 9), addr: HEAP, len: 64 * MIB };
    spaces.apply(&Event::Space(SpaceEvent::Munmap(unmap)));
    assert_eq!(resident(&mut spaces, 7), 8 * MIB);
}

#[test]
fn a_new_program_begins_anew_and_a_child_with_a_copy() {
    let mut spaces = spaces();
    due(&mut spaces, [(7, 8 * MIB)]);
    spaces.take(scan(7, 1));
    let mut fork = Fork::new_zeroed();
    (fork.header, fork.child.tgid) = (header(Kind::Fork, 7, 2), 8);
    spaces.apply(&Event::Task(TaskEvent::Fork(fork)));
    assert_eq!(resident(&mut spaces, 8), 8 * MIB);
    let mut exec = Exec::new_zeroed();
    (exec.header, exec.task.tgid) = (header(Kind::Exec, 8, 3), 8);
    spaces.apply(&Event::Task(TaskEvent::Exec(exec)));
    assert!(spaces.arenas(8, Bytes(0), 3).is_none());
    assert_eq!(resident(&mut spaces, 7), 8 * MIB);
}

#[test]
fn a_process_that_cannot_be_read_is_not_asked_for_all_the_time() {
    let mut spaces = spaces();
    assert_eq!(due(&mut spaces, [(7, 8 * MIB)]), [7]);
    spaces.take(Scan { mappings: Mappings::default(), ..scan(7, 1) });
    assert!(due(&mut spaces, [(7, 8 * MIB)]).is_empty());
}

/// A scan of pages only, with `resident` bytes in the heap.
fn pages(pid: u32, at: u64, resident: u64) -> Scan {
    let measured = Measured { resident: Bytes(resident), swapped: Some(Bytes(0)), ..Measured::default() };
    let found = Found { start: HEAP, end: HEAP + 64 * MIB, measured, ..Found::default() };
    Scan { mappings: Mappings::default(), parts: vec![found], evidence: None, ..scan(pid, at) }
}

#[test]
fn a_known_process_is_asked_for_its_pages_and_after_a_while_for_its_mappings() {
    let mut spaces = spaces();
    let depth = |spaces: &mut Spaces, rss: u64, now: u64| {
        spaces.candidates.insert(7, rss);
        spaces.due(now).into_iter().next().unwrap().depth
    };
    assert!(matches!(depth(&mut spaces, 8 * MIB, 1), Depth::Mappings));
    spaces.take(scan(7, 1));
    let asked = depth(&mut spaces, 20 * MIB, 2);
    let Depth::Pages { parts, regions: _, evidence } = asked else { panic!("{asked:?}") };
    let ranges = parts.iter().map(|part| (part.start, part.end));
    assert_eq!(ranges.collect::<Vec<_>>(), [(HEAP, HEAP + 64 * MIB)]);
    assert!(evidence.is_some(), "nothing was mapped since");
    spaces.take(pages(7, 3, 20 * MIB));
    assert_eq!(resident(&mut spaces, 7), 20 * MIB);
    assert!(matches!(depth(&mut spaces, 40 * MIB, 61_000_000_000), Depth::Mappings));
}

#[test]
fn evidence_that_a_deadline_cut_is_gathered_again() {
    const LATER: u64 = 11_000_000_000;
    let mut spaces = spaces();
    let cut = ProcessEvidence::default().with_unfinished(Some("no time was left".to_owned()));
    let depth = |spaces: &mut Spaces, now: u64| {
        spaces.candidates.insert(7, 8 * MIB);
        spaces.due(now).into_iter().next().map(|request| request.depth)
    };
    assert!(matches!(depth(&mut spaces, 1), Some(Depth::Mappings)));
    spaces.take(Scan { evidence: Some(Arc::new(cut)), ..scan(7, 1) });
    let why = spaces.arenas(7, Bytes(8 * MIB), 2).unwrap().unfinished;
    assert_eq!(why, Some("no time was left"));
    assert!(depth(&mut spaces, 2).is_none(), "not at once");
    // It stays a candidate although nothing happens.
    let asked = spaces.due(LATER).into_iter().next().map(|request| request.depth);
    let Some(Depth::Pages { evidence: None, .. }) = asked else { panic!("{asked:?}") };
    spaces.take(Scan { evidence: Some(Arc::default()), ..pages(7, LATER, 8 * MIB) });
    assert_eq!(spaces.arenas(7, Bytes(8 * MIB), LATER).unwrap().unfinished, None);
    assert!(depth(&mut spaces, 2 * LATER).is_none(), "it is complete");
}

/// `free` makes no event: a quiet process is read again, one after the other, and all of that takes little time.
#[test]
fn counters_are_read_again_by_time() {
    const SECOND: u64 = 1_000_000_000;
    let mut spaces = spaces();
    let reading = |at| Some(Reading { at, ..Reading::default() });
    for (pid, at) in [(7, SECOND), (8, 2 * SECOND)] {
        due(&mut spaces, [(pid, 8 * MIB)]);
        spaces.take(Scan { reading: reading(at), ..scan(pid, at) });
    }
    due(&mut spaces, [(9, 8 * MIB)]);
    spaces.take(scan(9, SECOND));
    let asked = |spaces: &mut Spaces, second: u64| {
        spaces.due(second * SECOND).into_iter().map(|request| request.pid).collect::<Vec<_>>()
    };
    assert_eq!(asked(&mut spaces, 20), [0_u32; 0]);
    assert_eq!(asked(&mut spaces, 40), [7], "the oldest; none of a process without counters");
    assert_eq!(asked(&mut spaces, 41), [0_u32; 0], "one at a time");
    let (at, took) = (42 * SECOND, Duration::from_millis(50));
    spaces.take(Scan { reading: reading(at), took, ..pages(7, at, 8 * MIB) });
    assert_eq!(asked(&mut spaces, 46), [0_u32; 0], "a hundred times 50 ms");
    assert_eq!(asked(&mut spaces, 48), [8]);
}

#[test]
fn what_happened_behind_a_look_at_pages_counts_once() {
    let mut spaces = spaces();
    due(&mut spaces, [(7, 8 * MIB)]);
    spaces.take(scan(7, 1));
    due(&mut spaces, [(7, 20 * MIB)]);
    spaces.apply(&fault(7, HEAP + MIB, 5));
    spaces.apply(&fault(7, HEAP + MIB, 15));
    spaces.apply(&map(7, 16, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE));
    spaces.take(pages(7, 10, 20 * MIB));
    // The scan includes the first fault, and no call.
    assert_eq!(resident(&mut spaces, 7), 20 * MIB + 64 * 4096 + 4 * MIB);
    spaces.apply(&fault(7, HEAP + MIB, 9));
    assert_eq!(resident(&mut spaces, 7), 20 * MIB + 64 * 4096 + 4 * MIB);
}

#[test]
fn pages_where_no_region_is_have_the_mappings_read() {
    let mut spaces = spaces();
    due(&mut spaces, [(7, 8 * MIB)]);
    spaces.take(scan(7, 1));
    due(&mut spaces, [(7, 20 * MIB)]);
    spaces.take(Scan { outside: Bytes(9 * MIB), ..pages(7, 2, 8 * MIB) });
    spaces.candidates.insert(7, 40 * MIB);
    let asked = spaces.due(3);
    assert!(matches!(asked[..], [Request { pid: 7, depth: Depth::Mappings, .. }]), "{asked:?}");
}

#[test]
fn a_scan_of_the_program_before_is_not_this_ones() {
    let mut spaces = spaces();
    due(&mut spaces, [(7, 8 * MIB)]);
    let mut exec = Exec::new_zeroed();
    (exec.header, exec.task.tgid) = (header(Kind::Exec, 7, 20), 7);
    spaces.apply(&Event::Task(TaskEvent::Exec(exec)));
    spaces.take(scan(7, 10));
    assert!(spaces.arenas(7, Bytes(0), 30).is_none());
}

#[test]
fn who_shares_an_address_space_changes_it() {
    let mut spaces = spaces();
    due(&mut spaces, [(7, 8 * MIB)]);
    spaces.take(scan(7, 1));
    let mut fork = Fork::new_zeroed();
    (fork.header, fork.child.tgid, fork.shares_mm) = (header(Kind::Fork, 7, 2), 8, 1);
    spaces.apply(&Event::Task(TaskEvent::Fork(fork)));
    spaces.apply(&fault(8, HEAP + MIB, 3));
    assert_eq!(resident(&mut spaces, 7), 8 * MIB + 64 * 4096);
    assert_eq!(resident(&mut spaces, 8), 0);
}

/// An answer of the scanner: the list of so many mappings did not fit.
fn over(pid: u32, at: u64, mappings: u64) -> Scan {
    Scan {
        mappings: Mappings::default(),
        over: Some(Over { mappings, list: Bytes(mappings * (Mappings::EACH + 200)) }),
        evidence: None,
        ..scan(pid, at)
    }
}

fn room(spaces: &mut Spaces, pid: u32, now: u64) -> Option<Bytes> {
    spaces.candidates.insert(pid, 8 * MIB);
    spaces.due(now).into_iter().find(|request| request.pid == pid).map(|request| request.room)
}

#[test]
fn a_list_that_did_not_fit_is_read_again_with_the_room_that_it_needs() {
    let mut spaces = spaces();
    let first = room(&mut spaces, 7, 1).unwrap();
    spaces.take(over(7, 1, 20_000));
    let second = room(&mut spaces, 7, 2).unwrap();
    assert!(first.0 < 20_000 * Mappings::EACH && second.0 >= 20_000 * (Mappings::EACH + 200));
    spaces.take(scan(7, 3));
    assert_eq!((resident(&mut spaces, 7), spaces.totals_only(7)), (8 * MIB, None));
}

/// Its names alone take more than all the room that there is.
#[test]
fn a_list_that_does_not_fit_with_all_the_room_is_given_up() {
    let mut spaces = spaces();
    let long = |at| Scan { over: Some(Over { mappings: 2000, list: Bytes(1 << 40) }), ..over(7, at, 0) };
    room(&mut spaces, 7, 1);
    spaces.take(long(1));
    assert_eq!(room(&mut spaces, 7, 2), Some(Bytes(Budget::default().scans())));
    spaces.take(long(2));
    assert_eq!(spaces.totals_only(7).map(|why| why.mappings), Some(2000));
    assert!(room(&mut spaces, 7, 3).is_none());
    assert!(
        spaces.arm(7, 8 * MIB, 4).iter().all(|order| !matches!(order, crate::model::scan::Order::Read(_)))
    );
}

#[test]
fn more_mappings_than_fit_at_all_are_given_up_at_once_and_a_new_program_is_not() {
    let mut spaces = spaces();
    room(&mut spaces, 7, 1);
    spaces.take(over(7, 1, 10_000_000));
    assert_eq!(spaces.totals_only(7).unwrap().to_string(), "totals only: 10000000 mappings, memory budget");
    assert!(spaces.arenas(7, Bytes(0), 2).is_none());
    assert_eq!((spaces.memory().totals_only, spaces.memory().given_up), (1, 1));
    let mut exec = Exec::new_zeroed();
    (exec.header, exec.task.tgid) = (header(Kind::Exec, 7, 20), 7);
    spaces.apply(&Event::Task(TaskEvent::Exec(exec)));
    assert_eq!(spaces.totals_only(7), None);
    assert!(room(&mut spaces, 7, 21).is_some());
}

#[test]
fn a_process_that_is_gone_is_not_remembered_as_given_up() {
    let mut spaces = spaces();
    room(&mut spaces, 7, 1);
    spaces.take(over(7, 1, 10_000_000));
    spaces.forget(7);
    assert_eq!((spaces.totals_only(7), spaces.memory().totals_only), (None, 0));
    assert_eq!(spaces.footprint(), (0, Bytes(0)));
}
