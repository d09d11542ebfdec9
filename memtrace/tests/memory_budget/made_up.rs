//! Processes with as many mappings as wanted: their smaps as a stream that is never whole in memory, and their events.

use std::{
    io::{self, Read},
    sync::Arc,
    time::Duration,
};

use memtrace::{
    allocator::evidence::ProcessEvidence,
    ingest::decode::{Event, SpaceEvent, TaskEvent},
    mm::{
        listing::{Lister, Listing, Mappings},
        page_table::Found,
        process::Resident,
        residency::Measured,
    },
    model::{
        scan::{Depth, Over, Request, Scan},
        spaces::Spaces,
    },
    units::Bytes,
};
use memtrace_common::event::{
    Header, Kind, fault, space,
    task::{Exec, Fork},
};
use zerocopy::FromZeros;

const MAPPED: u64 = 0x7000_0000_0000;
const CALLS: u64 = 0x6000_0000_0000;

/// The mappings of a process.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// One range with every other page protected, as the program of the incident does.
    Guards,
    /// A file of its own for each.
    Files,
    /// Libraries with four mappings each, and anonymous memory.
    Program,
}

fn mapping(shape: Shape, at: u64) -> String {
    let start = MAPPED + at * 0x1000;
    let (prot, file) = match shape {
        Shape::Guards => (if at.is_multiple_of(2) { "r--p" } else { "---p" }, String::new()),
        Shape::Files => ("r--s", format!("fe:00 {} /srv/data/segments/0000000000000000/{at}.log", at + 1)),
        Shape::Program if at % 8 < 4 => {
            let library = at / 8;
            (
                ["r--p", "r-xp", "r--p", "rw-p"][(at % 4) as usize],
                format!("fe:00 {} /usr/lib/x86_64-linux-gnu/libexample-{library}.so.1.2.3", library + 1),
            )
        }
        Shape::Program => ("rw-p", String::new()),
    };
    let file = if file.is_empty() { "00:00 0 ".to_owned() } else { file };
    format!(
        "{start:x}-{:x} {prot} 00000000 {file}\nSize: 4 kB\nRss: 4 kB\nPss: 4 kB\nPrivate_Dirty: 4 kB\nLazyFree: 0 kB\nSwap: 0 kB\nVmFlags: rd mr mw me\n",
        start + 0x1000
    )
}

/// The text of smaps, a mapping at a time.
struct Text {
    shape: Shape,
    left: std::ops::Range<u64>,
    text: io::Cursor<String>,
}

impl Read for Text {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.text.read(buffer)? {
                0 => match self.left.next() {
                    Some(at) => self.text = io::Cursor::new(mapping(self.shape, at)),
                    None => return Ok(0),
                },
                read => return Ok(read),
            }
        }
    }
}

pub fn list(shape: Shape, mappings: u64, room: Bytes) -> Listing {
    let text = Text { shape, left: 0..mappings, text: io::Cursor::default() };
    Lister::of_smaps(text, room).read_on(Duration::MAX).unwrap().unwrap()
}

pub fn resident() -> Resident {
    Resident { bytes: 64 << 20, shared: 0 }
}

/// The answer of the scanner.
pub fn scan(request: &Request, at: u64, shape: Shape, mappings: u64) -> Scan {
    let empty = Scan {
        pid: request.pid,
        begun: at,
        at,
        resident: Some(resident()),
        is_bare: false,
        mappings: Mappings::default(),
        over: None,
        parts: Vec::new(),
        outside: Bytes(0),
        evidence: None,
        reading: None,
        not_read: None,
        took: Duration::ZERO,
    };
    if let Depth::Pages { parts, .. } = &request.depth {
        let measured = Measured { resident: Bytes(4096), ..Measured::default() };
        let found =
            parts.iter().map(|part| Found { start: part.start, end: part.end, measured, ..Found::default() });
        return Scan { parts: found.collect(), ..empty };
    }
    let Listing { mappings, count, needs, is_over, .. } = list(shape, mappings, request.room);
    let evidence = Some(Arc::new(ProcessEvidence::default()));
    Scan {
        mappings,
        over: is_over.then_some(Over { mappings: count, list: needs }),
        evidence,
        is_bare: matches!(request.depth, Depth::Regions),
        ..empty
    }
}

/// One second of a node: totals are read, and requested scans are done.
pub fn node(spaces: &mut Spaces, sizes: &[(u32, u64)], now: u64) {
    sizes.iter().for_each(|(pid, _)| spaces.close(*pid, resident()));
    for request in spaces.due(now) {
        let size = sizes.iter().find(|(pid, _)| *pid == request.pid).unwrap().1;
        spaces.take(scan(&request, now, Shape::Guards, size));
    }
}

fn header(kind: Kind, tgid: u32, ktime: u64) -> Header {
    Header { ktime, tgid, tid: tgid, kind: kind as u16, cpu: 0, reserved: 0 }
}

/// A new mapping away from all others.
pub fn mmap(pid: u32, ktime: u64, at: u64) -> Event {
    let mut call = space::Mmap::new_zeroed();
    call.header = header(Kind::Mmap, pid, ktime);
    (call.addr, call.len, call.fd) = (CALLS + at * 0x3000, 0x1000, -1);
    (call.prot, call.flags) = (3, 0x22);
    Event::Space(SpaceEvent::Mmap(call))
}

pub fn fault(pid: u32, ktime: u64) -> Event {
    let mut fault = fault::Fault::new_zeroed();
    fault.header = header(Kind::Fault, pid, ktime);
    (fault.addr, fault.period) = (MAPPED, 1);
    Event::Space(SpaceEvent::Fault(Box::new(fault)))
}

pub fn fork(parent: u32, child: u32, ktime: u64) -> Event {
    let mut fork = Fork::new_zeroed();
    (fork.header, fork.child.tgid) = (header(Kind::Fork, parent, ktime), child);
    Event::Task(TaskEvent::Fork(fork))
}

pub fn exec(pid: u32, ktime: u64) -> Event {
    let mut exec = Exec::new_zeroed();
    (exec.header, exec.task.tgid) = (header(Kind::Exec, pid, ktime), pid);
    Event::Task(TaskEvent::Exec(exec))
}
