//! Reader processes as the daemon starts them, in their sandbox: they read what this process reads itself, and one that
//! hangs is replaced. Runs as any user; what only root may read is then missing on both sides.
#![expect(clippy::unwrap_used, reason = "tests panic")]

use std::{
    hint::black_box,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use memtrace::{
    allocator::image::process::Budget,
    health::{Beat, Thread},
    mm::{
        procfs::Procfs,
        region::{Backing, Region},
    },
    model::{
        scan::{Depth, Request, Scan},
        walk,
    },
    reader::{self, Local, Reader as _, Remote, pool::Readers},
    symbols::Place,
    units::Bytes,
    unwind::{Copy, Module},
};
use memtrace_common::event::stack::Registers;
use rustix::process::{Pid, Signal, kill_process};

/// Room for the list of any process here.
const ROOM: Bytes = Bytes(64 << 20);
/// Time for counters on a slow machine.
const BUDGET: Budget = Budget { bytes: 64 << 20, time: Duration::from_secs(60) };

fn readers() -> Readers {
    let beat = Beat::unwatched(Thread { name: "readers", is_vital: false, rounds: 1 });
    Readers::start(env!("CARGO_BIN_EXE_memtrace").into(), Procfs::new("/proc"), beat).unwrap()
}

fn local() -> Local {
    Local::new(Procfs::new("/proc"))
}

/// A program that waits, so that nothing of it changes.
struct Waiting(Child);

impl Waiting {
    fn new() -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", "echo ready; read line"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self(child)
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn scan(reader: &mut dyn reader::Reader, pid: u32, depth: Depth) -> Scan {
    let scan = reader::scan(reader, Request { pid, depth, room: ROOM }, BUDGET);
    assert_eq!(scan.not_read, None);
    scan
}

fn regions(scan: &Scan) -> Vec<Region> {
    scan.mappings.regions().to_vec()
}

#[test]
fn a_reader_process_finds_what_this_process_finds() {
    let (program, mut near, mut far) = (Waiting::new(), local(), Remote::new(readers()));
    let pid = program.pid();
    let bare = scan(&mut far, pid, Depth::Regions);
    assert!(bare.is_bare && !bare.mappings.is_empty());
    let (ours, theirs) = (scan(&mut near, pid, Depth::Mappings), scan(&mut far, pid, Depth::Mappings));
    assert_eq!(regions(&ours), regions(&theirs));
    let modules = |scan: &Scan| {
        let evidence = scan.evidence.clone().unwrap();
        let modules = evidence.modules().iter().map(|module| (module.base(), module.marks, module.is_read));
        modules.collect::<Vec<_>>()
    };
    assert_eq!(modules(&ours), modules(&theirs));
    assert!(modules(&theirs).iter().all(|(.., is_read)| *is_read));
    let regions = regions(&theirs);
    let depth = || Depth::Pages { parts: regions.clone(), regions: regions.clone(), evidence: None };
    let (ours, theirs) = (scan(&mut near, pid, depth()), scan(&mut far, pid, depth()));
    assert_eq!((ours.parts, ours.outside), (theirs.parts, theirs.outside));
    assert_eq!(ours.evidence.is_some(), theirs.evidence.is_some());
}

/// The sandbox allows every call that a reading of counters takes.
#[test]
fn a_reader_process_reads_counters() {
    let large = black_box(vec![1_u8; 16 << 20]);
    let (mut near, mut far) = (local(), Remote::new(readers()));
    let pid = std::process::id();
    let ours = scan(&mut near, pid, Depth::Mappings).reading.unwrap();
    let whole = scan(&mut far, pid, Depth::Mappings);
    let names = |reading: &memtrace::allocator::counters::Reading| {
        reading.counters.iter().map(|counters| counters.allocator.clone()).collect::<Vec<_>>()
    };
    // Another user than root may read itself, and not what another process of his may be: not even that is sure.
    if rustix::process::geteuid().is_root() {
        assert_eq!(names(whole.reading.as_ref().unwrap()), names(&ours));
        let regions = regions(&whole);
        let depth = Depth::Pages { parts: regions.clone(), regions, evidence: whole.evidence };
        let pages = scan(&mut far, pid, depth);
        assert_eq!(names(&pages.reading.unwrap()), names(&ours));
    }
    drop(large);
}

#[test]
fn a_reader_process_walks_stacks_and_finds_names() {
    let (program, mut far) = (Waiting::new(), Remote::new(readers()));
    let pid = program.pid();
    let regions = regions(&scan(&mut far, pid, Depth::Regions));
    let modules: std::sync::Arc<[Module]> = regions.iter().filter_map(Module::of).collect();
    let module = modules.iter().find(|module| module.file.is_some()).expect("it has code");
    // A frame whose caller is the same code, by frame pointers or tables: whatever it is, it is an answer.
    let registers = Registers { ip: module.range.start + 64, sp: 0x1000, bp: 0x1010, ..Registers::default() };
    let mut bytes = vec![0_u8; 256];
    for word in bytes.chunks_exact_mut(8) {
        word.copy_from_slice(&(module.range.start + 128).to_ne_bytes());
    }
    for modules in [None, Some(std::sync::Arc::clone(&modules)), Some(std::sync::Arc::clone(&modules))] {
        let copy = Copy { registers, base: 0x1000, bytes: bytes.clone().into() };
        let key = walk::Key { pid, tid: pid, ktime: 1 };
        let walked = far.walk(vec![walk::Job { key, copy, modules }]);
        let frames = &walked.first().unwrap().walked.as_ref().unwrap().frames;
        assert_eq!(frames.first(), Some(&registers.ip));
    }
    let Some(Backing::File(file)) = regions.first().map(|region| region.backing.clone()) else {
        panic!("a program is mapped first")
    };
    let path = String::from_utf8(file.path.clone()).unwrap();
    assert_eq!(far.names(vec![Place { pid, path: path.into(), offset: 0, inode: None }]).len(), 1);
    assert!(far.mounts(pid).is_ok());
}

/// The sandbox lets the symbols of a program be mapped.
#[test]
fn a_reader_process_finds_the_name_of_a_function() {
    let (mut far, pid) = (Remote::new(readers()), std::process::id());
    let here = a_reader_process_finds_the_name_of_a_function as fn() as usize as u64;
    let regions = regions(&scan(&mut far, pid, Depth::Regions));
    let module = regions.iter().filter_map(Module::of).find(|module| module.range.contains(&here)).unwrap();
    let path = String::from_utf8(module.file.unwrap().path.clone()).unwrap();
    let offset = here - module.range.start + module.offset;
    let place = Place { pid, path: path.into(), offset, inode: None };
    let names = far.names(vec![place]);
    let name = names.first().unwrap().as_ref().unwrap();
    assert!(name.contains("a_reader_process_finds_the_name_of_a_function"), "{name}");
}

#[test]
fn a_reader_process_that_is_stopped_is_replaced_and_its_scan_says_so() {
    let (program, other, readers) = (Waiting::new(), Waiting::new(), readers());
    let mut far = Remote::new(readers.clone());
    scan(&mut far, program.pid(), Depth::Regions);
    for pid in readers.pids() {
        kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), Signal::STOP).unwrap();
    }
    let request = |pid| Request { pid, depth: Depth::Regions, room: ROOM };
    let hung = reader::scan(&mut far, request(program.pid()), BUDGET);
    assert_eq!(hung.not_read.as_deref(), Some("no answer within 2 s"));
    let again = reader::scan(&mut far, request(program.pid()), BUDGET);
    assert!(again.not_read.unwrap().contains("not read again"));
    assert!(!scan(&mut far, other.pid(), Depth::Regions).mappings.is_empty());
    assert_eq!((readers.counts().late, readers.counts().stuck, readers.counts().unanswered), (1, 0, 2));
}
