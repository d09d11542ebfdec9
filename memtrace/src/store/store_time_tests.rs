//! Kills and clocks that jump: nothing is deleted early, and everything at last.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::{Mark, Now};
use crate::store::columns::nanoseconds;

const DAY: i64 = 24 * 3_600;
const AGE: Duration = Duration::from_secs(90 * DAY as u64);

fn start() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

/// A node: the true time, its clocks, and the store's time.
struct Node {
    seconds: i64,
    off_by: i64,
    booted: i64,
    boots: u32,
    /// Time in which a daemon knew how much time passed.
    known: i64,
    mark: Option<Mark>,
    kills: Vec<Kill>,
}

struct Kill {
    stored: i64,
    time: i64,
    at: i64,
    known: i64,
    has_right_time: bool,
}

impl Node {
    fn new() -> Self {
        Self { seconds: 0, off_by: 0, booted: 0, boots: 0, known: 0, mark: None, kills: Vec::new() }
    }

    fn now(&self) -> Now {
        let wall = SignedDuration::from_secs(self.seconds.saturating_add(self.off_by));
        Now {
            wall: start().saturating_add(wall).unwrap(),
            since_boot: u64::try_from(self.seconds - self.booted).unwrap() * 1_000_000_000,
            boot_id: Arc::from(format!("boot-{}", self.boots)),
        }
    }

    fn tick(&mut self) -> Mark {
        let now = self.now();
        let mark = self.mark.as_ref().map_or_else(|| Mark::first(&now, None), |mark| mark.advance(&now));
        self.mark = Some(mark.clone());
        mark
    }

    fn run(&mut self, seconds: i64) {
        self.seconds += seconds;
        self.known += seconds;
        self.tick();
    }

    fn reboot(&mut self, off: i64) {
        self.seconds += off;
        (self.booted, self.boots) = (self.seconds, self.boots + 1);
        self.tick();
    }

    fn kill(&mut self) {
        let (stored, time) = (self.tick().time, nanoseconds(self.now().wall));
        let (at, known, has_right_time) = (self.seconds, self.known, self.off_by == 0);
        self.kills.push(Kill { stored, time, at, known, has_right_time });
    }

