//! Leak: the memory that remains after each collection grows, and still grows at the end.
//!
//! The floors rise significantly (Mann and Kendall, Theil and Sen). Only firm memory counts, because the kernel cannot
//! reclaim it; page cache always grows. Growth has an end, and is no leak, while a program starts, and inside a part that
//! has a bound: a heap on the way to its maximum.

use super::{Confidence, Fact, Finding, Kind, Outcome, Picture, Remedy, ceiling, number, rate};
use crate::units::{Bytes, Grade};

/// The least growth, as a fraction of the present size.
pub const LEAST_RISE: f64 = 0.05;
/// The least Kendall's tau of the floors.
pub const LEAST_TAU: f64 = 0.75;
/// The least slope at the end, as a fraction of the whole slope (coroot's rule, proven in the field).
pub const LEAST_LATE: f64 = 0.3;
/// Growth over a shorter time, in seconds, is start-up.
pub const SHORTEST: f64 = 60.0;
/// A younger program may still be starting, in seconds: large ones load for minutes.
const STARTING: f64 = 180.0;
/// Time spans, in seconds, from which the confidence is medium, and high if the growth is large.
const SPAN: (f64, f64) = (600.0, 3600.0);
/// Large growth, as a fraction of the present size.
const LARGE: f64 = 0.2;

