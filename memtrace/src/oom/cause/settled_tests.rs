//! Starts, settled levels, and what comes after them.

use super::*;

#[test]
fn a_start_that_never_settled_is_one() {
    let mut record = record(4);
    usage(&mut record, [10, 40, 70]);
    let found = cause(&record);
    assert_eq!((found.kind, found.confidence), (CauseKind::StartUp, Confidence::Medium));
    let doubt = found.doubt.unwrap();
    assert_eq!(doubt.kind, CauseKind::Leak, "a start and a leak look alike in so short a time");
    assert!(doubt.settled_by.contains("200.0 MiB"), "{}", doubt.settled_by);
}

/// Eleven seconds at one rate, without a settled level: more like a leak, but a start may look so.
#[test]
fn growth_that_is_steady_from_the_start_is_a_leak_in_doubt() {
    let mut record = record(13);
    usage(&mut record, (0..13).map(|second| 4 + second * 7));
    let found = cause(&record);
    assert_eq!((found.kind, found.confidence), (CauseKind::Leak, Confidence::Medium));
    assert_eq!(found.doubt.unwrap().kind, CauseKind::StartUp);
    record.time += jiff::SignedDuration::from_secs(100);
    assert_eq!(cause(&record).doubt, None, "it is no start any more");
}

/// Its neighbours' usage is constant, and the program takes seconds to load and seconds to grow.
#[test]
fn a_start_on_a_slow_machine_is_one() {
    let mut record = record(9);
    usage(&mut record, [20, 20, 20, 20, 20, 20, 20, 40, 58, 78]);
    record.circumstances.timeline.retain(|point| point.seconds_before > 0.0);
    assert_eq!(judged(&record), (CauseKind::StartUp, Confidence::Medium));
    // A level that it reached itself counts.
    usage(&mut record, [20, 20, 60, 60, 60, 60, 60, 60, 60, 60]);
    assert_eq!(Case::new(&record).settled(), Some(Bytes(60 * MIB)));
}

/// How fast it came up is no measure for what it does later.
#[test]
fn a_jump_after_a_start_as_fast_is_a_burst() {
    let mut record = record(28);
    usage(&mut record, [4, 40].into_iter().chain([40; 24]));
    record.circumstances.timeline.retain(|point| point.seconds_before > 0.0);
    assert_eq!(judged(&record), (CauseKind::Burst, Confidence::High));
    // A jump as large while it worked is what it does.
    usage(&mut record, [4, 40, 40, 40, 40, 40, 75, 40, 40, 40, 40, 40, 40]);
    assert_ne!(judged(&record).0, CauseKind::Burst);
}

/// It takes next to nothing and waits for work; a program that still loads does not take so long.
#[test]
fn a_small_program_that_waits_long_has_settled() {
    let mut record = record(16);
    usage(&mut record, [4; 16]);
    assert_eq!(judged(&record), (CauseKind::Burst, Confidence::High));
    usage(&mut record, [4; 8]);
    assert_eq!(judged(&record).0, CauseKind::StartUp);
}

/// It rested at two levels on its way, as on a machine whose processor others use.
#[test]
fn a_start_in_steps_is_a_guess() {
    let mut record = record(9);
    usage(&mut record, [9, 22, 25, 25, 25, 25, 44, 45, 45, 60]);
    let found = cause(&record);
    assert_eq!((found.kind, found.confidence), (CauseKind::StartUp, Confidence::Low));
    assert!(found.sentence.contains("in steps"), "{}", found.sentence);
    record.time += jiff::SignedDuration::from_secs(100);
    assert_eq!(cause(&record).kind, CauseKind::Unknown, "it is no start any more");
}

#[test]
fn settling_does_not_hang_on_how_often_the_daemon_looked() {
    let mut record = record(100);
    usage(&mut record, [10, 20, 30, 30, 30, 30, 30, 30, 60]);
    record.circumstances.timeline.retain(|point| point.seconds_before % 2.0 == 0.0);
    assert_eq!(Case::new(&record).settled(), Some(Bytes(30 * MIB)));
}

#[test]
fn settling_needs_a_level_that_is_held() {
    let mut record = record(100);
    usage(&mut record, [10, 20, 30, 40, 50, 60]);
    assert_eq!(Case::new(&record).settled(), None);
    usage(&mut record, [10, 20, 30, 30, 31, 31, 60]);
    assert_eq!(Case::new(&record).settled(), Some(Bytes(31 * MIB)));
}
