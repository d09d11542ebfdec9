//! Why it was killed: causes, each with the numbers behind it.
//!
//! Input: the evidence of a record, as values. Output: [`Cause`]. Pure; rules abstain when the evidence is thin.

use serde::{Deserialize, Serialize};

use crate::verdict::{Confidence, Fact, Remedy};

/// Kinds of causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CauseKind {
    /// It grew slowly and without end.
    Leak,
    /// It grew by much in a moment.
    Burst,
    /// It needs what it needs, and the limit has no room for it.
    LimitTooTight,
    /// The limit was hit while the program started.
    StartUp,
    /// Freed memory was kept by the allocator.
    AllocatorRetention,
    /// Page cache or tmpfs.
    FileOrTmpfs,
    /// Kernel memory: sockets, pipes, slab, page tables.
    KernelMemory,
    /// Thread stacks.
    ThreadStacks,
    /// Copies of pages after a fork.
    ForkCopyOnWrite,
    /// Another process or container under the same limit.
    Neighbour,
    /// The node had no memory left.
    NodeExhaustion,
    /// The nodes that a cpuset or memory policy allows had none left.
    CpusetOrPolicy,
    /// The limit was lowered below what was in use.
    LimitLowered,
    /// Somebody asked the kernel for an OOM kill (sysrq).
    Requested,
    /// Too little is known.
    Unknown,
}

/// Why it was killed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cause {
    /// What kind.
    pub kind: CauseKind,
    /// How sure.
    pub confidence: Confidence,
    /// One sentence with the numbers in it.
    pub sentence: String,
    /// What it rests on.
    pub evidence: Vec<Fact>,
    /// What to do, or nothing.
    pub remedies: Vec<Remedy>,
}
