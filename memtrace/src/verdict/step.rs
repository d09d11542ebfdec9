//! Step: memory jumped from one level to another, and stayed there.

use super::{Confidence, Fact, Finding, Kind, Outcome, Picture, number, shape::Shape};
use crate::units::Grade;

/// The least jump, as a fraction of the new level.
const LEAST_JUMP: f64 = 0.2;
/// The least part of the whole growth that happens within two intervals; otherwise it is a slow rise.
pub const SHARE: f64 = 0.8;

/// The largest rise of the floors over two intervals: its start in seconds, and its size.
pub fn largest(shape: &Shape) -> (f64, f64) {
    shape
        .floors
        .windows(3)
        .filter_map(|window| match window {
            [from, _, to] => Some((from.at, to.value - from.value)),
            _ => None,
        })
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .unwrap_or_default()
}

pub fn check(picture: &Picture<'_>) -> Outcome {
    let shape = picture.shape.clone()?;
    let (at, jump) = largest(shape);
    let rise = shape.last - shape.first;
    if jump < LEAST_JUMP * shape.last || jump < SHARE * rise || rise < SHARE * jump {
        return Ok(None);
    }
    let end = shape.floors.last().map_or(at, |floor| floor.at);
    Ok(Some(Finding {
        kind: Kind::Step,
        confidence: Confidence::Medium,
        sentence: format!("memory jumped by {} {:.0} s ago and stayed there", number(jump), end - at),
        evidence: vec![
            Fact { what: "level before".into(), value: number(shape.first), grade: Grade::Read },
            Fact { what: "level since".into(), value: number(shape.last), grade: Grade::Read },
        ],
        remedies: Vec::new(),
    }))
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::verdict::{Picture, shape::fixture::shape};

    fn sentence(values: impl IntoIterator<Item = f64>) -> Option<String> {
        let shape = shape(values);
        check(&Picture { shape: Ok(&shape), ..Picture::default() }).unwrap().map(|found| found.sentence)
    }

    #[test]
    fn a_jump_that_stays_is_one() {
        assert!(
            sentence((0..240).map(|at| if at < 100 { 1000.0 } else { 2024.0 })).unwrap().contains("1.0 KiB")
        );
    }

    #[test]
    fn a_way_up_and_a_peak_that_is_over_are_none() {
        assert_eq!(sentence((0..240).map(|at| 1000.0 + 10.0 * f64::from(at))), None);
        assert_eq!(sentence((0..240).map(|at| if at / 20 == 5 { 1900.0 } else { 1000.0 })), None);
    }
}
