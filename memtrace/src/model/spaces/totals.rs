//! The kernel's totals of a process, compared with the sum of its regions.
//!
//! Only values: [`reconcile`](super::reconcile) compares them.

use crate::mm::address_space::Kinds;

/// The kernel's totals of one process.
#[derive(Default)]
pub(super) struct Totals {
    /// RSS when a scan was last considered.
    pub(super) rss: u64,
    /// RSS minus the sum of the regions at the last scan.
    pub(super) gap: i64,
    /// The same by kind; `None` before the first scan, and when the totals were not read with it.
    pub(super) apart: Option<Kinds>,
    /// Bytes of the regions' sum that come from the totals, at the last tick.
    pub(super) closed: u64,
    /// Pages of files and shared memory that no region explained when its mappings were last read.
    pub(super) left_over: i64,
    /// They arrived while the regions were stale, and must be read again.
    pub(super) came_while_stale: bool,
    /// Whether it may grow by much without a sample; `None` when this must be computed again.
    pub(super) may_grow_unseen: Option<bool>,
}
