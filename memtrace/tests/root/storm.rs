//! Many kills at once: every one is recorded, once, with its own cgroup.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use memtrace::oom::record::{Loss, OomRecord};

use crate::fixture::{
    PATIENCE, cgroup::Cgroup, daemon::Place, eventually, kernel_log::KernelLog, mib, program::Program,
    unexpected,
};

const GROUPS: usize = 20;
const CHILDREN: usize = 15;

/// All kills of this node since boot, as the kernel counts them.
fn node_kills() -> u64 {
    let text = std::fs::read_to_string("/proc/vmstat").unwrap();
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok()).unwrap()
}

#[test]
fn three_hundred_kills_from_twenty_cgroups() {
    let place = Place::new();
    let daemon = place.start(&[]);
    let parent = Cgroup::new();
    let names: Vec<_> = (0..GROUPS).map(|index| format!("g{index}")).collect();
    let groups: Vec<_> = names.iter().map(|name| parent.child(name).limit(mib(8))).collect();
    let (mut log, before) = (KernelLog::from_now(), node_kills());
    let children = CHILDREN.to_string();
    let start = Instant::now();
    let storms: Vec<_> = groups
        .iter()
        .map(|group| Program::eat(&["wait", "cgroup", group.directory(), "storm", &children]))
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
    let all = eventually("all are stored", Duration::from_secs(30), || {
        Some(place.records()).filter(|records| records.len() as u64 >= counted)
    });
    println!(
        "{counted} kills in {:.1} s, stored after {:.1} s",
        took.as_secs_f64(),
        start.elapsed().as_secs_f64()
    );

    let logged: Vec<u32> = log.kills().iter().map(|killed| killed.tid).collect();
    let stored: Vec<u32> = all.iter().map(|record| record.victim.task.tid).collect();
    let distinct: HashSet<u32> = stored.iter().copied().collect();
    assert_eq!(distinct.len(), stored.len(), "none is doubled");
    assert_eq!(distinct, logged.iter().copied().collect(), "those that the kernel says it killed");
    assert_eq!(stored.len() as u64, node_kills() - before, "as many as the kernel counts");
    eventually("top counts them", PATIENCE, || (daemon.tracer().kills == stored.len() as u64).then_some(()));
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
