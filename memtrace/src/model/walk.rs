//! The stacks that are to be walked, and what came of each.
//!
//! Messages between the model and whoever walks. Must not walk anything itself.

use std::sync::Arc;

use memtrace_common::event::fault::Fault;
use serde::{Deserialize, Serialize};

use crate::unwind::{Copy, Module, walk::Walked};

/// Which fault a stack is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Key {
    /// The process whose address space it is.
    pub pid: u32,
    /// The thread.
    pub tid: u32,
    /// When, ns since boot.
    pub ktime: u64,
}

impl Key {
    /// That of a fault in this address space.
    pub const fn of(pid: u32, fault: &Fault) -> Self {
        Self { pid, tid: fault.header.tid, ktime: fault.header.ktime }
    }
}

/// A stack to walk.
#[derive(Debug)]
pub struct Job {
    /// Of which fault.
    pub key: Key,
    /// The stack.
    pub copy: Copy,
    /// The code of its process, in order of address; `None` when not all of it is known.
    pub modules: Option<Arc<[Module]>>,
}

/// What came of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unwound {
    /// Of which fault.
    pub key: Key,
    /// `None` when nobody had time for it: it is as if it had not been copied.
    pub walked: Option<Walked>,
}
