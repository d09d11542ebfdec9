//! Growth: firm memory will reach its limit soon, whatever the reason.
//!
//! Samples -> the rate now, or when growth ended. A rate and the room that is left -> a finding. Needs no long history,
//! because it makes no claim on the future beyond the next minutes.

use serde::{Deserialize, Serialize};

use super::{
    Confidence, Fact, Finding, Kind, rate,
    trend::{self, Sample},
};
use crate::units::{Bytes, Grade};

/// A limit that is further away is no news, in seconds.
pub const SOON: f64 = 600.0;
/// Slower growth may be noise: 64 KiB a second.
const SLOWEST: f64 = 65_536.0;
/// A rise counts from this part of the whole rise on.
const STEP: f64 = 0.02;
/// Growth that pauses for less, in seconds, has not ended.
const PAUSE: f64 = 4.0;
/// Growth has ended when it rests for longer than this many times its longest rest before.
const LONGER: f64 = 2.0;

/// Growth that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// By how much it grew.
    pub bytes: Bytes,
    /// When it last rose.
    pub seconds_ago: f64,
}

/// The rate of growth now, and the growth that has ended, from samples since the last restart. A program that grew for three
/// seconds and rests for eight does not grow, whatever the slope over all of that time is.
pub fn now(samples: &[Sample]) -> (Option<f64>, Option<Ended>) {
    match ended(samples) {
        None => (trend::slope(samples), None),
        Some((ended, since)) => {
            let rest = samples.get(since..).unwrap_or_default();
            (Some(trend::slope(rest).unwrap_or_default()), Some(ended))
        }
    }
}

/// The growth that has ended, and the sample at which it did.
fn ended(samples: &[Sample]) -> Option<(Ended, usize)> {
    let (first, last) = (samples.first()?, samples.last()?);
    let lowest = samples.iter().map(|sample| sample.value).fold(f64::MAX, f64::min);
    let highest = samples.iter().map(|sample| sample.value).fold(f64::MIN, f64::max);
    let step = STEP * (highest - lowest);
    let (mut level, mut longest) = (first.value, 0.0_f64);
    let mut rises: Option<(f64, usize)> = None;
    let mut before = first.value;
    for (index, sample) in samples.iter().enumerate() {
        if step <= 0.0 || sample.value < level + step {
            continue;
        }
        match rises {
            Some((at, _)) => longest = longest.max(sample.at - at),
            None => before = level,
        }
        (level, rises) = (sample.value, Some((sample.at, index)));
    }
    let (at, index) = rises?;
    let seconds_ago = last.at - at;
    let has_ended = seconds_ago > PAUSE.max(LONGER * longest);
    has_ended.then(|| (Ended { bytes: Bytes((level - before).max(0.0) as u64), seconds_ago }, index))
}

/// The finding, if the limit is reached within [`SOON`].
pub fn finding(bytes_per_second: f64, room: Bytes, limit: Bytes) -> Option<Finding> {
    let seconds = room.0 as f64 / bytes_per_second;
    if bytes_per_second < SLOWEST || seconds > SOON {
        return None;
    }
    let fact = |what: &str, value: String, grade| Fact { what: what.to_owned(), value, grade };
    Some(Finding {
        kind: Kind::Growth,
        confidence: Confidence::Medium,
        sentence: format!(
            "it grows by {}: at this rate it reaches its limit of {limit} in {seconds:.0} s",
            rate(bytes_per_second)
        ),
        evidence: vec![
            fact("growth of firm memory", rate(bytes_per_second), Grade::Inferred),
            fact("room below the limit, page cache not counted", room.to_string(), Grade::Read),
        ],
        remedies: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn samples(mib: impl IntoIterator<Item = u64>) -> Vec<Sample> {
        let sample = |(at, mib): (usize, u64)| Sample { at: at as f64, value: (mib * MIB) as f64 };
        mib.into_iter().enumerate().map(sample).collect()
    }

    /// As `huge-pages-alive` with seed 411 is asked: three seconds of growth, and eight of rest.
    #[test]
    fn growth_that_has_ended_is_no_growth_now() {
        let rest = std::iter::repeat_n(150, 9);
        let (rate, ended) = now(&samples([4, 4, 40, 90, 150].into_iter().chain(rest)));
        assert_eq!(rate, Some(0.0));
        assert_eq!(ended, Some(Ended { bytes: Bytes(146 * MIB), seconds_ago: 9.0 }));
        assert!(trend::slope(&samples([4, 4, 40, 90, 150, 150, 150, 150])).unwrap() > 0.0, "what was told");
    }

    #[test]
    fn growth_in_steps_goes_on_between_them() {
        let steps = (0..60).map(|second| 10 + second / 10 * 5);
        let (rate, ended) = now(&samples(steps.chain(std::iter::repeat_n(60, 6))));
        assert_eq!(ended, None, "each rest lasts ten seconds");
        assert!(rate.unwrap() > 0.0);
        let (rate, ended) = now(&samples((0..60).map(|second| 10 + second)));
        assert_eq!((rate, ended), (Some(MIB as f64), None));
        assert_eq!(now(&samples([7; 20])), (Some(0.0), None), "it never grew");
        assert_eq!(now(&samples([7; 2])), (None, None));
    }

    #[test]
    fn growth_that_ends_soon_is_said_with_the_time_that_is_left() {
        let found = finding(8.0 * MIB as f64, Bytes(40 * MIB), Bytes(96 * MIB)).unwrap();
        assert!(found.sentence.contains("8.0 MiB/s") && found.sentence.contains("in 5 s"), "{found:?}");
        assert_eq!(finding(8.0 * MIB as f64, Bytes(40 << 30), Bytes(96 << 30)), None, "an hour away");
        assert_eq!(finding(1000.0, Bytes(0), Bytes(MIB)), None, "noise");
        assert_eq!(finding(-1e6, Bytes(MIB), Bytes(MIB)), None);
    }
}
