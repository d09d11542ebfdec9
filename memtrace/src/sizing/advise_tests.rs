//! Advice on made-up days.

use jiff::Timestamp;

use super::{Bytes, Confidence, Day, Grade, MarginFrom, ROWS, Terms, Workload, advise};
use crate::history::lasting::ArenaUse;

const MIB: u64 = 1 << 20;

fn mib(mib: u64) -> Option<Bytes> {
    Some(Bytes(mib * MIB))
}

/// A whole day with this peak.
fn day(number: u32, peak: u64) -> Day {
    Day {
        number,
        rows: ROWS,
        readings: 86_400,
        peak: mib(peak),
        hours: [mib(peak - 100); 24],
        ..Day::default()
    }
}

fn days(peaks: &[u64]) -> Vec<Day> {
    (20_000..).zip(peaks).map(|(number, peak)| day(number, *peak)).collect()
}

fn told(days: &[Day]) -> super::Advice {
    let workload = Workload {
        namespace: "shop".into(),
        owner: "cart".into(),
        container: "redis".into(),
        ..Workload::default()
    };
    let now = Timestamp::from_second(i64::from(days.last().unwrap().number + 1) * 86_400).unwrap();
    advise(&workload, days, now)
}

#[test]
fn the_limit_is_peak_cache_and_margin_and_the_request_the_median() {
    // Median 1000, deviations 0, 10, 10, 20, 20, 30, 40: their median is 20, and 4.4 times that is 88.
    let mut all = days(&[1010, 980, 1030, 960, 1000, 1020, 990]);
    all[2].active_cache = Some((Bytes(100 * MIB), Bytes(200 * MIB)));
    let terms = Terms::of(&all).unwrap();
    assert_eq!((terms.peak.bytes, terms.peak.grade), (Bytes(1030 * MIB), Grade::Read));
    assert_eq!((terms.margin.bytes, terms.margin_from), (Bytes(88 * MIB), MarginFrom::Days));
    let cache = terms.cache.unwrap();
    assert_eq!((cache.low_bytes, cache.high_bytes), (Bytes(100 * MIB), Bytes(200 * MIB)));
    assert_eq!((terms.limit(), terms.request()), (Bytes(1318 * MIB), Bytes(1200 * MIB)));
    let advice = told(&all);
    assert_eq!((advice.limit_bytes, advice.request_bytes), (mib(1318), mib(1200)));
    assert_eq!((advice.confidence, advice.is_lower_bound), (Some(Confidence::Medium), false));
    assert!(advice.reason.starts_with("peak 1.0 GiB on 10-06"), "{}", advice.reason);
}

/// The worked case of docs/sizing.md.
#[test]
fn the_worked_case_is_right() {
    let mut all = days(&[548, 555, 536, 549, 560, 563, 553, 545, 540, 556, 550, 538, 558, 546]);
    for day in &mut all {
        day.active_cache = Some((Bytes(3 * MIB), Bytes(12 * MIB)));
        (day.rises, day.start) = ([mib(9), mib(7)], mib(210));
    }
    let advice = told(&all);
    let terms = advice.terms.unwrap();
    let tenths = |bytes: Bytes| (bytes.0 * 10 + MIB / 2) / MIB;
    assert_eq!((tenths(terms.peak.bytes), tenths(terms.median.bytes)), (5630, 5495));
    assert_eq!((tenths(terms.margin.bytes), terms.margin_from), (264, MarginFrom::Days));
    assert_eq!((advice.limit_bytes, advice.request_bytes), (mib(602), mib(562)));
}

#[test]
fn a_rise_that_was_seen_once_is_no_margin_and_twice_it_is() {
    let mut all = days(&[1000; 8]);
    assert_eq!(Terms::of(&all).unwrap().margin_from, MarginFrom::Least);
    assert_eq!(Terms::of(&all).unwrap().margin.bytes, Bytes(20 * MIB));
    all[1].rises = [mib(300), None];
    assert_eq!(Terms::of(&all).unwrap().margin_from, MarginFrom::Least);
    all[5].rises = [mib(250), mib(1)];
    let terms = Terms::of(&all).unwrap();
    assert_eq!((terms.margin.bytes, terms.margin_from), (Bytes(250 * MIB), MarginFrom::Rise));
}

