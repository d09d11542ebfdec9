//! Options for attaching, from the command line.

use super::support::Without;

/// Options for attaching.
#[derive(Clone, Debug)]
pub struct Options {
    /// Kernel features to treat as missing.
    pub without: Without,
    /// Sample 1 in this many page faults, fewer at a high rate; 0 disables the hook.
    pub fault_period: u64,
    /// The most address-space calls of one process that are streamed per second; 0 means all.
    pub event_budget: u32,
    /// Bytes of user stack that are copied for a sampled fault, see `memtrace_common::event::stack`; 0 copies none.
    pub stack_bytes: u32,
}
