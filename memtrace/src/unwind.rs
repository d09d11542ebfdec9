//! Stack unwinding: the callers of a thread, from a copy of its stack and the unwind tables of its programs.
//!
//! Input: registers, some KiB of stack, the mapped code, files of the process. Output: return addresses, and how they
//! were found. Programs and stacks are untrusted: every count, size and loop is bounded. Reads files, which may be
//! slow: must not be used by a thread that others wait for.

use std::{ops::Range, sync::Arc};

use memtrace_common::event::stack::Registers;

use crate::mm::region::{Backing, File, Prot, Region};

pub mod entry;
pub mod expression;
pub mod frame;
pub mod maps_cache;
pub mod programs;
pub mod tables;
pub mod walk;

/// A mapping of code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its address range.
    pub range: Range<u64>,
    /// Byte offset in its file of the range's start.
    pub offset: u64,
    /// Its file; `None` for code generated at run time, and when not known yet.
    pub file: Option<Arc<File>>,
}

impl Module {
    /// The module of a region, if it is executable.
    pub fn of(region: &Region) -> Option<Self> {
        let file = match &region.backing {
            Backing::File(file) => Some(Arc::clone(file)),
            _ => None,
        };
        let (range, offset) = (region.start..region.end, region.offset);
        (region.prot.0 & Prot::EXEC != 0).then_some(Self { range, offset, file })
    }
}

/// The module of an address; `modules` are sorted by address.
pub fn module_at(modules: &[Module], address: u64) -> Option<&Module> {
    let after = modules.partition_point(|module| module.range.start <= address);
    let module = after.checked_sub(1).and_then(|at| modules.get(at))?;
    module.range.contains(&address).then_some(module)
}

/// The bytes of a stack, from the stack pointer up.
#[derive(Clone, Copy, Debug)]
pub struct Stack<'a> {
    /// Address of the first byte.
    pub base: u64,
    /// The bytes.
    pub bytes: &'a [u8],
}

impl Stack<'_> {
    /// The word at an address; `None` outside the copy.
    pub fn word(&self, address: u64) -> Option<u64> {
        let at = usize::try_from(address.checked_sub(self.base)?).ok()?;
        Some(u64::from_ne_bytes(*self.bytes.get(at..)?.first_chunk()?))
    }
}

/// A stack to walk.
#[derive(Clone, Debug)]
pub struct Copy {
    /// Registers of the thread.
    pub registers: Registers,
    /// Address of the first byte.
    pub base: u64,
    /// Its stack, from there up.
    pub bytes: Box<[u8]>,
}
