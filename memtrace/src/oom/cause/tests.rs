use super::{
    Bytes, Case, Cause, CauseKind, Confidence, cause,
    fixture::{LIMIT, MIB, record, task},
};

#[path = "drawn_tests.rs"]
mod drawn;
#[path = "instants_tests.rs"]
mod instants;
#[path = "settled_tests.rs"]
mod settled;

use crate::{
    allocator::counters::Counters,
    cgroup::charge::Charge,
    oom::record::{
        Frame, OomRecord, ScopeKind,
        circumstances::{Composition, Point, ProcessAtKill, Request, VictimMemory},
    },
    reader::tmpfs::Tmpfs,
    units::Grade,
};

/// Usage in MiB, one value per second, the last one second before the kill.
fn usage(record: &mut OomRecord, values: impl IntoIterator<Item = u64>) {
    let values: Vec<u64> = values.into_iter().collect();
    let count = values.len();
    record.circumstances.timeline = values
        .into_iter()
        .enumerate()
        .map(|(index, mib)| Point {
            seconds_before: (count - index) as f64,
            usage_bytes: Some(Bytes(mib * MIB)),
            limit_bytes: Some(Bytes(LIMIT)),
            ..Point::default()
        })
        .collect();
    record.circumstances.timeline.push(Point {
        usage_bytes: Some(Bytes(LIMIT)),
        limit_bytes: Some(Bytes(LIMIT)),
        ..Point::default()
    });
}

fn charge(record: &mut OomRecord, charge: Charge) {
    let charge = Charge { usage_bytes: Some(Bytes(LIMIT)), ..charge };
    record.circumstances.composition = Some(Composition {
        charge,
        tmpfs: Vec::new(),
        tmpfs_not_read: None,
        grade: Grade::Read,
        age_seconds: 0.0,
    });
}

fn process(pid: u32, cgroup: &str, rss: u64, growth: f64) -> ProcessAtKill {
    ProcessAtKill {
        task: task(pid, "p", cgroup),
        rss_bytes: Some(Bytes(rss * MIB)),
        anon_bytes: None,
        growth_bytes_per_second: Some(growth),
        threads: None,
        copy_of: None,
        copied_seconds_ago: None,
        is_victim: pid == 10,
        grade: Grade::Read,
        age_seconds: Some(0.0),
    }
}

fn stack(record: &mut OomRecord, names: &[&str]) {
    let frame = |name: &&str| Frame { address: "0x1".into(), symbol: Some((*name).into()) };
    record.kernel_stack = names.iter().map(frame).collect();
}

fn judged(record: &OomRecord) -> (CauseKind, Confidence) {
    let Cause { kind, confidence, .. } = cause(record);
    (kind, confidence)
}

#[test]
fn with_nothing_known_it_says_so() {
    let mut record = record(100);
    let found = cause(&record);
    assert_eq!((found.kind, found.confidence), (CauseKind::Unknown, Confidence::Low));
    assert!(found.evidence.iter().any(|fact| fact.value == "not enough samples: 0"), "{found:?}");
    usage(&mut record, [50, 60]);
    assert!(cause(&record).evidence.iter().any(|fact| fact.value == "not enough samples: 3"));
}

#[test]
fn steady_growth_is_a_leak() {
    let mut record = record(80);
    usage(&mut record, 20..100);
    assert_eq!(judged(&record), (CauseKind::Leak, Confidence::Medium));
    record.time += jiff::SignedDuration::from_secs(1000);
    usage(&mut record, (0..800).map(|second| 20 + second / 10));
    assert_eq!(judged(&record), (CauseKind::Leak, Confidence::High));
}

/// Most of the time it was at rest: the trend of all of it is none.
#[test]
fn a_leak_that_begins_after_a_long_calm_is_one() {
    let mut record = record(100);
    usage(&mut record, (0..40).map(|_| 12).chain((0..14).map(|second| 14 + second * 6)));
    let found = cause(&record);
    assert_eq!((found.kind, found.confidence), (CauseKind::Leak, Confidence::Medium));
    assert!(found.sentence.contains("6.0 MiB/s"), "{}", found.sentence);
}

#[test]
fn a_jump_after_calm_is_a_burst() {
    let mut record = record(20);
    usage(&mut record, (0..20).map(|_| 30));
    assert_eq!(judged(&record), (CauseKind::Burst, Confidence::High));
}

#[test]
fn a_steady_state_without_room_is_too_tight() {
    let mut record = record(20);
    usage(&mut record, (0..18).map(|second| 90 + second % 2).chain([96]));
    assert_eq!(judged(&record), (CauseKind::LimitTooTight, Confidence::Medium));
}

