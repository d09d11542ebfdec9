//! Scans and walks through a reader process that runs in this one.

use std::{
    collections::VecDeque,
    hint::black_box,
    sync::{Arc, Mutex},
    time::Duration,
};

use memtrace_common::event::stack::Registers;

use super::{scans::Scans, walks::Walks};
use crate::{
    allocator::image::process::Budget,
    mm::{
        listing::Mappings,
        maps,
        procfs::Procfs,
        region::{Backing, Region},
    },
    model::{
        scan::{Depth, Request, Scan},
        walk,
    },
    reader::{
        NotRead,
        child::Server,
        job::Job,
        pool::{quarantine::Whom, session::Line},
        protocol::{Answer, Ask, Step, frame, receive},
    },
    units::Bytes,
    unwind::{Copy, Module},
};

/// What happens to a request instead of an answer.
#[derive(Clone, Copy)]
enum Fate {
    Hangs,
    Dies,
}

/// What a test sees of the line.
#[derive(Default)]
struct Seen {
    asked: Vec<&'static str>,
    /// Looks at a process and its cgroup.
    looks: usize,
    blamed: Vec<u32>,
    counted: usize,
}

/// A reader process in this one; every message goes through a frame.
struct Near {
    server: Server,
    number: u64,
    /// Of the next requests; without one it answers.
    fates: VecDeque<Option<Fate>>,
    seen: Arc<Mutex<Seen>>,
}

impl Near {
    fn new(fates: impl IntoIterator<Item = Option<Fate>>) -> (Self, Arc<Mutex<Seen>>) {
        let seen = Arc::<Mutex<Seen>>::default();
        let fates = fates.into_iter().collect();
        (Self { server: server(), number: 0, fates, seen: Arc::clone(&seen) }, seen)
    }
}

fn server() -> Server {
    Server::new(Procfs::new("/proc"))
}

fn name(ask: &Ask) -> &'static str {
    match ask {
        Ask::Scan(_, Step::Begin(_)) => "begin",
        Ask::Scan(_, Step::GoOn(_)) => "go on",
        Ask::Scan(_, Step::Detail(_, Some(_))) => "detail",
        Ask::Scan(_, Step::Detail(_, None)) => "no detail",
        Ask::Walk(_, walk) => match &walk.modules {
            None => "walk",
            Some(known) if known.list.is_some() => "walk with code",
            Some(_) => "walk with key",
        },
        _ => "other",
    }
}

impl Line for Near {
    fn number(&self) -> u64 {
        self.number
    }

    fn check(&self, pid: u32) -> Result<Whom, NotRead> {
        self.seen.lock().unwrap().looks += 1;
        Ok(((pid, 1), None))
    }

    fn ask(&mut self, whom: Whom, ask: &Ask, patience: Duration) -> Result<Answer, NotRead> {
        assert_eq!(whom, ((ask.pid(), 1), None), "what was found before it began");
        let bytes = frame(ask).ok_or(NotRead::TooLarge)?;
        self.seen.lock().unwrap().asked.push(name(ask));
        let why = match self.fates.pop_front().flatten() {
            None => {
                let answer = self.server.answer(receive(&mut &*bytes).unwrap());
                return Ok(receive(&mut &*frame(&answer).unwrap()).unwrap());
            }
            Some(Fate::Hangs) => NotRead::Late(patience),
            Some(Fate::Dies) => NotRead::Died("killed".to_owned()),
        };
        (self.server, self.number) = (server(), self.number + 1);
        Err(why)
    }

    fn rest(&mut self) {}

    fn blame(&self, ((pid, _), _): Whom, _: &NotRead) {
        self.seen.lock().unwrap().blamed.push(pid);
    }

    fn count(&self, _: &NotRead) {
        self.seen.lock().unwrap().counted += 1;
    }
}

fn me() -> u32 {
    std::process::id()
}

/// A whole scan, with time to read counters.
fn scan(scans: &mut Scans<Near>, pid: u32, depth: Depth) -> Scan {
    let budget = Budget { time: Duration::from_secs(60), ..Budget::DEFAULT };
    whole(scans, Job::with(Request { pid, depth, room: Bytes(64 << 20) }, budget))
}

