//! What the model costs: events a second on one core, bytes of a region, time of a page-table read.
//!
//! `cargo bench -p memtrace --bench model`. Prints and does not judge. Times are processor time of this thread, so that other
//! work on the machine does not count.

use std::{fs, hint::black_box, sync::Arc, time::Duration};

use memtrace::{
    allocator::evidence::ProcessEvidence,
    clock::thread_cpu,
    ingest::decode::{Event, decode},
    mm::{
        address_space::{AddressSpace, Geometry},
        maps,
        page_table::{Budget, Look, PageTable, Walk},
        process::Resident,
        procfs::Procfs,
        region::{Backing, Prot, Region},
        residency::Measured,
        smaps,
    },
    model::{budget::Budget as MemoryBudget, scan::Scan, spaces::Spaces},
    units::Bytes,
};
use memtrace_common::event::{
    Header, Kind,
    fault::Fault,
    space::{Madvise, Mmap, Munmap},
};
use zerocopy::{FromZeros, IntoBytes};

const PID: u32 = 7;
const REGIONS: u64 = 60_000;
const EVENTS: u64 = 400_000;
const ROUNDS: u64 = 5;
const BASE: u64 = 0x7000_0000_0000;
const STRIDE: u64 = 1 << 18;
const SPACES: u64 = 8;
const TOUCHED: usize = 1 << 29;

fn now() -> f64 {
    thread_cpu().as_secs_f64()
}

fn regions() -> Vec<Region> {
    let region = |at: u64| {
        let prot = Prot(if at.is_multiple_of(2) { 3 } else { 0 });
        let start = BASE + at * STRIDE;
        Region::new(start, start + STRIDE / 2, prot, Backing::Anonymous)
    };
    (0..REGIONS).map(region).collect()
}

/// As an allocator under load makes them: mostly faults and advice, a mapping and its end now and then.
fn events() -> Vec<Vec<u8>> {
    let mut random = 1_u64;
    let mut next = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) % below
    };
    let mut mapped = Vec::new();
    (0..EVENTS)
        .map(|at| {
            let header = |kind: Kind| Header {
                ktime: at + 2,
                tgid: PID,
                tid: PID,
                kind: kind as u16,
                cpu: 0,
                reserved: 0,
            };
            let addr = BASE + next(REGIONS / 2) * 2 * STRIDE;
            match next(10) {
                0..6 => {
                    let mut fault = Fault::new_zeroed();
                    (fault.header, fault.addr, fault.period) =
                        (header(Kind::Fault), addr + next(32) * 4096, 64);
                    (fault.stack_len, fault.stack[0]) = (1, next(40));
                    fault.as_bytes().to_vec()
                }
                6..8 => {
                    let call =
                        Madvise { header: header(Kind::Madvise), addr, len: 65536, advice: 4, reserved: 0 };
                    call.as_bytes().to_vec()
                }
                8 => {
                    let mut call = Mmap::new_zeroed();
                    (call.header, call.addr, call.len) = (header(Kind::Mmap), addr + STRIDE / 2, 65536);
                    (call.prot, call.flags, call.fd) = (3, 0x22, -1);
                    mapped.push(call.addr);
                    call.as_bytes().to_vec()
                }
                _ => {
                    let addr = mapped.pop().unwrap_or(addr);
                    Munmap { header: header(Kind::Munmap), addr, len: 65536 }.as_bytes().to_vec()
                }
            }
        })
        .collect()
}

fn per_second(what: &str, count: u64, run: impl FnOnce()) {
    let begin = now();
    run();
    println!("{what:<44} {:>8.2} M events/s", count as f64 / (now() - begin) / 1e6);
}

fn speed() {
    let records = events();
    per_second("decode", EVENTS * ROUNDS, || {
        for _ in 0..ROUNDS {
            records.iter().for_each(|record| drop(black_box(decode(record))));
        }
    });
    let events: Vec<Event> = records.iter().filter_map(|record| decode(record).ok()).collect();
    let regions = regions();
    let mut space = AddressSpace::new(Geometry::default());
    space.resync(&regions);
    per_second("one address space of 60,000 regions", EVENTS * ROUNDS, || {
        for _ in 0..ROUNDS {
            for event in &events {
                let _released = black_box(space.apply(event));
            }
        }
    });
    let mut spaces = Spaces::new(Geometry::default(), MemoryBudget::default());
    spaces.close(PID, Resident { bytes: 1 << 30, shared: 0 });
    drop(spaces.due(1));
    spaces.take(Scan {
        pid: PID,
        begun: 1,
        at: 1,
        mappings: regions.into_iter().map(|region| (region, Some(Measured::default()))).collect(),
        over: None,
        parts: Vec::new(),
        resident: None,
        is_bare: false,
        outside: Bytes(0),
        evidence: Some(Arc::new(ProcessEvidence::default())),
        reading: None,
        not_read: None,
        took: Duration::ZERO,
    });
    per_second("the same with peaks and growth by stack", EVENTS * ROUNDS, || {
        for _ in 0..ROUNDS {
            events.iter().for_each(|event| spaces.apply(event));
        }
    });
}

/// Anonymous resident bytes of this process.
fn anonymous() -> u64 {
    let usage = smaps::read_rollup(&Procfs::new("/proc"), std::process::id()).unwrap_or_default();
    usage.anonymous.unwrap_or_default().0
}

fn size() {
    let regions = regions();
    let before = anonymous();
    let spaces: Vec<AddressSpace> = (0..SPACES)
        .map(|_| {
            let mut space = AddressSpace::new(Geometry::default());
            space.resync(&regions);
            space
        })
        .collect();
    let bytes = anonymous().saturating_sub(before) / (SPACES * REGIONS);
    let own = spaces.first().map_or(0, |space| space.footprint().0 / REGIONS);
    println!("{:<44} {bytes:>8} bytes, {own} by its own account", "a tracked region");
}

fn page_tables() {
    let touched = vec![1_u8; TOUCHED];
    let (procfs, pid) = (Procfs::new("/proc"), std::process::id());
    let gib = anonymous() as f64 / (1_u64 << 30) as f64;
    let regions = maps::read(&procfs, pid).map(|maps| maps.regions).unwrap_or_default();
    let timed = |what: &str, run: &mut dyn FnMut()| {
        let begin = now();
        (0..ROUNDS).for_each(|_| run());
        println!("{what:<44} {:>8.2} ms a resident GiB", (now() - begin) * 1e3 / ROUNDS as f64 / gib);
    };
    timed("page tables by PAGEMAP_SCAN", &mut || {
        let Ok(mut table) = PageTable::open(&procfs, pid) else { return };
        let mut walk = Walk::new(regions.iter().cloned());
        while !walk.is_done() && matches!(table.look(&mut walk, Budget::DEFAULT), Ok(Look::Found(_))) {}
    });
    timed("page tables by smaps", &mut || drop(black_box(smaps::read(&procfs, pid))));
    timed("sum alone, by smaps_rollup", &mut || drop(black_box(fs::read("/proc/self/smaps_rollup"))));
    drop(black_box(touched));
}

fn main() {
    speed();
    size();
    page_tables();
}
