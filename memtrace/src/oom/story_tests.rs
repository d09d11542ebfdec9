use super::*;
use crate::{
    container::name::Name,
    oom::cause::{cause, fixture},
};

const MIB: u64 = 1 << 20;

/// A kill in a pod of a Deployment, `age` seconds after its start, growing by so many MiB a second.
fn kill(pod: &str, number: i64, age: i64, rate: u64) -> OomRecord {
    let mut record = fixture::record(age);
    record.id = format!("kill-{number}");
    let later = jiff::SignedDuration::from_secs(number * 300);
    record.time += later;
    record.victim.task.started = record.victim.task.started.map(|started| started + later);
    record.circumstances.container = Some(Name {
        namespace: Some("shop".into()),
        pod: Some(pod.into()),
        container: Some("redis".into()),
        ..Name::default()
    });
    record.circumstances.timeline = (1..=20)
        .rev()
        .map(|second| Point {
            seconds_before: second as f64,
            usage_bytes: Some(Bytes((100 - second * rate) * MIB)),
            limit_bytes: Some(Bytes(100 * MIB)),
            ..Point::default()
        })
        .collect();
    record.circumstances.cause = Some(cause(&record));
    record
}

#[test]
fn a_crash_loop_is_one_story_with_what_its_kills_have_in_common() {
    let pods = ["cart-7d9c5b8f6-x2x4q", "cart-7d9c5b8f6-bcdfg", "cart-7d9c5b8f6-x2x4q"];
    let mut records: Vec<OomRecord> =
        pods.into_iter().zip(1..).map(|(pod, number)| kill(pod, number, 24 + number, 4)).collect();
    records.push(kill("pay-7d9c5b8f6-x2x4q", 9, 25, 4));
    records.reverse();
    let told = stories(&records);
    let [story] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((story.workload.as_str(), story.kills), ("shop/cart/redis", 3));
    assert_eq!(story.age_seconds, Some([25.0, 26.0, 27.0]));
    let [low, _, high] = story.bytes_per_second.unwrap();
    assert!(low > 3.9 * MIB as f64 && high < 4.1 * MIB as f64, "{story:?}");
    assert_eq!(story.doubled_buys_seconds.unwrap().round(), 25.0);
    assert_eq!(story.cause, Some(Common { value: CauseKind::Leak, kills: 3 }));
    assert_eq!(story.ids, ["kill-3", "kill-2", "kill-1"]);
}

#[test]
fn one_kill_is_no_story() {
    assert_eq!(stories(&[kill("cart-0", 1, 25, 4)]), []);
    assert_eq!(stories(&[]), []);
}
