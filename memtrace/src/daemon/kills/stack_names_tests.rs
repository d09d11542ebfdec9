use super::*;
use crate::{
    cgroup::memcg::Limit,
    mm::growth::WalkedBy,
    model::{
        scan::Scan,
        walk::{self, Unwound},
    },
    oom::cause::fixture,
    oom::record::circumstances::VictimMemory,
    reader::{NotRead, job::Job, tmpfs::Tmpfs},
    snapshot::{ContainerRow, Memory, Node, UserFrame},
    symbols::Place,
    units::{Bytes, Grade},
};

const MIB: u64 = 1 << 20;
/// Of the program whose stacks these are.
const INODE: u64 = 9;

/// Knows one function in the files of some processes, and counts the places that it was asked for.
#[derive(Default)]
struct Fake {
    alive: Vec<u32>,
    asked: usize,
    /// Started after the kill.
    later: Vec<u32>,
}

impl Reader for Fake {
    fn scan(&mut self, job: Job) -> Result<Scan, Box<Job>> {
        Err(Box::new(job))
    }

    fn walk(&mut self, _: Vec<walk::Job>) -> Vec<Unwound> {
        Vec::new()
    }

    fn mounts(&mut self, _: u32) -> Result<Vec<Tmpfs>, NotRead> {
        Err(NotRead::Gone)
    }

    fn has_thread(&mut self, _: u32, _: &[&str]) -> Result<bool, NotRead> {
        Ok(false)
    }

    fn names(&mut self, places: Vec<Place>) -> Vec<Option<String>> {
        self.asked += places.len();
        let name = |place: Place| {
            let is_it = place.inode.is_none_or(|inode| inode == INODE);
            (self.alive.contains(&place.pid) && is_it && place.offset == 7)
                .then(|| "remember_session".to_owned())
        };
        places.into_iter().map(name).collect()
    }

    fn was_there(&self, pid: u32, _: u64) -> bool {
        !self.later.contains(&pid)
    }

    fn rest(&mut self) {}
}

fn stacks() -> Vec<GrowthStack> {
    let frame = |offset| UserFrame {
        address: "0x1".to_owned(),
        module: Some("/app/server".to_owned()),
        file_offset: Some(offset),
        symbol: None,
        inode: Some(INODE),
    };
    vec![GrowthStack {
        bytes: [Bytes(MIB); 3],
        walked_by: WalkedBy::default(),
        frames: vec![frame(7), frame(8)],
    }]
}

fn record() -> OomRecord {
    let mut record = fixture::record(100);
    record.circumstances.victim_memory =
        Some(VictimMemory { growth_stacks: stacks(), ..VictimMemory::default() });
    record
}

fn symbols(record: &OomRecord) -> Vec<Option<&str>> {
    let stacks = &record.circumstances.victim_memory.as_ref().unwrap().growth_stacks;
    stacks.iter().flat_map(|stack| &stack.frames).map(|frame| frame.symbol.as_deref()).collect()
}

fn snapshot(usage: u64) -> Snapshot {
    let victim = record().victim.task;
    let group = ContainerRow {
        usage_bytes: Some(Bytes(usage)),
        limit: Some(Limit { bytes: Bytes(100 * MIB), owner: "/pod".to_owned() }),
        ..ContainerRow::empty("/pod".to_owned())
    };
    let process = ProcessRow {
        pid: 10,
        comm: "victim".to_owned(),
        uid: None,
        // Computed again, a start differs a little.
        started: victim.started.map(|started| started + jiff::SignedDuration::from_micros(300)),
        cgroup: Some("/pod".to_owned()),
        rss_bytes: Some(Bytes(usage)),
        rss_grade: Grade::Read,
        rss_read: None,
        growth_bytes_per_second: Some(1e6),
        growth_window_seconds: None,
        limit: None,
        memory: Some(Memory { growth_stacks: stacks(), ..Memory::default() }),
        not_read: None,
        totals_only: None,
        peak: None,
    };
    Snapshot {
        schema: 1,
        time: Timestamp::UNIX_EPOCH,
        tracer: None,
        processes: vec![Arc::new(process)],
        containers: vec![group],
        node: Node::default(),
    }
}

fn filled(known: Mutex<Known>, mut record: OomRecord) -> OomRecord {
    let (wanted, _) = sync_channel(1);
    let (_, found) = channel();
    StackNames { known: Arc::new(known), wanted, found }.fill(&mut record);
    record
}

