//! How to attach: what the command line may choose.

use super::support::Without;

/// How to attach.
#[derive(Clone, Debug)]
pub struct Options {
    /// What to do without.
    pub without: Without,
    /// One page fault of so many is sampled, fewer where many come; 0 switches the hook off.
    pub fault_period: u64,
    /// Address-space calls of one process that are streamed in a second; 0 means all.
    pub event_budget: u32,
    /// Bytes of a user stack that are copied for a sampled fault: see `memtrace_common::event::stack`; 0 for none.
    pub stack_bytes: u32,
}