#[test]
fn files_in_memory_name_their_mount() {
    let mut record = record(100);
    charge(&mut record, Charge { shmem_bytes: Some(Bytes(80 * MIB)), ..Charge::default() });
    let tmpfs = Tmpfs { mount: "/scratch".into(), used_bytes: Bytes(79 * MIB) };
    record.circumstances.composition.as_mut().unwrap().tmpfs = vec![tmpfs];
    let found = cause(&record);
    assert_eq!((found.kind, found.confidence), (CauseKind::FileOrTmpfs, Confidence::High));
    assert!(found.sentence.contains("/scratch"), "{}", found.sentence);
    assert!(found.sentence.contains("a restart will not free them"), "{}", found.sentence);
    record.victim.memory.shmem_bytes = Some(Bytes(80 * MIB));
    assert!(
        cause(&record).sentence.starts_with("shared memory takes"),
        "what is mapped goes with its process"
    );
}

#[test]
fn kernel_memory_names_what_it_is_for() {
    let mut record = record(100);
    charge(&mut record, Charge { kernel_bytes: Some(Bytes(70 * MIB)), ..Charge::default() });
    stack(&mut record, &["mem_cgroup_out_of_memory", "alloc_pages", "pipe_write"]);
    let found = cause(&record);
    assert_eq!((found.kind, found.confidence), (CauseKind::KernelMemory, Confidence::High));
    assert!(found.sentence.contains("by pipes"), "{}", found.sentence);
}

#[test]
fn many_threads_outrank_the_kernel_memory_that_they_take() {
    let mut record = record(100);
    charge(&mut record, Charge { kernel_bytes: Some(Bytes(60 * MIB)), ..Charge::default() });
    let victim = ProcessAtKill { threads: Some(3000), ..process(10, "/pod", 40, 0.0) };
    record.circumstances.processes = vec![victim];
    assert_eq!(judged(&record), (CauseKind::ThreadStacks, Confidence::High));
    record.circumstances.processes[0].threads = Some(40);
    assert_eq!(judged(&record).0, CauseKind::KernelMemory);
}

#[test]
fn a_child_that_is_a_copy_makes_copies() {
    let mut record = record(100);
    charge(&mut record, Charge { anon_bytes: Some(Bytes(95 * MIB)), ..Charge::default() });
    let child =
        ProcessAtKill { copy_of: Some(10), copied_seconds_ago: Some(3.0), ..process(11, "/pod", 55, 0.0) };
    record.circumstances.processes = vec![process(10, "/pod", 56, 0.0), child];
    assert_eq!(judged(&record), (CauseKind::ForkCopyOnWrite, Confidence::High));
    record.circumstances.processes[1].copy_of = None;
    assert_eq!(judged(&record).0, CauseKind::Unknown, "two programs are no copies");
}

#[test]
fn a_neighbour_is_who_grew_and_asked() {
    let mut record = record(100);
    record.victim.task.cgroup = Some("/pod/a".into());
    record.trigger.task = task(20, "other", "/pod/b");
    record.circumstances.processes = vec![process(10, "/pod/a", 60, 0.0), process(20, "/pod/b", 35, 2e6)];
    assert_eq!(judged(&record), (CauseKind::Neighbour, Confidence::High));
    record.limit_owner.as_mut().unwrap().path = Some("/pod/a".into());
    assert_eq!(judged(&record).0, CauseKind::Unknown, "its own limit is not shared");
}

#[test]
fn the_writer_of_a_limit_is_named() {
    let mut record = record(100);
    record.trigger.task = task(30, "sh", "/admin");
    stack(&mut record, &["mem_cgroup_out_of_memory", "memory_max_write", "kernfs_fop_write_iter"]);
    let found = cause(&record);
    assert_eq!((found.kind, found.confidence), (CauseKind::LimitLowered, Confidence::High));
    assert!(found.sentence.starts_with("sh (30) set the limit of /pod to 100.0 MiB"), "{}", found.sentence);
}

#[test]
fn a_limit_that_came_down_to_what_was_in_use() {
    let mut record = record(100);
    usage(&mut record, (0..20).map(|_| 90));
    for point in &mut record.circumstances.timeline[..15] {
        point.limit_bytes = Some(Bytes(2 * LIMIT));
    }
    assert_eq!(judged(&record), (CauseKind::LimitLowered, Confidence::Medium));
    usage(&mut record, (0..20).map(|_| 30));
    record.circumstances.timeline[0].limit_bytes = Some(Bytes(2 * LIMIT));
    assert_ne!(judged(&record).0, CauseKind::LimitLowered, "it grew into it by itself");
}

#[test]
fn kills_without_a_limit() {
    let mut record = record(100);
    (record.scope.kind, record.limit_owner) = (ScopeKind::Global, None);
    record.circumstances.processes = vec![process(20, "/big", 900, 0.0), process(10, "/pod", 60, 0.0)];
    let found = cause(&record);
    assert_eq!((found.kind, found.confidence), (CauseKind::NodeExhaustion, Confidence::High));
    assert!(found.sentence.contains("p (20)"), "{}", found.sentence);
    let asked = |constraint: &str, order| {
        Some(Request { constraint: Some(constraint.into()), order: Some(order), ..Request::default() })
    };
    record.circumstances.request = asked("cpuset", 0);
    assert_eq!(judged(&record).0, CauseKind::CpusetOrPolicy);
    record.circumstances.request = asked("none", -1);
    assert_eq!(judged(&record).0, CauseKind::Requested);
}

