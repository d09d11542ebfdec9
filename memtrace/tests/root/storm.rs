//! Many kills at once: every one is recorded, once, with its own cgroup.

use std::{
    collections::{HashMap, HashSet},
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use memtrace::oom::record::{Loss, OomRecord, circumstances::Source};
use rustix::process::Signal;

use crate::fixture::{
    PATIENCE, cgroup::Cgroup, daemon::Place, eventually, kernel_log::KernelLog, mib, program::Program,
    unexpected,
};

const GROUPS: usize = 20;
const CHILDREN: usize = 15;

/// Fifty groups, in each of which twenty children are killed one after another, when they are told to.
struct Storm {
    _parent: Cgroup,
    groups: Vec<(Cgroup, Program)>,
    log: KernelLog,
    dead: Vec<u32>,
    begun: Instant,
}

impl Storm {
    const GROUPS: usize = 50;
    const CHILDREN: usize = 20;
    const ALL: usize = Self::GROUPS * Self::CHILDREN;
    /// From one kill to the next: a thousand in 30 s, where the kernel keeps up.
    const PACE: Duration = Duration::from_millis(30);

    fn new() -> Self {
        let parent = Cgroup::new();
        let groups = (0..Self::GROUPS).map(|index| {
            let group = parent.child(&format!("s{index}")).limit(mib(4));
            let each = ["wait", "storm", "1"];
            let steps = ["children-in", group.directory()].into_iter().chain(each.repeat(Self::CHILDREN));
            let program = Program::eat(&steps.collect::<Vec<_>>());
            program.ready();
            (group, program)
        });
        let groups = groups.collect();
        Self { _parent: parent, groups, log: KernelLog::from_now(), dead: Vec::new(), begun: Instant::now() }
    }

    /// The children with these numbers die.
    fn rage(&mut self, children: std::ops::Range<usize>) {
        for child in children {
            thread::sleep(Self::PACE);
            let is_last = child + Self::GROUPS >= Self::ALL;
            let (_, program) = &mut self.groups[child % Self::GROUPS];
            program.go_on();
            self.dead.push(program.line().parse().unwrap());
            if !is_last {
                program.ready();
            }
            // The log's buffer must not go round meanwhile.
            self.log.kills();
        }
    }

    fn counted(&self) -> u64 {
        self.groups.iter().map(|(group, _)| group.oom_kills()).sum()
    }
}

/// The daemon dies in the middle, without warning: what it had not stored, and what came while it was away, is found in
/// the kernel log.
#[test]
fn a_thousand_kills_from_fifty_cgroups_with_the_daemon_killed_in_the_middle() {
    const ALL: usize = Storm::ALL;
    let place = Place::new();
    let mut daemon = place.start(&[]);
    let mut storm = Storm::new();
    storm.rage(0..ALL / 2);
    daemon.signal(Signal::KILL);
    daemon.end();
    let mut latencies = latencies(&place.records(), &daemon.log());
    drop(daemon);
    storm.rage(ALL / 2..ALL / 2 + 40);
    // It goes on while the daemon starts, but not for as long as that takes: the kernel's log would go round.
    let daemon = thread::scope(|scope| {
        let starting = scope.spawn(|| place.start_with_backfill());
        storm.rage(ALL / 2 + 40..ALL / 2 + 100);
        starting.join().unwrap()
    });
    storm.rage(ALL / 2 + 100..ALL);
    let took = storm.begun.elapsed();
    let dead: HashSet<u32> = storm.dead.iter().copied().collect();
    assert_eq!((dead.len(), storm.counted()), (ALL, ALL as u64), "each child was killed once");
    let of_storm = || -> Vec<OomRecord> {
        place.records().into_iter().filter(|record| dead.contains(&record.victim.task.tid)).collect()
    };
    let records =
        eventually("all are recorded", PATIENCE, || Some(of_storm()).filter(|records| records.len() >= ALL));
    let distinct: HashSet<u32> = records.iter().map(|record| record.victim.task.tid).collect();
    assert_eq!((records.len(), distinct.len()), (ALL, ALL), "all, and none twice");
    let backfilled = records.iter().filter(|record| record.circumstances.source == Source::KernelLog).count();
    assert!((40..ALL / 2).contains(&backfilled), "{backfilled}");
    latencies.extend(self::latencies(&records, &daemon.log()));
    latencies.sort();
    let median = latencies[latencies.len() / 2];
    println!(
        "{ALL} kills in {:.1} s, {backfilled} of them from the kernel log; from the kill to the disk: median {:.1} ms, \
         longest {:.1} ms of {}",
        took.as_secs_f64(),
        median.as_secs_f64() * 1e3,
        latencies[latencies.len() - 1].as_secs_f64() * 1e3,
        latencies.len()
    );
}

/// From each kill to the line of the daemon's log that says that it is stored.
fn latencies(records: &[OomRecord], log: &str) -> Vec<Duration> {
    let killed: HashMap<&str, Timestamp> = records
        .iter()
        .filter(|record| record.circumstances.source == Source::Live)
        .map(|record| (record.id.as_str(), record.time))
        .collect();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    lines
        .filter(|line| line["fields"]["message"] == "recorded an OOM kill")
        .filter_map(|line| {
            let stored: Timestamp = line["timestamp"].as_str()?.parse().ok()?;
            let killed = killed.get(line["fields"]["id"].as_str()?)?;
            Some(Duration::try_from(stored.duration_since(*killed)).unwrap_or_default())
        })
        .collect()
}

#[test]
fn three_hundred_kills_from_twenty_cgroups() {
    let place = Place::new();
    let daemon = place.start(&[]);
    let parent = Cgroup::new();
    let names: Vec<_> = (0..GROUPS).map(|index| format!("g{index}")).collect();
    let groups: Vec<_> = names.iter().map(|name| parent.child(name).limit(mib(8))).collect();
    let mut log = KernelLog::from_now();
    let children = CHILDREN.to_string();
    let start = Instant::now();
    let storms: Vec<_> = groups
        .iter()
        .map(|group| Program::eat(&["wait", "children-in", group.directory(), "storm", &children]))
        .collect();
    // All at once.
    storms.iter().for_each(Program::ready);
    let mut storms = storms;
    storms.iter_mut().for_each(Program::go_on);
    let dead: Vec<HashSet<u32>> = storms
        .iter_mut()
        .map(|storm| {
            // The log's buffer must not go round meanwhile.
            log.kills();
            let pids = storm.lines().iter().map(|line| line.parse().unwrap()).collect();
            assert!(storm.end().success());
            pids
        })
        .collect();
    let took = start.elapsed();

    let counted: u64 = groups.iter().map(Cgroup::oom_kills).sum();
    assert_eq!(counted, (GROUPS * CHILDREN) as u64, "each child was killed once");
    // Others on this node may be killed meanwhile.
    let ours: HashSet<u32> = dead.iter().flatten().copied().collect();
    let all = eventually("all are stored", PATIENCE, || {
        let all = place.records().into_iter().filter(|record| ours.contains(&record.victim.task.tid));
        Some(all.collect::<Vec<OomRecord>>()).filter(|records| records.len() as u64 >= counted)
    });
    println!(
        "{counted} kills in {:.1} s, stored after {:.1} s",
        took.as_secs_f64(),
        start.elapsed().as_secs_f64()
    );

    let logged: HashSet<u32> =
        log.kills().iter().map(|killed| killed.tid).filter(|tid| ours.contains(tid)).collect();
    let stored: Vec<u32> = all.iter().map(|record| record.victim.task.tid).collect();
    let distinct: HashSet<u32> = stored.iter().copied().collect();
    assert_eq!(distinct.len(), stored.len(), "none is doubled");
    assert_eq!(distinct, logged, "those that the kernel says it killed");
    assert_eq!(stored.len() as u64, counted, "as many as the kernel counts");
    eventually("top counts them", PATIENCE, || (daemon.tracer().kills >= counted).then_some(()));
    assert_eq!(unexpected(&daemon.tracer().losses), [] as [&Loss; 0]);
    assert_eq!(daemon.tracer().kills_not_stored, 0);

    let records: HashMap<u32, &OomRecord> =
        all.iter().map(|record| (record.victim.task.tid, record)).collect();
    for (group, pids) in groups.iter().zip(&dead) {
        assert_eq!(pids.len(), CHILDREN);
        for pid in pids {
            let record = records[pid];
            assert_eq!(record.victim.task.cgroup.as_deref(), Some(group.path()));
            let owner = record.limit_owner.as_ref().expect("the owner is known");
            assert_eq!(owner.path.as_deref(), Some(group.path()), "{owner:?}");
            assert_eq!(unexpected(&record.evidence.losses), [] as [&Loss; 0]);
        }
    }
}