#[test]
fn a_day_far_above_all_others_may_not_be_the_highest_there_is() {
    let mut all = days(&[500; 10]);
    all[4].peak = mib(800);
    let terms = Terms::of(&all).unwrap();
    assert_eq!((terms.margin.bytes, terms.margin_from), (Bytes(300 * MIB), MarginFrom::Highest));
    all[7].peak = mib(790);
    assert_eq!(Terms::of(&all).unwrap().margin.bytes, Bytes(16 * MIB), "it was seen twice");
}

#[test]
fn start_up_is_apart_and_the_limit_not_below_it() {
    let mut all = days(&[500; 14]);
    all[3].start = mib(1000);
    let advice = told(&all);
    assert_eq!((advice.limit_bytes, advice.request_bytes), (mib(1050), mib(500)));
    assert!(advice.reason.starts_with("start-up takes"), "{}", advice.reason);
    assert_eq!(advice.confidence, Some(Confidence::High));
}

#[test]
fn a_limit_that_was_reached_gives_a_lower_bound() {
    let mut all = days(&[500; 14]);
    (all[3].kills, all[3].reached, all[13].limit) = (1, mib(600), mib(600));
    let advice = told(&all);
    assert!(advice.is_lower_bound && advice.limit_bytes > mib(600));
    assert_eq!((advice.confidence, advice.kills), (Some(Confidence::Low), 1));
    assert!(advice.reason.contains("run --find-limit"), "{}", advice.reason);
}

#[test]
fn growth_without_end_has_a_date_and_no_number() {
    let mut all = days(&[500, 550, 600, 650, 700, 750, 800, 850, 900]);
    all[8].limit = mib(1000);
    let advice = told(&all);
    assert_eq!((advice.limit_bytes, advice.request_bytes, advice.confidence), (None, None, None));
    let grows = advice.grows.unwrap();
    assert_eq!(grows.growth.bytes_per_day, Bytes(50 * MIB), "of the lows");
    let left = grows.limit_reached_at.unwrap().duration_since(told(&all).since).as_hours() / 24;
    assert_eq!(left, 9 + 2, "100 MiB at 50 a day");
    assert!(
        advice.reason.contains("so no size fits; it reaches its limit of 1000.0 MiB on 20"),
        "{}",
        advice.reason
    );
}

#[test]
fn less_than_a_day_gives_none_and_a_day_a_first_one() {
    let part = Day { rows: 36, ..day(20_000, 500) };
    let advice = told(&[part]);
    assert_eq!((advice.limit_bytes, advice.terms), (None, None));
    assert_eq!(advice.reason, "3.0 h of history: advice needs 24 h");
    assert_eq!(told(&days(&[500])).confidence, Some(Confidence::Low));
}

#[test]
fn cache_is_read_where_a_limit_bound() {
    let mut all = days(&[500; 8]);
    for day in &mut all {
        day.active_cache = Some((Bytes(50 * MIB), Bytes(300 * MIB)));
    }
    assert_eq!(Terms::of(&all).unwrap().cache.unwrap().grade, Grade::Inferred);
    (all[2].calm_cache, all[3].pressed_cache) = (mib(200), mib(80));
    let cache = Terms::of(&all).unwrap().cache.unwrap();
    assert_eq!(
        (cache.low_bytes, cache.high_bytes, cache.grade),
        (Bytes(80 * MIB), Bytes(200 * MIB), Grade::Read)
    );
    // Too little on another day.
    all[4].pressed_cache = mib(320);
    let cache = Terms::of(&all).unwrap().cache.unwrap();
    assert_eq!((cache.high_bytes, cache.grade), (Bytes(320 * MIB), Grade::Inferred));
}

#[test]
fn free_memory_of_allocators_is_apart() {
    let mut all = days(&[500; 8]);
    all[7].peak = mib(501);
    all[7].arenas = vec![ArenaUse {
        allocator: "jemalloc".into(),
        used: mib(300),
        free: mib(120),
        setting: Some("dirty_decay_ms:0".into()),
    }];
    let advice = told(&all);
    let slack = advice.terms.unwrap().slack;
    assert_eq!((slack[0].bytes, slack[0].setting.as_deref()), (Bytes(120 * MIB), Some("dirty_decay_ms:0")));
    assert!(advice.limit_bytes > mib(501), "it is not taken off");
}
