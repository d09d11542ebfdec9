//! Comparisons of sides of every origin; how often the verdict is wrong, by simulation.

use super::{
    Diff, Matched, Refusal, Verdict, compare,
    side::{Figure, MOST, Origin, Sample, Series, Side},
    split::{By, Moved},
};
use crate::{
    container::workload::Workload,
    history::lasting::{ArenaUse, Kinds, Row},
    sizing::{
        diff::history::Gathered,
        made_of::{Amount, Held, MadeOf, Stack},
        tests::traces::Random,
    },
    units::{Bytes, Grade},
};

const MIB: f64 = (1 << 20) as f64;
const LEVEL: f64 = 250.0 * MIB;

fn side(origin: Origin, figure: Figure, values: &[f64]) -> Side {
    let at = |index: usize| if origin == Origin::History { index as i64 * 300 } else { index as i64 };
    let sample =
        |(index, value): (usize, &f64)| Sample { at: at(index), bytes: Bytes(*value as u64), load: None };
    Side {
        name: "x".to_owned(),
        what: String::new(),
        origin,
        program: Some("redis".to_owned()),
        version: None,
        figures: vec![Series { figure, samples: values.iter().enumerate().map(sample).collect() }],
        kinds: Vec::new(),
        page_cache_bytes: None,
        made_of: None,
        kills: 0,
        restarts: 0,
    }
}

fn rows(values: &[f64]) -> Side {
    side(Origin::History, Figure::FirmLevel, values)
}

fn runs(values: &[f64]) -> Side {
    side(Origin::Run, Figure::FirmPeak, values)
}

fn verdict(a: &Side, b: &Side) -> Verdict {
    compare(a, b, false).unwrap().verdict
}

/// Levels of five minutes: noise of a standard deviation, of which a part stays from one to the next.
fn levels(random: &mut Random, count: usize, deviation: f64, stays: f64) -> Vec<f64> {
    let mut state = random.normal();
    let mut next = || {
        state = stays * state + (1.0 - stays * stays).sqrt() * random.normal();
        LEVEL * (1.0 + deviation * state)
    };
    (0..count).map(|_| next()).collect()
}

/// Noise of up to 2 % of the level, of which up to a half stays: services under even load.
fn noise(case: usize) -> (usize, f64, f64) {
    ([6, 7, 9, 12][case % 4], [0.001, 0.004, 0.01, 0.02][case / 4 % 4], [0.0, 0.25, 0.5][case / 16 % 3])
}

/// With a chance of 1 % in each case, 12 or more false alarms in 480 come up in one of 300 such tests.
#[test]
fn no_more_than_one_comparison_in_a_hundred_of_what_is_the_same_is_a_false_alarm() {
    let mut random = Random::new(21);
    let alarms = (0..480)
        .filter(|case| {
            let (count, deviation, stays) = noise(*case);
            let [a, b] = [(); 2].map(|()| rows(&levels(&mut random, count, deviation, stays)));
            verdict(&a, &b) != Verdict::NoChange
        })
        .count();
    assert!(alarms <= 4, "{alarms} of 480");
}

#[test]
fn a_shift_of_three_percent_is_found_within_half_an_hour() {
    let mut random = Random::new(22);
    let found = (0..100).filter(|_| {
        let a = levels(&mut random, 6, 0.002, 0.25);
        let b: Vec<f64> = levels(&mut random, 6, 0.002, 0.25).iter().map(|value| value * 1.03).collect();
        verdict(&rows(&a), &rows(&b)) == Verdict::Regression
            && verdict(&rows(&b), &rows(&a)) == Verdict::Improvement
    });
    let found = found.count();
    assert!(found >= 95, "{found} of 100");
}

#[test]
fn runs_that_differ_by_their_noise_are_no_change_and_twenty_percent_are() {
    let mut random = Random::new(23);
    let mut drawn = |count: usize, level: f64, deviation: f64| -> Side {
        let value = |_| level * (1.0 + deviation * random.normal());
        runs(&(0..count).map(value).collect::<Vec<f64>>())
    };
    let (mut alarms, mut found) = (0, 0);
    for case in 0..400 {
        let (count, deviation) = ([1, 2, 3, 5][case % 4], [0.0, 0.005, 0.01, 0.02][case / 4 % 4]);
        let a = drawn(count, LEVEL, deviation);
        alarms += usize::from(verdict(&a, &drawn(count, LEVEL, deviation)) != Verdict::NoChange);
        found += usize::from(verdict(&a, &drawn(count, LEVEL * 1.2, deviation)) == Verdict::Regression);
    }
    assert!(alarms <= 4, "{alarms} of 400");
    assert!(found >= 380, "{found} of 400");
}

#[test]
fn small_shifts_do_not_count_however_sure_they_are() {
    let of = |mib: f64| runs(&[mib * MIB; 8]);
    assert_eq!(verdict(&of(1000.0), &of(1019.0)), Verdict::NoChange, "less than 2 %");
    assert_eq!(verdict(&of(1000.0), &of(1025.0)), Verdict::Regression);
    assert_eq!(verdict(&of(10.0), &of(13.9)), Verdict::NoChange, "less than 4 MiB");
    let diff = compare(&of(1000.0), &of(1025.0), false).unwrap();
    assert_eq!(diff.shift.bytes, 25 << 20);
    assert_eq!(diff.threshold_bytes, Bytes((1025.0_f64 * 0.02 * MIB).ceil() as u64));
}