#[test]
fn names_learned_near_the_limit_are_there_after_the_process_is_gone() {
    let (mut reader, known) = (Fake { alive: vec![10], ..Fake::default() }, Mutex::default());
    learn(&mut reader, (&snapshot(30 * MIB), 0), &known);
    assert_eq!(reader.asked, 0, "far from its limit");
    learn(&mut reader, (&snapshot(80 * MIB), 0), &known);
    learn(&mut reader, (&snapshot(90 * MIB), 0), &known);
    assert_eq!(reader.asked, 2, "each place once, also the one without a name");
    assert_eq!(symbols(&filled(known, record())), [Some("remember_session"), None]);
}

#[test]
fn another_process_with_the_pid_has_other_names() {
    let (mut reader, known) = (Fake { alive: vec![10], ..Fake::default() }, Mutex::default());
    learn(&mut reader, (&snapshot(80 * MIB), 0), &known);
    let mut later = record();
    later.victim.task.started = later.victim.task.started.map(|at| at + jiff::SignedDuration::from_secs(60));
    assert_eq!(symbols(&filled(known, later)), [None, None]);
}

#[test]
fn a_process_that_got_the_pid_later_has_no_names_to_give() {
    let mut reader = Fake { alive: vec![10], later: vec![10], asked: 0 };
    let known = Mutex::default();
    learn(&mut reader, (&snapshot(80 * MIB), 0), &known);
    assert_eq!((reader.asked, symbols(&filled(known, record()))), (0, vec![None, None]));
    let (_sender, snapshots) = watch::channel(Arc::new(snapshot(0)));
    let beat = Beat::unwatched(crate::daemon::threads::STACK_NAMES);
    let names = StackNames::start(reader, snapshots, beat).unwrap();
    assert!(names.ask(Wanted::of(&record()).unwrap()));
    let mut record = record();
    record.circumstances.victim_memory.as_mut().unwrap().growth_stacks = names.found.recv().unwrap().stacks;
    assert_eq!(symbols(&record), [None, None]);
}

#[test]
fn what_was_not_learned_is_read_in_a_process_of_the_same_container() {
    let mut dead = record();
    let wanted = Wanted::of(&dead).unwrap();
    assert_eq!(wanted.pids, [10]);
    let sibling = crate::oom::record::circumstances::ProcessAtKill {
        task: fixture::task(11, "sidecar", "/pod"),
        rss_bytes: None,
        anon_bytes: None,
        growth_bytes_per_second: None,
        threads: None,
        copy_of: None,
        copied_seconds_ago: None,
        is_victim: false,
        grade: Grade::Read,
        age_seconds: None,
    };
    dead.circumstances.processes = vec![sibling];
    let (_sender, snapshots) = watch::channel(Arc::new(snapshot(0)));
    let beat = Beat::unwatched(crate::daemon::threads::STACK_NAMES);
    let names = StackNames::start(Fake { alive: vec![11], ..Fake::default() }, snapshots, beat).unwrap();
    assert!(names.ask(Wanted::of(&dead).unwrap()));
    let found = names.found.recv().unwrap();
    dead.circumstances.victim_memory.as_mut().unwrap().growth_stacks = found.stacks;
    assert_eq!(symbols(&dead), [Some("remember_session"), None]);
    assert_eq!(Wanted::of(&fixture::record(100)).map(|wanted| wanted.id), None, "nothing to name");
}

/// As `burst` with seed 202: from rest to the limit within a second, and nobody is left who has its files.
#[test]
fn a_program_without_a_container_is_named_from_the_node_s_own_file() {
    let mut unnamed = stacks();
    let mut reader = Fake { alive: vec![FIRST], ..Fake::default() };
    name(&mut reader, &[], 0, &mut unnamed);
    let symbols = |stacks: &[GrowthStack]| stacks[0].frames[0].symbol.clone();
    assert_eq!(symbols(&unnamed).as_deref(), Some("remember_session"));
    let mut of_a_container = stacks();
    for frame in &mut of_a_container[0].frames {
        frame.inode = Some(INODE + 1);
    }
    name(&mut reader, &[], 0, &mut of_a_container);
    assert_eq!(symbols(&of_a_container), None, "the node has another file at this path");
}

#[test]
fn names_have_a_bound_in_bytes() {
    let mut known = Known::default();
    let started = Timestamp::UNIX_EPOCH;
    for offset in 0..40_000 {
        known.put(1, started, ("/app/server".to_owned(), offset), Some("f".repeat(100)));
        assert!(known.bytes <= MOST_BYTES);
    }
    assert!(known.of(1, started).unwrap().contains_key(&("/app/server".to_owned(), 39_999)));
}
