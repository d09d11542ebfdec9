//! Draws of the incident bench that were misses, with the values of their records.

use super::{
    Bytes, CauseKind, Charge, Confidence, MIB, ProcessAtKill, cause, charge, judged, process, record, usage,
};

/// As `thread-stacks` with seed 201: killed 4.4 s after its start, before its page tables were read.
#[test]
fn threads_that_were_started_are_told_where_their_stacks_were_not_measured() {
    let mut record = record(4);
    let kernel = |bytes| Charge { kernel_bytes: Some(Bytes(bytes)), ..Charge::default() };
    charge(&mut record, kernel(21_479_424));
    record.victim.memory.anon_bytes = Some(Bytes(83_374_080));
    let victim = ProcessAtKill { threads: Some(784), ..process(10, "/pod", 81, 20_699_257.0) };
    record.circumstances.processes = vec![victim];
    usage(&mut record, [7, 29, 56, 84]);
    for (point, mib) in record.circumstances.timeline.iter_mut().zip([0, 4, 10, 16]) {
        point.kernel_bytes = Some(Bytes(mib * MIB));
    }
    let found = cause(&record);
    assert_eq!((found.kind, found.confidence), (CauseKind::ThreadStacks, Confidence::Medium));
    assert!(found.sentence.contains("784 threads") && found.sentence.contains("79.5 MiB"), "{found:?}");
    assert_eq!(found.doubt.unwrap().kind, CauseKind::StartUp);
    for point in &mut record.circumstances.timeline {
        point.kernel_bytes = Some(Bytes(16 * MIB));
    }
    assert_eq!(judged(&record).0, CauseKind::StartUp, "the threads were there before");
}

/// As `redis-save` with seed 501: 19.5 MiB were copied, but a client and a shell have pages of files.
#[test]
fn pages_of_files_do_not_hide_copies() {
    let mut record = record(9);
    charge(&mut record, Charge { anon_bytes: Some(Bytes(71_454_720)), ..Charge::default() });
    // Pages, from the kernel's report.
    let sized = |process: ProcessAtKill, rss: u64, anon: u64| ProcessAtKill {
        rss_bytes: Some(Bytes(rss * 4096)),
        anon_bytes: Some(Bytes(anon * 4096)),
        ..process
    };
    let child =
        ProcessAtKill { copy_of: Some(10), copied_seconds_ago: Some(0.4), ..process(11, "/pod", 0, 0.0) };
    record.circumstances.processes = vec![
        sized(process(10, "/pod", 0, 0.0), 14_527, 12_160),
        sized(child, 12_740, 12_145),
        sized(process(12, "/pod", 0, 0.0), 1_651, 256),
        sized(process(13, "/pod", 0, 0.0), 396, 32),
    ];
    let found = cause(&record);
    assert_eq!((found.kind, found.confidence), (CauseKind::ForkCopyOnWrite, Confidence::Medium));
    assert!(found.sentence.contains("19.5 MiB"), "{found:?}");
    for process in &mut record.circumstances.processes {
        process.anon_bytes = None;
    }
    assert_ne!(judged(&record).0, CauseKind::ForkCopyOnWrite, "what an old kernel's report can show");
}
