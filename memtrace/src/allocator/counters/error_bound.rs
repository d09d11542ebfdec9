//! What moves while it is read, and how far off that can make a figure: the one place for all readers.
//!
//! Input: what was counted, and the same counted again. Output: the bound. The process is never stopped, so its heaps
//! are read one piece after the other.

use crate::units::Bytes;

/// One part of so many is how far a reading of a process that allocates can be off. Measured with two threads that do
/// nothing else, for every reader (`memtrace/tests/counters/busy.rs`).
const BUSY: u64 = 50;

/// How far `allocated` may be off, either way: by what was not understood, and while things move by a part of it.
pub fn bound(allocated: u64, unknown: u64, is_at_rest: bool) -> Bytes {
    let moving = if is_at_rest { 0 } else { allocated / BUSY };
    Bytes(unknown.saturating_add(moving))
}

/// The same where all of it was counted twice: what lies between the two is not known either.
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