fn whole(scans: &mut Scans<Near>, mut job: Job) -> Scan {
    loop {
        match scans.scan(job) {
            Ok(scan) => return scan,
            Err(unfinished) => job = *unfinished,
        }
    }
}

#[test]
fn a_scan_finds_the_mappings_programs_and_counters_of_a_process() {
    let large = black_box(vec![1_u8; 16 << 20]);
    let (line, seen) = Near::new([]);
    let mut scans = Scans::new(line);
    let bare = scan(&mut scans, me(), Depth::Regions);
    assert!(bare.is_bare && !bare.mappings.is_empty() && bare.evidence.is_none());
    let whole = scan(&mut scans, me(), Depth::Mappings);
    let evidence = whole.evidence.clone().unwrap();
    let here = scan as fn(&mut Scans<Near>, u32, Depth) -> Scan as usize as u64;
    assert!(evidence.module_of_code(here).is_some_and(|module| module.is_read));
    assert!(whole.reading.is_some() && whole.not_read.is_none());
    // Its pages alone: evidence is sent back only because it is large enough for counters.
    let regions: Vec<Region> = whole.mappings.into_regions();
    let heap = large.as_ptr().addr() as u64 + (8 << 20);
    let parts = regions.iter().filter(|region| (region.start..region.end).contains(&heap)).cloned().collect();
    seen.lock().unwrap().asked.clear();
    let pages = scan(&mut scans, me(), Depth::Pages { parts, regions, evidence: Some(evidence) });
    assert!(pages.reading.is_some());
    if let [part] = &*pages.parts {
        assert!(part.measured.resident.0 >= 16 << 20);
        assert!(pages.evidence.is_none(), "it is known");
        assert!(seen.lock().unwrap().asked.contains(&"detail"));
    } else {
        assert!(!pages.mappings.is_empty(), "a kernel without PAGEMAP_SCAN");
    }
    assert_eq!(seen.lock().unwrap().counted, 0);
}

/// The list is counted where it is read, and never crosses the boundary.
#[test]
fn a_list_without_room_arrives_as_its_size() {
    let (line, seen) = Near::new([]);
    let mut scans = Scans::new(line);
    for depth in [Depth::Regions, Depth::Mappings] {
        let request = Request { pid: me(), depth, room: Bytes(Mappings::EACH) };
        let scan = whole(&mut scans, Job::with(request, Budget::DEFAULT));
        let over = scan.over.unwrap();
        assert!(over.mappings > 1 && over.list.0 >= over.mappings * Mappings::EACH);
        assert!(scan.mappings.is_empty() && scan.not_read.is_none());
    }
    assert_eq!(seen.lock().unwrap().counted, 0, "it is no loss");
}

#[test]
fn a_process_that_is_gone_has_an_empty_scan() {
    let (line, seen) = Near::new([]);
    let scan = scan(&mut Scans::new(line), u32::MAX, Depth::Mappings);
    assert!(scan.is_empty() && scan.not_read.is_none());
    assert_eq!(seen.lock().unwrap().counted, 0, "it is no loss");
}

#[test]
fn a_scan_whose_process_dies_begins_again() {
    let (line, seen) = Near::new([Some(Fate::Dies), Some(Fate::Dies)]);
    let scan = scan(&mut Scans::new(line), me(), Depth::Regions);
    assert!(!scan.mappings.is_empty());
    let seen = seen.lock().unwrap();
    // On a slow machine it takes more than one slice.
    let (begun, rest) = seen.asked.split_at(3);
    assert_eq!((begun, seen.blamed.len()), (&["begin"; 3][..], 0));
    assert_eq!(seen.looks, 3, "one for each begin, however many pieces follow");
    assert!(rest.iter().all(|asked| *asked == "go on"), "{rest:?}");
}