#[test]
fn too_few_rows_say_how_many_more_minutes() {
    let diff = compare(&rows(&[LEVEL; 6]), &rows(&[2.0 * LEVEL; 4]), false).unwrap();
    assert_eq!((diff.verdict, diff.missing_minutes), (Verdict::NotEnoughData, Some([0, 10])));
    assert_eq!((diff.shift.bytes, diff.shift.interval_bytes), (LEVEL as i64, None));
}

#[test]
fn rows_of_the_same_hours_or_loads_are_compared() {
    // Two days with a rhythm; B is a quarter larger, and only its nights were seen.
    let level = |row: usize| if row % 288 < 144 { LEVEL } else { 3.0 * LEVEL };
    let a = rows(&(0..576).map(level).collect::<Vec<f64>>());
    let b = rows(&(0..100).map(|row| level(row) * 1.25).collect::<Vec<f64>>());
    let diff = compare(&a, &b, false).unwrap();
    assert_eq!((diff.matched, diff.shift.bytes), (Matched::Hour, (LEVEL * 0.25) as i64));
    let mut later = b.clone();
    later.figures[0].samples.iter_mut().for_each(|sample| sample.at += 9 * 3600);
    let early = rows(&[LEVEL; 20]);
    let diff = compare(&early, &later, false).unwrap();
    assert!(diff.matched == Matched::OtherHours && diff.notes[0].contains("times of day"), "{diff:?}");
    let loaded = |load: f64| {
        let mut side = rows(&[LEVEL; 20]);
        side.figures[0].samples.iter_mut().for_each(|sample| sample.load = Some(load));
        side
    };
    assert_eq!(compare(&loaded(1.0), &loaded(1.02), false).unwrap().matched, Matched::Load);
    let error = compare(&loaded(0.1), &loaded(4.0), false).unwrap_err();
    assert_eq!(error, Refusal::OtherLoad { a: [0.1; 2], b: [4.0; 2] });
    assert!(error.to_string().contains("0.10 to 0.10 busy CPUs and B with 4.00"), "{error}");
}

#[test]
fn what_cannot_be_compared_is_refused_with_its_side() {
    let a = runs(&[LEVEL]);
    let other = Side { program: Some("postgres".to_owned()), ..a.clone() };
    assert!(matches!(compare(&a, &other, false), Err(Refusal::OtherProgram { .. })));
    assert!(compare(&a, &other, true).is_ok());
    let empty = Side { figures: Vec::new(), ..a.clone() };
    let error = compare(&a, &empty, false).unwrap_err();
    assert!(matches!(error, Refusal::Empty { side: 'B', .. }), "{error}");
    let error = compare(&a, &rows(&[LEVEL; 9]), false).unwrap_err().to_string();
    assert!(error.starts_with("A has peak of firm memory, and B has level of firm memory"), "{error}");
}

fn moved(what: &str, a: Option<u64>, b: Option<u64>, bytes: i64) -> Moved {
    Moved { what: vec![what.to_owned()], a_bytes: a.map(Bytes), b_bytes: b.map(Bytes), bytes }
}

fn made_of(heap: u64, cache: u64, free: Option<u64>, function: &str) -> MadeOf {
    let amount = |what: &str, bytes| Amount { what: what.to_owned(), bytes: Bytes(bytes) };
    let frames = vec![function.to_owned(), "main".to_owned()];
    MadeOf {
        at: 1.0,
        total_bytes: None,
        parts: vec![
            amount("glibc", heap),
            amount("file cache, active", cache),
            amount("else", 5),
            amount("else", 6),
        ],
        remainder_bytes: Some(0),
        programs: vec![amount("redis", heap)],
        allocators: vec![Held {
            allocator: "glibc".to_owned(),
            resident_bytes: Bytes(heap),
            used_bytes: Some(Bytes(heap / 2)),
            free_bytes: free.map(Bytes),
        }],
        stacks: vec![Stack { bytes: Bytes(heap), frames }],
        stacks_left_out: 0,
    }
}

fn closes(diff: &Diff) {
    assert!(!diff.splits.is_empty());
    for split in &diff.splits {
        let sum: i64 = split.parts.iter().map(|part| part.bytes).sum();
        assert_eq!(sum + split.remainder_bytes, diff.shift.bytes, "{split:?}");
    }
}

