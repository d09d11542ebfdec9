use super::{Beats, Change, Health, Judge, Relaxed, State, Thread};

const SECOND: u64 = 1_000_000_000;
const VITAL: Thread = Thread { name: "vital", is_vital: true, rounds: 3 };
const HELPER: Thread = Thread { name: "helper", is_vital: false, rounds: 3 };

/// Rounds of a judge of everything; returns what the last one found.
fn rounds(judge: &mut Judge, beats: &Beats, at: std::ops::Range<u64>) -> Vec<Change> {
    at.map(|second| judge.round(beats, second * SECOND, |_| true)).last().unwrap()
}

fn states(health: &Health) -> Vec<bool> {
    health.threads.iter().map(|thread| thread.state == State::Well).collect()
}

#[test]
fn who_waits_is_well_and_who_works_without_a_beat_is_late() {
    let (beats, mut judge) = (Beats::default(), Judge::default());
    let (works, _waits) = (beats.watch(VITAL), beats.watch(HELPER));
    works.beat();
    // Seen for the first time at 10, and still at three rounds after it.
    assert_eq!(rounds(&mut judge, &beats, 10..14), []);
    assert!(beats.health().is_good());
    assert_eq!(rounds(&mut judge, &beats, 14..15), [Change::Late(VITAL, 10 * SECOND)]);
    assert_eq!(rounds(&mut judge, &beats, 15..99), [], "it is told once");
    let health = beats.health();
    assert_eq!(states(&health), [false, true]);
    assert!(!health.is_good());
    assert!(health.troubled()[0].to_string().starts_with("vital has made no progress since "));

    works.beat();
    assert_eq!(rounds(&mut judge, &beats, 99..100), [Change::Well(VITAL)]);
    assert!(beats.health().is_good());
    works.rest();
    assert_eq!(rounds(&mut judge, &beats, 100..1000), []);
    assert_eq!(works.wait(|| 7), 7);
    rounds(&mut judge, &beats, 1000..1010);
    assert!(!beats.health().is_good(), "after the wait it has work");
}

#[test]
fn each_beat_is_progress() {
    let (beats, mut judge) = (Beats::default(), Judge::default());
    let works = beats.watch(VITAL);
    for second in 0..100 {
        works.beat();
        assert_eq!(rounds(&mut judge, &beats, second * 3..second * 3 + 3), []);
    }
}

/// All threads are stopped together: however late it is then, the judge has missed as many rounds.
#[test]
fn a_daemon_that_was_stopped_is_not_late() {
    let (beats, mut judge) = (Beats::default(), Judge::default());
    let works = beats.watch(VITAL);
    works.beat();
    rounds(&mut judge, &beats, 0..2);
    assert_eq!(rounds(&mut judge, &beats, 100_000..100_001), []);
    assert!(beats.health().is_good());
    works.beat();
    assert_eq!(rounds(&mut judge, &beats, 100_001..100_004), []);
}

#[test]
fn a_helper_that_hangs_is_told_and_no_reason_for_a_restart() {
    let (beats, mut judge) = (Beats::default(), Judge::default());
    let (helper, vital) = (beats.watch(HELPER), beats.watch(VITAL));
    helper.beat();
    rounds(&mut judge, &beats, 0..10);
    let health = beats.health();
    assert!(health.is_good());
    assert_eq!(health.troubled().len(), 1);
    vital.beat();
    rounds(&mut judge, &beats, 10..20);
    let health = beats.health();
    assert_eq!(health.troubled()[0].name, "vital", "the reason for the restart comes first");
}

#[tokio::test]
async fn a_thread_that_ends_is_noticed_at_once_unless_the_daemon_ends() {
    let beats = Beats::default();
    let (first, second) = (beats.watch(VITAL), beats.watch(HELPER));
    let thread = std::thread::spawn(move || {
        let _beat = second;
        panic!("as a bug would");
    });
    // No judge and no join tells it.
    assert_eq!(beats.ended().await, "helper");
    assert!(thread.join().is_err());
    let health = beats.health();
    assert!(!health.is_good(), "nothing starts it again");
    assert!(health.troubled()[0].to_string().starts_with("helper ended unexpectedly at "));

    let beats = Beats::default();
    let third = beats.watch(VITAL);
    beats.stop();
    drop(third);
    assert!(beats.health().is_good());
    assert!(first.pulse.ended.load(Relaxed) == 0);
}

#[test]
fn a_judge_looks_at_its_own_threads_only() {
    let (beats, mut judge) = (Beats::default(), Judge::default());
    let both = [beats.watch(VITAL), beats.watch(HELPER)];
    both.iter().for_each(super::Beat::beat);
    for second in 0..10 {
        judge.round(&beats, second * SECOND, |thread| *thread == HELPER);
    }
    assert_eq!(states(&beats.health()), [true, false]);
}