#[test]
fn a_scan_that_kills_each_process_is_blamed_and_says_so() {
    let (line, seen) = Near::new([Some(Fate::Dies); 3]);
    let scan = scan(&mut Scans::new(line), me(), Depth::Regions);
    assert_eq!(scan.not_read.as_deref(), Some("the reader process died (killed)"));
    let seen = seen.lock().unwrap();
    assert_eq!((&*seen.blamed, seen.counted), (&[me()][..], 1));
}

#[test]
fn a_scan_that_hangs_is_not_tried_again_and_those_beside_it_are() {
    let (line, seen) = Near::new([Some(Fate::Hangs)]);
    let mut scans = Scans::new(line);
    let hung = scan(&mut scans, 1, Depth::Regions);
    assert_eq!(hung.not_read.as_deref(), Some("no answer within 2 s"));
    assert!(!scan(&mut scans, me(), Depth::Regions).mappings.is_empty());
    assert_eq!(seen.lock().unwrap().counted, 1);
}

/// This thread's code, and a stack whose walk ends at once.
fn job(modules: Option<&Arc<[Module]>>, ktime: u64) -> walk::Job {
    let ip = job as fn(Option<&Arc<[Module]>>, u64) -> walk::Job as usize as u64;
    let registers = Registers { ip, sp: 0x1000, ..Registers::default() };
    let copy = Copy { registers, base: 0x1000, bytes: [0; 64].into() };
    walk::Job { key: walk::Key { pid: me(), tid: me(), ktime }, copy, modules: modules.map(Arc::clone) }
}

fn code() -> Arc<[Module]> {
    let regions = maps::read(&Procfs::new("/proc"), me()).unwrap().regions;
    regions
        .iter()
        .filter(|region| matches!(region.backing, Backing::File(_)))
        .filter_map(Module::of)
        .collect()
}

#[test]
fn code_is_sent_once_until_it_changes_or_the_process_is_lost() {
    let (line, seen) = Near::new([None, None, None, Some(Fate::Dies)]);
    let mut walks = Walks::new(line);
    let (code, other) = (code(), code());
    let asked = || std::mem::take(&mut seen.lock().unwrap().asked);
    let done = walks.walk(vec![job(Some(&code), 1), job(Some(&code), 2)]);
    let keys: Vec<u64> = done.iter().map(|unwound| unwound.key.ktime).collect();
    assert_eq!(keys, [1, 2]);
    assert!(done.iter().all(|unwound| unwound.walked.is_some()));
    assert_eq!(asked(), ["walk with code"]);
    walks.walk(vec![job(Some(&code), 3)]);
    assert_eq!(asked(), ["walk with key"]);
    walks.walk(vec![job(Some(&other), 4)]);
    assert_eq!(asked(), ["walk with code"]);
    // The process dies, and another walks it.
    let done = walks.walk(vec![job(Some(&other), 5), job(None, 6)]);
    assert!(done.iter().all(|unwound| unwound.walked.is_some()));
    assert_eq!(asked(), ["walk with key", "walk with code", "walk"]);
    assert!(seen.lock().unwrap().blamed.is_empty());
}

#[test]
fn code_that_the_process_forgot_is_sent_again() {
    let (line, seen) = Near::new([]);
    let mut walks = Walks::new(line);
    let code = code();
    walks.walk(vec![job(Some(&code), 1)]);
    walks.line().server = server();
    let done = walks.walk(vec![job(Some(&code), 2)]);
    assert!(done[0].walked.is_some());
    assert_eq!(seen.lock().unwrap().asked, ["walk with code", "walk with key", "walk with code"]);
}

#[test]
fn stacks_that_nobody_could_walk_are_dropped() {
    for fate in [Fate::Hangs, Fate::Dies] {
        let (line, seen) = Near::new([Some(fate), Some(fate)]);
        let done = Walks::new(line).walk(vec![job(None, 1), job(None, 2)]);
        assert_eq!(done.iter().filter(|unwound| unwound.walked.is_none()).count(), 2);
        let seen = seen.lock().unwrap();
        let blamed = usize::from(matches!(fate, Fate::Dies));
        assert_eq!((seen.blamed.len(), seen.counted), (blamed, 1), "the line itself blames what hangs");
    }
}
