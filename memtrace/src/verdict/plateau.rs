//! Plateau: memory grew, and has levelled off. It looked like a leak, but was a warm-up.

use super::{Confidence, Fact, Finding, Kind, Outcome, Picture, number, step};
use crate::units::Grade;

/// The least growth, as a fraction of the present size.
const LEAST_RISE: f64 = 0.2;
/// The greatest change in the last third of the time, as a fraction of the present size.
const FLAT: f64 = 0.02;

pub fn check(picture: &Picture<'_>) -> Outcome {
    let shape = picture.shape.clone()?;
    let rise = shape.last - shape.first;
    let late = shape.late_slope.abs() * shape.span / 3.0;
    let is_flat = late <= FLAT * shape.last;
    if rise < LEAST_RISE * shape.last || !is_flat || step::largest(shape).1 >= step::SHARE * rise {
        return Ok(None);
    }
    Ok(Some(Finding {
        kind: Kind::Plateau,
        confidence: if shape.span >= 600.0 { Confidence::High } else { Confidence::Medium },
        sentence: format!("memory grew by {} and has levelled off at {}", number(rise), number(shape.last)),
        evidence: vec![
            Fact { what: "growth of firm memory".into(), value: number(rise), grade: Grade::Read },
            Fact { what: "variation in the last third".into(), value: number(late), grade: Grade::Inferred },
            Fact { what: "seen for".into(), value: format!("{:.0} s", shape.span), grade: Grade::Read },
        ],
        remedies: Vec::new(),
    }))
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::verdict::{Picture, shape::fixture::shape};

    fn is_plateau(values: impl IntoIterator<Item = f64>) -> bool {
        let shape = shape(values);
        check(&Picture { shape: Ok(&shape), ..Picture::default() }).unwrap().is_some()
    }

    #[test]
    fn a_warm_up_ends_in_one() {
        assert!(is_plateau((0..240).map(|at| 100.0 + f64::from(at.min(100)))));
    }

    #[test]
    fn growth_that_goes_on_flat_lines_and_steps_are_none() {
        assert!(!is_plateau((0..240).map(|at| 100.0 + f64::from(at))));
        assert!(!is_plateau((0..240).map(|_| 100.0)));
        assert!(!is_plateau((0..240).map(|at| if at < 100 { 100.0 } else { 200.0 })));
    }
}
