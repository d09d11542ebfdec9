//! Jobs for the unwinder, and their results.
//!
//! Messages between the model and the unwinder. Must not walk anything itself.

use std::sync::Arc;

use memtrace_common::event::fault::Fault;
use serde::{Deserialize, Serialize};

use crate::unwind::{Copy, Module, walk::Walked};

/// The fault that a stack belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Key {
    /// The process that owns the address space.
    pub pid: u32,
    /// The thread.
    pub tid: u32,
    /// Time, ns since boot.
    pub ktime: u64,
}

impl Key {
    /// The key of a fault in this address space.
    pub const fn of(pid: u32, fault: &Fault) -> Self {
        Self { pid, tid: fault.header.tid, ktime: fault.header.ktime }
    }
}

/// A stack to walk.
#[derive(Debug)]
pub struct Job {
    /// The fault that it belongs to.
    pub key: Key,
    /// The stack.
    pub copy: Copy,
    /// The code of its process, sorted by address; `None` when not all of it is known.
    pub modules: Option<Arc<[Module]>>,
}

/// The result of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unwound {
    /// The fault that it belongs to.
    pub key: Key,
    /// `None` when the unwinder dropped it, as if the stack had not been copied.
    pub walked: Option<Walked>,
}