#[test]
fn the_parts_add_up_to_the_shift() {
    let mut a = Side { made_of: Some(made_of(1000, 77, Some(100), "fill")), ..runs(&[1500.0]) };
    let mut b = Side { made_of: Some(made_of(3000, 7, Some(100), "load")), ..runs(&[3600.0]) };
    let kind = |what: &str, bytes| Amount { what: what.to_owned(), bytes: Bytes(bytes) };
    a.kinds = vec![kind("anonymous memory", 1400), kind("kernel memory", 50)];
    b.kinds = vec![kind("anonymous memory", 3400), kind("shared memory, tmpfs", 9)];
    let diff = compare(&a, &b, false).unwrap();
    closes(&diff);
    let of = |by: By| diff.splits.iter().find(|split| split.by == by).unwrap();
    // A kind that one side does not know is in the remainder.
    assert_eq!(of(By::Kind).parts, [moved("anonymous memory", Some(1400), Some(3400), 2000)]);
    assert_eq!(of(By::Kind).remainder_bytes, 100);
    // Page cache is not firm; two parts of one name that did not change are not shown.
    assert_eq!(of(By::Owner).parts, [moved("glibc", Some(1000), Some(3000), 2000)]);
    let names: Vec<&str> = of(By::Allocator).parts.iter().map(|part| part.what[0].as_str()).collect();
    assert_eq!(names, ["glibc: else", "glibc: used"]);
    let stacks = of(By::Stack);
    assert_eq!((stacks.parts[0].a_bytes, stacks.parts[0].bytes, stacks.grade), (None, 3000, Grade::Sampled));
    let mostly: Vec<&str> = diff.mostly.iter().map(|part| part.what.as_str()).collect();
    assert_eq!(
        mostly,
        ["anonymous memory", "glibc", "redis", "load"],
        "an allocator's half is less than half"
    );
    b.made_of = Some(made_of(3000, 7, None, "load"));
    let diff = compare(&a, &b, false).unwrap();
    closes(&diff);
    let split = diff.splits.iter().find(|split| split.by == By::Allocator).unwrap();
    assert_eq!(split.parts, [moved("glibc: resident", Some(1000), Some(3000), 2000)], "unknown is not 0");
}

#[test]
fn values_beyond_all_memory_neither_overflow_nor_lose_a_byte() {
    let huge = |heap: u64| {
        let all = [Bytes(heap), Bytes(0), Bytes(u64::MAX)].map(super::side::bounded);
        let values: Vec<f64> = all.iter().map(|bytes| bytes.0 as f64).collect();
        Side { made_of: Some(made_of(heap, heap, Some(heap), "f")), ..runs(&values) }
    };
    let diff = compare(&huge(u64::MAX), &huge(0), false).unwrap();
    closes(&diff);
    assert!(diff.shift.bytes.unsigned_abs() <= MOST);
    let zero = compare(&runs(&[0.0]), &runs(&[0.0]), false).unwrap();
    assert_eq!(
        (zero.verdict, zero.shift.bytes, zero.shift.interval_bytes),
        (Verdict::NoChange, 0, Some([0, 0]))
    );
}

#[test]
fn rows_of_history_become_a_side() {
    let mut gathered = Gathered::default();
    for slot in 0..12 {
        let some = |mib: u64| Some(Bytes((mib + u64::from(slot) % 3) << 20));
        gathered.push(&Row {
            slot,
            median: some(100),
            start: (slot == 0).then_some(Bytes(7 << 20)),
            kinds: Kinds { anon: some(90), kernel: some(5), file: some(50), ..Kinds::default() },
            arenas: vec![ArenaUse {
                allocator: "glibc".to_owned(),
                used: some(60),
                free: some(20),
                setting: None,
            }],
            kills: 1,
            ..Row::default()
        });
    }
    let workload = Workload { container: "web".to_owned(), image: "web:2".to_owned(), ..Workload::default() };
    let side = gathered.side("web@1d", &workload, "since yesterday");
    assert_eq!(side.what, "the workload web in version web:2, 12 five-minute rows since yesterday");
    assert_eq!((side.samples(Figure::FirmLevel).len(), side.samples(Figure::StartUp).len()), (12, 1));
    assert_eq!(
        (side.kinds.len(), side.kinds[0].bytes, side.kills),
        (2, Bytes(91 << 20), 12),
        "no shared memory known"
    );
    let held = &side.made_of.as_ref().unwrap().allocators[0];
    assert_eq!((held.used_bytes, held.free_bytes), (Some(Bytes(61 << 20)), Some(Bytes(21 << 20))));
    let same = compare(&side, &side, false).unwrap();
    assert_eq!((same.verdict, same.also.len()), (Verdict::NoChange, 1));
    closes(&same);
    let bytes = serde_json::to_vec(&side).unwrap();
    assert_eq!(serde_json::from_slice::<Side>(&bytes).unwrap(), side);
}

#[test]
fn growth_says_that_the_difference_depends_on_the_time() {
    let grows: Vec<f64> = (0..24).map(|row| LEVEL + f64::from(row) * MIB).collect();
    let diff = compare(&rows(&[LEVEL; 24]), &rows(&grows), false).unwrap();
    let rate = diff.b.growth_bytes_per_second.unwrap();
    assert!((rate * 300.0 / MIB - 1.0).abs() < 0.01, "{rate}");
    assert!(diff.notes.iter().any(|note| note.starts_with("B grows by 204.8 KiB/min")), "{:?}", diff.notes);
    assert_eq!(diff.a.growth_bytes_per_second, None);
}
