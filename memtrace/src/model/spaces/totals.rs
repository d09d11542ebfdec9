//! What the kernel counts for a process, beside the sum of its regions.
//!
//! Only values: [`reconcile`](super::reconcile) holds them against each other.

use crate::mm::address_space::Kinds;

/// The kernel's totals of one process.
#[derive(Default)]
pub(super) struct Totals {
    /// Resident, when a scan was last considered.
    pub(super) rss: u64,
    /// How far they were above the regions' at the last scan.
    pub(super) gap: i64,
    /// The same by kind; `None` before the first scan, and when they were not asked then.
    pub(super) apart: Option<Kinds>,
    /// How much of what regions hold they told, at the last tick.
    pub(super) closed: u64,
    /// Pages of files and shared memory that no region explained when its mappings were read last.
    pub(super) left_over: i64,
    /// They came when the regions were not to be trusted: they are asked for again.
    pub(super) came_while_stale: bool,
    /// Whether it may grow by much without a sample; `None` when that is to be told anew.
    pub(super) may_grow_unseen: Option<bool>,
}
