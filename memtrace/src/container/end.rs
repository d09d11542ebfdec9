//! How a container ended, according to its runtime.
//!
//! Input: responses of CRI or Docker. Output: [`End`]. It supplements a record and never replaces it: a runtime only
//! reads a counter afterwards.

use jiff::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// `OOMKilled`, `Error`, `Completed`.
    pub reason: Option<String>,
    /// 128 + signal if a signal ended it.
    pub exit_code: i32,
    /// Time of the end, by the runtime's clock.
    pub finished_at: Option<Timestamp>,
}
