//! Growth: firm memory will reach its limit soon, whatever the reason.
//!
//! A rate and the room that is left -> a finding. Needs no long history, because it makes no claim on the future beyond
//! the next minutes.

use super::{Confidence, Fact, Finding, Kind, rate};
use crate::units::{Bytes, Grade};

/// A limit that is further away is no news, in seconds.
pub const SOON: f64 = 600.0;
/// Slower growth may be noise: 64 KiB a second.
const SLOWEST: f64 = 65_536.0;

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
            fact("growth of anonymous memory", rate(bytes_per_second), Grade::Inferred),
            fact("room below the limit, page cache not counted", room.to_string(), Grade::Read),
        ],
        remedies: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn growth_that_ends_soon_is_said_with_the_time_that_is_left() {
        let found = finding(8.0 * MIB as f64, Bytes(40 * MIB), Bytes(96 * MIB)).unwrap();
        assert!(found.sentence.contains("8.0 MiB/s") && found.sentence.contains("in 5 s"), "{found:?}");
        assert_eq!(finding(8.0 * MIB as f64, Bytes(40 << 30), Bytes(96 << 30)), None, "an hour away");
        assert_eq!(finding(1000.0, Bytes(0), Bytes(MIB)), None, "noise");
        assert_eq!(finding(-1e6, Bytes(MIB), Bytes(MIB)), None);
    }
}