/// Page cache at the limit for a minute, then heap within a second: the limit is not too tight.
#[test]
fn page_cache_at_the_limit_does_not_hide_a_burst() {
    let mut record = record(100);
    usage(&mut record, (0..80).map(|_| 99));
    let kill = record.circumstances.timeline.len() - 1;
    for point in &mut record.circumstances.timeline[..kill] {
        point.file_bytes = Some(Bytes(95 * MIB));
    }
    let found = cause(&record);
    assert_eq!((found.kind, found.confidence), (CauseKind::Burst, Confidence::High));
    let reclaimed = found.evidence.iter().find(|fact| fact.what.contains("page cache that")).unwrap();
    assert_eq!(reclaimed.value, "95.0 MiB");
}

#[test]
fn page_cache_is_a_cause_when_the_disk_is_slow() {
    let mut record = record(100);
    let cache = |dirty: u64| Charge {
        active_file_bytes: Some(Bytes(30 * MIB)),
        inactive_file_bytes: Some(Bytes(50 * MIB)),
        shmem_bytes: Some(Bytes(0)),
        dirty_bytes: Some(Bytes(dirty * MIB)),
        writeback_bytes: Some(Bytes(0)),
        ..Charge::default()
    };
    charge(&mut record, cache(60));
    assert_eq!(judged(&record), (CauseKind::FileOrTmpfs, Confidence::Medium));
    charge(&mut record, cache(1));
    assert_eq!(judged(&record).1, Confidence::Low, "clean page cache is reclaimed");
}

#[test]
fn workers_that_grow_by_themselves_are_no_copies() {
    let mut record = record(100);
    charge(&mut record, Charge { anon_bytes: Some(Bytes(95 * MIB)), ..Charge::default() });
    let worker = |pid| ProcessAtKill {
        copy_of: Some(10),
        copied_seconds_ago: Some(60.0),
        ..process(pid, "/pod", 50, 0.0)
    };
    record.circumstances.processes = vec![worker(11), process(10, "/pod", 30, 0.0), worker(12)];
    // 95 = 30 of the parent, twice 20 of growth, and 25 of pages that were copied.
    let found = cause(&record);
    assert_eq!((found.kind, found.confidence), (CauseKind::ForkCopyOnWrite, Confidence::Medium));
    assert!(found.sentence.contains("25.0 MiB"), "{}", found.sentence);
    record.circumstances.processes[0].rss_bytes = Some(Bytes(80 * MIB));
    assert_ne!(judged(&record).0, CauseKind::ForkCopyOnWrite, "all of it is growth");
}

#[test]
fn a_heap_that_may_outgrow_the_limit_is_no_leak() {
    use crate::allocator::counters::Setting;
    let mut record = record(80);
    usage(&mut record, 20..100);
    let jvm = Counters {
        allocator: "jvm".into(),
        allocated_bytes: Some(Bytes(70 * MIB)),
        free_resident_bytes: Some(Bytes(5 * MIB)),
        settings: vec![
            Setting { name: "arguments".into(), value: "-Xmx512m".into() },
            Setting { name: "MaxHeapSize".into(), value: (512 * MIB).to_string() },
        ],
        ..Counters::default()
    };
    let memory =
        VictimMemory { counters: vec![jvm], counters_age_seconds: Some(70.0), ..VictimMemory::default() };
    record.circumstances.victim_memory = Some(memory);
    let found = cause(&record);
    assert_eq!((found.kind, found.confidence), (CauseKind::Ceiling, Confidence::High));
    assert!(
        found.sentence.contains("may grow to 512.0 MiB (-Xmx512m), the limit is 100.0 MiB"),
        "{}",
        found.sentence
    );
    assert_eq!(found.remedies[0].setting.as_deref(), Some("-Xmx72m"));
}

#[test]
fn a_node_that_had_memory_left_is_no_sure_exhaustion() {
    use crate::snapshot::Node;
    let mut record = record(100);
    (record.scope.kind, record.limit_owner) = (ScopeKind::Global, None);
    let node = |available: u64| Node {
        total_bytes: Some(Bytes(1000 * MIB)),
        available_bytes: Some(Bytes(available * MIB)),
        ..Node::default()
    };
    record.circumstances.node = Some(node(20));
    assert_eq!(judged(&record), (CauseKind::NodeExhaustion, Confidence::High));
    record.circumstances.node = Some(node(600));
    record.circumstances.request =
        Some(Request { constraint: Some("none".into()), order: Some(3), ..Request::default() });
    let found = cause(&record);
    assert_eq!(found.confidence, Confidence::Medium);
    assert!(found.sentence.contains("no 8 free pages in a row"), "{}", found.sentence);
}
