//! The estimate against what is true of made-up samples.

use proptest::prelude::*;

use super::{FEWEST, Noise, Point, estimate, student};
use crate::sizing::tests::traces::Random;

fn points(values: &[f64]) -> Vec<Point> {
    values.iter().map(|value| Point { value: *value, bin: 0 }).collect()
}

#[test]
fn student_is_right_to_a_part_in_a_hundred() {
    for (freedom, wanted) in
        [(1.0, 12.706), (2.0, 4.303), (3.0, 3.182), (4.0, 2.776), (10.0, 2.228), (100.0, 1.984)]
    {
        let got = student(freedom);
        assert!((got / wanted - 1.0).abs() < 0.01, "{freedom}: {got}");
    }
}

#[test]
fn a_shift_of_all_values_is_found_to_the_byte() {
    let a: Vec<f64> = (0..30).map(|at| 1e8 + f64::from(at * 37 % 11) * 1e5).collect();
    let b: Vec<f64> = a.iter().map(|value| value + 3e6).collect();
    for noise in [Noise::InTime, Noise::Independent] {
        let found = estimate(&points(&a), &points(&b), noise).unwrap();
        assert_eq!(found.shift, 3e6);
        assert!(found.low > 2.4e6 && found.high < 3.6e6, "{found:?}");
    }
}

#[test]
fn a_third_of_outliers_does_not_move_it() {
    let a = vec![1e8; 20];
    let mut b = vec![1.1e8; 20];
    b[..5].fill(9e9);
    assert_eq!(estimate(&points(&a), &points(&b), Noise::InTime).unwrap().shift, 1e7);
}

#[test]
fn values_of_other_bins_are_not_compared() {
    let of = |low: f64, high: f64| {
        let point = |at: u32| Point { value: if at < 10 { low } else { high }, bin: u32::from(at >= 10) };
        (0..20).map(point).collect::<Vec<Point>>()
    };
    // One rose by 1 under each load, and the load of the other is none of its own.
    let found = estimate(&of(10.0, 1000.0), &of(11.0, 1001.0), Noise::InTime).unwrap();
    assert_eq!((found.shift, found.low, found.high), (1.0, 1.0, 1.0));
    let none = [Point { value: 1.0, bin: 7 }];
    assert_eq!(estimate(&of(1.0, 2.0), &none, Noise::InTime), None);
    assert_eq!(estimate(&[], &none, Noise::InTime), None);
}

#[test]
fn the_true_shift_is_in_the_interval_in_95_of_100_cases() {
    let mut random = Random::new(7);
    let mut held = 0;
    let cases = 240;
    for case in 0..cases {
        let count = [6, 7, 9, 12][case % 4];
        let mut drawn =
            |level: f64| -> Vec<f64> { (0..count).map(|_| level + 3.0 * random.normal()).collect() };
        let (a, b) = (drawn(100.0), drawn(105.0));
        let found = estimate(&points(&a), &points(&b), Noise::InTime).unwrap();
        held += usize::from(found.low <= 5.0 && 5.0 <= found.high);
    }
    assert!(held * 100 >= cases * 92, "{held} of {cases}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn it_is_finite_ordered_and_mirrored(
        a in prop::collection::vec(0_u64..=1 << 53, 1..30),
        b in prop::collection::vec(0_u64..=1 << 53, 1..30),
        is_timed in any::<bool>(),
    ) {
        let of = |values: &[u64]| points(&values.iter().map(|value| *value as f64).collect::<Vec<_>>());
        let (a, b) = (of(&a), of(&b));
        let noise = if is_timed { Noise::InTime } else { Noise::Independent };
        let found = estimate(&a, &b, noise).unwrap();
        prop_assert!(found.low.is_finite() && found.high.is_finite());
        prop_assert!(found.low <= found.shift && found.shift <= found.high, "{found:?}");
        let swapped = estimate(&b, &a, noise).unwrap();
        prop_assert_eq!((swapped.low, swapped.shift, swapped.high), (-found.high, -found.shift, -found.low));
        prop_assert_eq!(found.is_assumed, a.len() < FEWEST || b.len() < FEWEST);
    }

    #[test]
    fn runs_may_come_in_any_order(values in prop::collection::vec(0.0_f64..1e12, 2..20), turn in 0_usize..20) {
        let (a, b) = values.split_at(values.len() / 2);
        let mut turned = b.to_vec();
        turned.rotate_left(turn % b.len());
        turned.reverse();
        prop_assert_eq!(
            estimate(&points(a), &points(b), Noise::Independent),
            estimate(&points(a), &points(&turned), Noise::Independent)
        );
    }
}
