//! Pressure stall information: how long tasks waited for memory.
//!
//! Input: the bytes of `/proc/pressure/memory` or of a cgroup's `memory.pressure`. Output: shares of the last ten
//! seconds, 0 to 1. Pure.

/// `(some, full)` of the last ten seconds.
pub fn parse(text: &[u8]) -> (Option<f64>, Option<f64>) {
    (average(text, b"some "), average(text, b"full "))
}

/// Microseconds in which all tasks waited, since the group was made.
pub fn full_total(text: &[u8]) -> Option<u64> {
    let line = text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"full "))?;
    let word = line.split(|byte| *byte == b' ').find_map(|word| word.strip_prefix(b"total="))?;
    std::str::from_utf8(word).ok()?.parse().ok()
}

/// `some avg10=1.50 avg60=0.20 avg300=0.04 total=1938629`: percent.
fn average(text: &[u8], kind: &[u8]) -> Option<f64> {
    let line = text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(kind))?;
    let word = line.split(|byte| *byte == b' ').find_map(|word| word.strip_prefix(b"avg10="))?;
    let percent: f64 = std::str::from_utf8(word).ok()?.parse().ok()?;
    (0.0..=100.0).contains(&percent).then_some(percent / 100.0)
}

#[cfg(test)]
mod tests {
    use super::{full_total, parse};

    #[test]
    fn percent_become_shares() {
        let text = b"some avg10=1.50 avg60=0.00 avg300=0.00 total=1938629\n\
            full avg10=0.25 avg60=0.00 avg300=0.00 total=411116\n";
        assert_eq!(parse(text), (Some(0.015), Some(0.0025)));
        assert_eq!((full_total(text), full_total(b"some total=5\n")), (Some(411_116), None));
    }

    #[test]
    fn what_is_no_share_is_unknown() {
        assert_eq!(parse(b""), (None, None));
        assert_eq!(parse(b"some avg10=NaN\nfull avg10=1e9\n"), (None, None));
        assert_eq!(parse(b"some avg60=1.00\n\xff"), (None, None));
    }
}
