//! Figures of two instants: what was read before the kill is not what there was at the kill.

use super::*;

/// The composition may be half a minute old where the kernel log has no report.
#[test]
fn figures_that_were_read_before_the_kill_are_not_those_of_the_kill() {
    let mut record = record(100);
    let kinds = |record: &mut OomRecord, charge: Charge, age: f64| {
        super::charge(record, charge);
        record.circumstances.composition.as_mut().unwrap().age_seconds = age;
    };
    let kernel = Charge { kernel_bytes: Some(Bytes(70 * MIB)), ..Charge::default() };
    kinds(&mut record, kernel.clone(), 0.9);
    assert_eq!(judged(&record), (CauseKind::KernelMemory, Confidence::High));
    kinds(&mut record, kernel, 31.0);
    let found = cause(&record);
    assert_eq!((found.kind, found.confidence), (CauseKind::KernelMemory, Confidence::Medium));
    assert!(found.evidence.iter().any(|fact| fact.value == "31 s"), "{:?}", found.evidence);
    let shmem = Charge { shmem_bytes: Some(Bytes(80 * MIB)), ..Charge::default() };
    kinds(&mut record, shmem, 31.0);
    assert_eq!(judged(&record), (CauseKind::FileOrTmpfs, Confidence::Medium));

    // Copies are a difference between a charge and sizes: of two instants it is none.
    kinds(&mut record, Charge { anon_bytes: Some(Bytes(95 * MIB)), ..Charge::default() }, 31.0);
    let child =
        ProcessAtKill { copy_of: Some(10), copied_seconds_ago: Some(3.0), ..process(11, "/pod", 55, 0.0) };
    record.circumstances.processes = vec![process(10, "/pod", 56, 0.0), child];
    assert_ne!(judged(&record).0, CauseKind::ForkCopyOnWrite);
}

#[test]
fn memory_that_its_allocator_keeps_needs_fresh_counters() {
    let mut record = record(100);
    charge(&mut record, Charge { anon_bytes: Some(Bytes(95 * MIB)), ..Charge::default() });
    let counters = Counters {
        allocator: "glibc".into(),
        free_resident_bytes: Some(Bytes(60 * MIB)),
        allocated_bytes: Some(Bytes(30 * MIB)),
        ..Counters::default()
    };
    let memory = |age| VictimMemory {
        counters: vec![counters.clone()],
        counters_age_seconds: Some(age),
        ..VictimMemory::default()
    };
    record.circumstances.victim_memory = Some(memory(2.0));
    assert_eq!(judged(&record), (CauseKind::AllocatorRetention, Confidence::High));
    record.circumstances.victim_memory = Some(memory(90.0));
    assert_eq!(judged(&record).0, CauseKind::Unknown);
}

/// Counters are read before the kill, and what was free then may be what grew since.
#[test]
fn memory_that_was_free_and_was_used_since_is_no_retention() {
    let mut record = record(100);
    charge(&mut record, Charge { anon_bytes: Some(Bytes(95 * MIB)), ..Charge::default() });
    let counters = Counters {
        allocator: "glibc".into(),
        free_resident_bytes: Some(Bytes(60 * MIB)),
        allocated_bytes: Some(Bytes(30 * MIB)),
        ..Counters::default()
    };
    let memory =
        VictimMemory { counters: vec![counters], counters_age_seconds: Some(8.0), ..VictimMemory::default() };
    record.circumstances.victim_memory = Some(memory);
    usage(&mut record, (0..20).map(|_| 90));
    let found = cause(&record);
    assert_eq!(found.kind, CauseKind::AllocatorRetention);
    assert!(found.sentence.starts_with("at least 50.0 MiB was free but kept by glibc"), "{}", found.sentence);
    usage(&mut record, (0..20).map(|second| 20 + 3 * second));
    assert_ne!(judged(&record).0, CauseKind::AllocatorRetention, "44 MiB more are in use by now");
}