    fn due(&mut self) -> Vec<&Kill> {
        let due = self.tick().due(self.now().wall, AGE);
        self.kills.iter().filter(|kill| due.is_due(kill.stored, kill.time)).collect()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Run(i64),
    Reboot(i64),
    Jump(i64),
    Repair,
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    let years = 40 * 365 * DAY;
    prop_oneof![
        4 => (0..20 * DAY).prop_map(Step::Run),
        1 => (0..60 * DAY).prop_map(Step::Reboot),
        2 => (-years..years).prop_map(Step::Jump),
        1 => Just(Step::Repair),
        3 => Just(Step::Kill),
    ]
}

impl Node {
    fn take(&mut self, step: &Step) {
        match *step {
            Step::Run(seconds) => self.run(seconds),
            Step::Reboot(off) => self.reboot(off),
            Step::Jump(by) => self.off_by = by,
            Step::Repair => self.off_by = 0,
            Step::Kill => self.kill(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the wall clock does.
    #[test]
    fn no_kill_is_due_before_half_of_its_age(steps in prop::collection::vec(step(), 0..60)) {
        let mut node = Node::new();
        node.tick();
        for step in &steps {
            node.take(step);
            let known = node.known;
            for kill in node.due() {
                prop_assert!(2 * (known - kill.known) >= 90 * DAY, "{} s", known - kill.known);
            }
        }
    }

    /// However wrong it was before: a clock that is right now deletes no kill from a time when it was right before its age.
    #[test]
    fn a_clock_that_was_repaired_deletes_nothing_early(steps in prop::collection::vec(step(), 0..60)) {
        let mut node = Node::new();
        node.tick();
        for step in steps.iter().chain([&Step::Repair]) {
            node.take(step);
            let (is_right, now) = (node.off_by == 0, node.seconds);
            for kill in node.due() {
                prop_assert!(!is_right || !kill.has_right_time || now - kill.at > 90 * DAY);
            }
        }
    }

    /// Whenever they were recorded: in the past, in the future, or with a store's time that lags behind.
    #[test]
    fn every_kill_is_due_at_last(steps in prop::collection::vec(step(), 0..60)) {
        let mut node = Node::new();
        node.tick();
        for step in steps.iter().chain([&Step::Repair]) {
            node.take(step);
        }
        // A time up to 40 years ahead is used again when it is the present.
        for _ in 0..3 {
            node.run(91 * DAY);
        }
        node.run(2 * DAY);
        let (all, now) = (node.kills.len(), nanoseconds(node.now().wall));
        let recent = now - 91 * DAY * 1_000_000_000;
        let waiting = node.kills.iter().filter(|kill| (recent..now + 2 * DAY * 1_000_000_000).contains(&kill.time));
        let waiting = waiting.count();
        prop_assert!(node.due().len() + waiting >= all, "{} and {waiting} of {all}", node.due().len());
    }

    #[test]
    fn the_stores_time_neither_goes_back_nor_faster_than_twice(steps in prop::collection::vec(step(), 0..60)) {
        let mut node = Node::new();
        let mut last = (node.tick().time, node.known);
        for step in &steps {
            node.take(step);
            let (time, known) = (node.tick().time, node.known);
            let (passed, elapsed) = (time - last.0, (known - last.1) * 1_000_000_000);
            prop_assert!((elapsed..=2 * elapsed).contains(&passed), "{passed} in {elapsed}");
            last = (time, known);
        }
    }
}

#[test]
fn with_a_right_clock_a_kill_is_due_at_its_age_exactly() {
    let mut node = Node::new();
    node.kill();
    node.run(45 * DAY);
    node.run(45 * DAY);
    assert_eq!(node.due().len(), 0);
    node.run(1);
    assert_eq!(node.due().len(), 1);
}

#[test]
fn a_clock_that_jumps_by_years_and_back_deletes_nothing() {
    for years in [-40, 14, 40] {
        let mut node = Node::new();
        for _ in 0..80 {
            node.kill();
            node.run(DAY);
        }
        node.off_by = years * 365 * DAY;
        for _ in 0..24 {
            node.kill();
            node.run(3_600);
            assert_eq!(node.due().len(), 0, "{years} years");
        }
        node.off_by = 0;
        node.run(1);
        assert_eq!(node.due().len(), 0, "{years} years");
    }
}

#[test]
fn what_was_off_for_long_catches_up_while_it_runs() {
    let mut node = Node::new();
    node.kill();
    node.reboot(60 * DAY);
    node.kill();
    // 61 days at most twice as fast make up for 60 days.
    node.run(31 * DAY);
    assert_eq!(node.due().len(), 0);
    node.run(30 * DAY);
    assert_eq!(node.due().len(), 1, "the first, and the other one is not old enough");
}

#[test]
fn a_restart_of_the_daemon_within_one_boot_misses_no_time() {
    let mut node = Node::new();
    node.kill();
    node.seconds += 91 * DAY;
    assert_eq!(node.due().len(), 1);
}

#[test]
fn a_jump_is_a_difference_between_the_clocks_of_one_boot() {
    let now = |wall: i64, since_boot: u64, boot: &str| Now {
        wall: start().saturating_add(SignedDuration::from_secs(wall)).unwrap(),
        since_boot: since_boot * 1_000_000_000,
        boot_id: boot.into(),
    };
    let earlier = now(0, 1_000, "a");
    assert_eq!(now(5_000, 6_000, "a").jump(&earlier), None);
    assert_eq!(now(8_000, 6_000, "a").jump(&earlier), None, "a correction");
    assert_eq!(now(400 * DAY, 1_000, "a").jump(&earlier), Some(SignedDuration::from_secs(400 * DAY)));
    assert_eq!(now(-DAY, 1_060, "a").jump(&earlier), Some(SignedDuration::from_secs(-DAY - 60)));
    assert_eq!(now(400 * DAY, 1_000, "b").jump(&earlier), None, "the clocks of two boots cannot be compared");
}