pub fn check(picture: &Picture<'_>) -> Outcome {
    let shape = picture.shape.clone()?;
    if shape.span < SHORTEST {
        return Err(format!("only {:.0} s of history", shape.span));
    }
    if let Some(age) = picture.age.filter(|age| *age < STARTING) {
        return Err(format!("it may still be starting: its oldest process is {age:.0} s old"));
    }
    let still_grows = shape.late_slope >= LEAST_LATE * shape.slope;
    let grows = shape.is_significant && shape.tau >= LEAST_TAU && shape.rise_share() >= LEAST_RISE;
    if !(grows && still_grows) || ceiling::grows_within(picture.counters, picture.arenas, picture.limit) {
        return Ok(None);
    }
    let confidence = match shape.span {
        span if span >= SPAN.1 && shape.rise_share() >= LARGE => Confidence::High,
        span if span >= SPAN.0 => Confidence::Medium,
        _ => Confidence::Low,
    };
    let fastest = picture
        .arenas
        .iter()
        .filter_map(|arena| Some((arena, arena.growth_bytes.iter().rev().copied().flatten().next()?)))
        .filter(|(_, growth)| *growth > 0)
        .max_by_key(|(_, growth)| *growth);
    let mut evidence = vec![
        Fact { what: "growth of firm memory".into(), value: number(shape.rise()), grade: Grade::Read },
        Fact { what: "over".into(), value: format!("{:.0} s", shape.span), grade: Grade::Read },
        Fact {
            what: "trend of the low points (Kendall's tau; 1: always rising)".into(),
            value: format!("{:.2} of {}", shape.tau, shape.floors.len()),
            grade: Grade::Inferred,
        },
        Fact { what: "recent growth".into(), value: rate(shape.late_slope), grade: Grade::Inferred },
    ];
    if let Some((arena, growth)) = fastest {
        evidence.push(Fact {
            what: format!("fastest growth: {} {}", arena.allocator, arena.kind),
            value: Bytes(growth.unsigned_abs()).to_string(),
            grade: arena.grade,
        });
    }
    Ok(Some(Finding {
        kind: Kind::Leak,
        confidence,
        sentence: format!(
            "memory grows steadily by {}: {} in {:.0} minutes",
            rate(shape.slope),
            number(shape.rise()),
            shape.span / 60.0
        ),
        evidence,
        remedies: vec![Remedy {
            text: "find the call stacks that touch the most new memory: `memtrace top --by stack`".into(),
            setting: None,
        }],
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Confidence, check};
    use crate::{
        allocator::counters::{Counters, Setting},
        history::{self, FIGURES, Figure, History},
        snapshot::ArenaRow,
        units::{Bytes, Grade},
        verdict::{Picture, shape::Shape, shape::fixture::samples, trend},
    };

    const MIB: u64 = 1 << 20;

    fn found(values: impl IntoIterator<Item = f64>, spacing: f64) -> Option<Confidence> {
        let mut samples = samples(values);
        samples.iter_mut().for_each(|sample| sample.at *= spacing);
        let shape = Shape::of(&samples, None);
        let finding = check(&Picture { shape: shape.as_ref().map_err(Clone::clone), ..Picture::default() });
        finding.unwrap().map(|finding| finding.confidence)
    }

    /// What is found in the history of firm memory, read once a second for an hour, of a process as old as that.
    fn found_in_history(firm: impl Fn(u64) -> u64, picture: Picture<'_>) -> Option<Confidence> {
        let mut history = History::default();
        for second in 0..3600 {
            let mut figures = [None; FIGURES];
            figures[Figure::Usage as usize] = Some(Bytes(firm(second) * MIB));
            figures[Figure::File as usize] = Some(Bytes(0));
            history.read("/a", None, figures, second * 1_000_000_000);
        }
        let points = history.container("/a").unwrap().points();
        let shape = Shape::of(&trend::samples(&points, history::low), Some(0.0));
        let picture = Picture { shape: shape.as_ref().map_err(Clone::clone), age: Some(3600.0), ..picture };
        check(&picture).unwrap().map(|finding| finding.confidence)
    }

    #[test]
    fn steady_growth_is_a_leak_and_time_makes_it_sure() {
        let line = |count: i32| (0..count).map(|at| 100.0 + f64::from(at));
        assert_eq!(found(line(70), 1.0), Some(Confidence::Low));
        assert_eq!(found(line(700), 1.0), Some(Confidence::Medium));
        assert_eq!(found(line(120), 60.0), Some(Confidence::High));
    }

    #[test]
    fn a_collector_does_not_hide_it() {
        let values = (0..600).map(|at| 100.0 + f64::from(at) * 0.2 + f64::from(at % 20) * 3.0);
        assert!(found(values, 1.0).is_some());
    }

    #[test]
    fn growth_that_has_ended_is_none() {
        let values = (0..600).map(|at| 100.0 + f64::from(at.min(300)));
        assert_eq!(found(values, 1.0), None);
    }

    #[test]
    fn a_start_is_none() {
        let shape = Shape::of(&samples((0..30).map(f64::from)), None);
        let picture = Picture { shape: shape.as_ref().map_err(Clone::clone), ..Picture::default() };
        assert_eq!(check(&picture).unwrap_err(), "only 29 s of history");
        // A program that loads for two minutes.
        let shape = Shape::of(&samples((0..120).map(f64::from)), None);
        let young = Picture { shape: Ok(shape.as_ref().unwrap()), age: Some(125.0), ..Picture::default() };
        assert!(check(&young).unwrap_err().contains("still be starting"));
        let old = Picture { age: Some(9000.0), ..young };
        assert!(check(&old).unwrap().is_some());
    }

    #[test]
    fn the_floors_of_a_sawtooth_decide_however_deep_and_short_its_teeth_are() {
        // Teeth of seven seconds that take four fifths of the memory: each would look like a restart.
        let teeth = |second: u64| second % 7 * 80;
        assert_eq!(found_in_history(|second| 120 + teeth(second), Picture::default()), None);
        let rising = |second| 120 + teeth(second) + second / 30;
        assert!(found_in_history(rising, Picture::default()) >= Some(Confidence::Medium));
    }

    #[test]
    fn a_start_that_levels_off_is_none() {
        for length in [10, 60, 300, 900] {
            let start = |second: u64| 50 + second.min(length);
            assert_eq!(found_in_history(start, Picture::default()), None, "{length} s");
        }
    }

    #[test]
    fn a_heap_on_the_way_to_its_maximum_is_none() {
        let setting = |name: &str, value: String| Setting { name: name.to_owned(), value };
        let counters = |most: u64| {
            [Counters {
                allocator: "jvm".to_owned(),
                settings: vec![setting("MaxHeapSize", (most * MIB).to_string())],
                ..Counters::default()
            }]
        };
        let row = |allocator: &'static str, kind: &'static str, grown: i64| ArenaRow {
            allocator: allocator.into(),
            kind: kind.into(),
            arenas: 1,
            mapped_bytes: Bytes(512 * MIB),
            resident_bytes: Bytes(300 * MIB),
            lazy_free_bytes: Bytes(0),
            swapped_bytes: Bytes(0),
            pss_bytes: None,
            grade: Grade::Measured,
            growth_bytes: [Some(0), Some(grown / 10), Some(grown)],
        };
        let warm_up = |second: u64| 100 + second / 12;
        let of = |counters: &[Counters], arenas: &[ArenaRow]| {
            found_in_history(warm_up, Picture { counters, arenas, ..Picture::default() })
        };
        let heap = row("jvm", "java heap", 50 << 20);
        assert_eq!(of(&counters(512), &[heap.clone(), row("glibc", "heap", 1 << 20)]), None);
        // Memory beside the heap has no maximum.
        assert!(of(&counters(512), &[heap.clone(), row("glibc", "heap", 50 << 20)]).is_some());
        assert!(of(&counters(512), &[row("jvm", "java heap", 0), row("glibc", "heap", 50 << 20)]).is_some());
        assert!(of(&[], &[heap]).is_some(), "no maximum is known");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Noise without a trend is never a leak.
        #[test]
        fn noise_is_none(values in prop::collection::vec(600.0_f64..1000.0, 120..400)) {
            prop_assert_eq!(found(values, 1.0), None);
        }

        /// The verdict does not depend on the size.
        #[test]
        fn it_scales(values in prop::collection::vec(0.0_f64..3.0, 100..200), factor in 1.0_f64..1e6) {
            let of = |factor: f64| {
                let mut sum = 100.0;
                let walk = values.iter().map(|step| { sum += step; sum * factor }).collect::<Vec<_>>();
                found(walk, 1.0)
            };
            prop_assert_eq!(of(1.0), of(factor));
        }
    }
}
