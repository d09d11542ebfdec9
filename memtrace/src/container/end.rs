//! How a container ended, in its runtime's own words.
//!
//! Input: what CRI or Docker answered. Output: [`End`]. A word beside the record, never instead of it: a runtime reads
//! a counter after the fact, the kernel was there.

use jiff::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// `OOMKilled`, `Error`, `Completed`.
    pub reason: Option<String>,
    /// 128 and the signal's number for a signal.
    pub exit_code: i32,
    /// When, by the runtime's clock.
    pub finished_at: Option<Timestamp>,
}
