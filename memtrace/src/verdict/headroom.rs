//! Headroom: the limit is too close to the peak of memory that cannot be reclaimed.
//!
//! Page cache does not count, because the kernel reclaims it. Usage at the limit is normal with much page cache.

use super::{Confidence, Fact, Finding, Kind, Outcome, Picture, Remedy, number};
use crate::units::{Bytes, Grade};

/// Headroom below this fraction of the limit is too little.
const LEAST_ROOM: f64 = 0.1;
/// Headroom below this fraction is as good as none.
const NO_ROOM: f64 = 0.03;
/// A limit this much above the peak leaves room (what resource recommenders agree on).
const ADVISED: f64 = 1.25;

pub fn check(picture: &Picture<'_>) -> Outcome {
    let Some(Bytes(limit)) = picture.limit else { return Ok(None) };
    let (Some(peak), samples) = (picture.firm_peak, picture.samples.len()) else {
        return Err("its memory by kind is unknown".to_owned());
    };
    if samples < super::shape::FEWEST {
        return Err(format!("not enough samples: {samples}"));
    }
    let room = 1.0 - peak.0 as f64 / limit as f64;
    if limit == 0 || room >= LEAST_ROOM {
        return Ok(None);
    }
    let advised = Bytes((peak.0 as f64 * ADVISED) as u64 >> 20 << 20);
    Ok(Some(Finding {
        kind: Kind::Headroom,
        confidence: if room < NO_ROOM { Confidence::High } else { Confidence::Medium },
        sentence: format!(
            "the peak of {peak} leaves only {:.0} % of the limit of {} free",
            room.max(0.0) * 100.0,
            number(limit as f64)
        ),
        evidence: vec![
            Fact {
                what: "highest memory without page cache".into(),
                value: peak.to_string(),
                grade: Grade::Read,
            },
            Fact { what: "limit".into(), value: Bytes(limit).to_string(), grade: Grade::Read },
        ],
        remedies: vec![Remedy {
            text: format!("reduce memory use, or raise the limit to {advised}"),
            setting: Some(advised.0.to_string()),
        }],
    }))
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Confidence, check};
    use crate::verdict::{Picture, shape::fixture::samples};

    fn check_of(peak: Option<u64>) -> super::Outcome {
        let samples = samples((0..20).map(|_| 1.0));
        let picture = Picture {
            samples: &samples,
            limit: Some(Bytes(1000 << 20)),
            firm_peak: peak.map(|peak| Bytes(peak << 20)),
            ..Picture::default()
        };
        check(&picture)
    }

    #[test]
    fn little_room_is_said_with_a_limit_that_would_do() {
        assert!(check_of(Some(800)).unwrap().is_none());
        assert_eq!(check_of(Some(950)).unwrap().unwrap().confidence, Confidence::Medium);
        let finding = check_of(Some(990)).unwrap().unwrap();
        assert_eq!(finding.confidence, Confidence::High);
        assert!(finding.remedies[0].text.contains("1.2 GiB"), "{finding:?}");
    }

    #[test]
    fn without_kinds_it_abstains_and_without_a_limit_all_is_well() {
        assert!(check_of(None).is_err());
        assert_eq!(check(&Picture::default()), Ok(None));
    }
}
