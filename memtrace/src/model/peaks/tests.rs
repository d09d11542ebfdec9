//! Totals between two ticks.

use super::*;

const fn known(before: u64, now: u64, rise: u64, mark: Option<(u64, bool)>) -> Between {
    Between { before: Some(before), now, rise: if rise > 0 { Some((rise, 7)) } else { None }, mark }
}

fn total(known: Between) -> (u64, Option<u64>, Grade) {
    let Total { bytes, at, grade } = known.total();
    (bytes.0, at, grade)
}

#[test]
fn a_mark_that_rose_is_the_peak() {
    assert_eq!(total(known(10, 20, 70, Some((100, true)))), (100, Some(7), Grade::Read));
    assert_eq!(total(known(10, 20, 0, Some((100, true)))), (100, None, Grade::Read));
}

#[test]
fn a_mark_that_did_not_rise_is_a_bound_and_no_peak() {
    assert_eq!(total(known(10, 20, 0, Some((100, false)))), (20, None, Grade::Read));
    assert_eq!(total(known(10, 20, 70, Some((100, false)))), (80, Some(7), Grade::Sampled));
    assert_eq!(total(known(10, 20, 700, Some((100, false)))), (100, Some(7), Grade::Sampled));
}

#[test]
fn without_a_mark_the_estimate_stands_and_without_one_the_ends() {
    assert_eq!(total(known(10, 20, 70, None)), (80, Some(7), Grade::Sampled));
    assert_eq!(total(known(30, 20, 0, None)), (30, None, Grade::Read));
    assert_eq!(total(known(10, 90, 70, None)), (90, None, Grade::Read));
    assert_eq!(total(Between { now: 5, ..Between::default() }), (5, None, Grade::Read));
}

#[test]
fn the_first_mark_says_something_of_a_new_life_only() {
    let mut marks = Marks::default();
    assert!(!marks.has_risen(1, 100, false));
    assert!(!marks.has_risen(1, 100, false));
    assert!(marks.has_risen(1, 101, false));
    assert!(marks.has_risen(2, 50, true));
    assert!(marks.has_risen(1, 60, false), "another program under this id");
    marks.retain(|pid| *pid == 2);
    assert!(!marks.has_risen(1, 200, false));
}

#[test]
fn a_group_rises_when_its_processes_do_at_once() {
    let mut group_peak = GroupPeak::default();
    group_peak.change(0, 100, 1);
    group_peak.change(100, 0, 2);
    group_peak.change(0, 90, 3);
    assert_eq!(group_peak.rise(), Some((100, 1)));
    group_peak.change(0, 30, 4);
    assert_eq!(group_peak.rise(), Some((120, 4)));
    let mut falls = GroupPeak::default();
    falls.change(50, 0, 1);
    assert_eq!(falls.rise(), None);
}
