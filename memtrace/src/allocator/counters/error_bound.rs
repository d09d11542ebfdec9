//! The error of figures that change while they are read, for all readers.
//!
//! Input: a figure, and the same figure counted again. Output: a bound of the error. The process is never stopped, and
//! its heaps are read piece by piece.

use crate::units::Bytes;

/// A reading of an allocating process may be wrong by 1/`BUSY`. Measured for every reader with two threads that only
/// allocate and free (`memtrace/tests/counters/busy.rs`).
const BUSY: u64 = 50;

/// The error of `allocated` in either direction: the unknown bytes, plus 1/`BUSY` unless the process is at rest.
pub fn bound(allocated: u64, unknown: u64, is_at_rest: bool) -> Bytes {
    let moving = if is_at_rest { 0 } else { allocated / BUSY };
    Bytes(unknown.saturating_add(moving))
}

/// The error of a figure that was counted twice: it includes the difference between the two.
pub fn bound_between(first: u64, again: Option<u64>) -> Bytes {
    let moved = again.unwrap_or(0).abs_diff(first);
    bound(first, moved.saturating_mul(2).min(first), again == Some(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_rest_nothing_is_off_but_what_was_not_understood() {
        assert_eq!(
            (bound(5000, 0, true), bound(5000, 7, true), bound(5000, 7, false)),
            (Bytes(0), Bytes(7), Bytes(107))
        );
        assert_eq!(
            (bound_between(5000, Some(5000)), bound_between(5000, Some(5010))),
            (Bytes(0), Bytes(120))
        );
        assert_eq!(bound_between(5000, None), Bytes(5100));
    }
}
