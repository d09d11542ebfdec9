//! What each program costs the verifier.
//!
//! Counts that the kernel keeps of loaded programs -> values for the table, compared by size and not to the digit.
//! Must not compare one kernel with another.

use serde::Deserialize;

use super::results::unit_of;

/// A loaded program in `doctor`'s words.
#[derive(Debug, Deserialize)]
pub(crate) struct Cost {
    name: String,
    verified: Option<u64>,
    instructions: Option<u64>,
}

/// The unit that all costs are of.
pub(crate) const UNIT: &str = "verifier";
const VERIFIED: &str = "verified";
const TRANSLATED: &str = "translated";
/// A program may cost so many hundredths more, or less, than the table says.
const TOLERANCE: u64 = 20;

/// The program's check.
pub(crate) fn check(cost: &Cost) -> String {
    format!("{UNIT}.{}", cost.name)
}

/// `1432 verified`; kernels before 5.16 count only what is left after verification.
pub(crate) fn value(cost: &Cost) -> String {
    match (cost.verified, cost.instructions) {
        (Some(count), _) if count > 0 => format!("{count} {VERIFIED}"),
        (_, Some(count)) => format!("{count} {TRANSLATED}"),
        (_, None) => "unknown".to_owned(),
    }
}

/// True when both are costs and the first is the larger: a program is loaded in several ways, and the dearest counts.
pub(crate) fn is_above(check: &str, first: &str, second: &str) -> bool {
    match (count(check, first), count(check, second)) {
        (Some((first, _)), Some((second, _))) => first > second,
        (_, _) => false,
    }
}

/// True for costs that are near enough. A table that says much more than is true would let a doubling pass, so a
/// program that became much cheaper is a surprise as well.
pub(crate) fn agree(check: &str, expected: &str, found: &str) -> bool {
    let (Some((expected, of)), Some((found, found_of))) = (count(check, expected), count(check, found))
    else {
        return false;
    };
    of == found_of && expected.abs_diff(found) * 100 <= expected * TOLERANCE
}

fn count<'a>(check: &str, value: &'a str) -> Option<(u64, &'a str)> {
    let (count, of) = value.split_once(' ').filter(|_| unit_of(check) == UNIT)?;
    Some((count.parse().ok()?, of))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_more_is_near_enough_and_a_doubling_is_not() {
        let agree = |found| agree("verifier.mmap", "1000 verified", found);
        assert!(agree("1200 verified") && agree("800 verified"));
        assert!(!agree("1201 verified") && !agree("2000 verified") && !agree("700 verified"));
        assert!(!agree("1000 translated"), "another count");
    }

    #[test]
    fn other_checks_are_not_compared_by_size() {
        assert!(!agree("node.records", "1000 verified", "1001 verified"));
        assert!(!is_above("node.records", "2 verified", "1 verified"));
        assert!(is_above("verifier.mmap", "2 verified", "1 verified"));
    }

    #[test]
    fn an_old_kernel_tells_what_is_left() {
        let cost = |verified| Cost { name: "mmap".to_owned(), verified, instructions: Some(90) };
        assert_eq!(value(&cost(Some(140))), "140 verified");
        assert_eq!(value(&cost(None)), "90 translated");
        assert_eq!(value(&cost(Some(0))), "90 translated");
    }
}
