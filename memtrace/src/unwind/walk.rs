//! The walk from frame to frame, by unwind tables, or by frame pointers for code without tables.
//!
//! Input: registers, stack, a lookup of code. Output: return addresses. Pure. It always ends, because the stack pointer
//! rises with each frame and the number of frames is limited.

use std::sync::Arc;

use gimli::UnwindContext;
use memtrace_common::event::stack::Registers;
use serde::{Deserialize, Serialize};

use super::{
    Stack,
    entry::{Entry, Step},
    frame::Frame,
};
use crate::mm::growth::WalkedBy;

/// The most frames, from the innermost on.
pub const MOST_FRAMES: usize = 32;

/// The code at an address.
#[derive(Clone, Debug)]
pub enum Code {
    /// A function with an entry in its program's tables, and the address in the program.
    Entry(Arc<Entry>, u64),
    /// Code without tables.
    Bare,
    /// No code.
    None,
}

/// The result of a walk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walked {
    /// The address of the thread, then the return addresses; with one address alone the walk failed.
    pub frames: Vec<u64>,
    /// How they were found.
    pub walked_by: WalkedBy,
}

/// Walks a stack.
pub fn walk(
    start: &Registers,
    stack: &Stack<'_>,
    context: &mut UnwindContext<usize>,
    mut code: impl FnMut(u64) -> Code,
) -> Walked {
    let (mut frame, mut frames) = (Frame::new(start), vec![start.ip]);
    let (mut by_tables, mut by_pointers) = (0, 0);
    // The address of an interrupted instruction is exact; a call is before its return address.
    let mut back = 0;
    while frames.len() < MOST_FRAMES {
        let step = match code(frame.ip.wrapping_sub(back)) {
            Code::Entry(entry, address) => entry.step(context, address, &frame, stack),
            Code::Bare => Step::Nothing,
            Code::None => Step::End,
        };
        let (caller, is_signal) = match step {
            Step::End => break,
            Step::Caller(caller, is_signal) => {
                by_tables += 1;
                (caller, is_signal)
            }
            Step::Nothing => {
                let leaf = (frames.len() == 1).then(|| leaf(&frame, stack, &mut code)).flatten();
                by_pointers += usize::from(leaf.is_none());
                let Some(caller) = leaf.or_else(|| frame.caller_by_pointers(stack)) else { break };
                (caller, false)
            }
        };
        back = u64::from(!is_signal);
        let is_higher = caller.sp > frame.sp;
        if !is_higher || matches!(code(caller.ip.wrapping_sub(back)), Code::None) {
            break;
        }
        frames.push(caller.ip);
        frame = caller;
    }
    let walked_by = match (by_tables, by_pointers) {
        (0, _) => WalkedBy::FramePointers,
        (_, 0) => WalkedBy::Tables,
        (_, _) => WalkedBy::Both,
    };
    Walked { frames, walked_by }
}

/// The caller of a function without tables that keeps nothing on the stack, such as musl's `memset`, by which most memory is
/// touched first. The word must be inside of a function with tables: an address of a function is its beginning.
fn leaf(frame: &Frame, stack: &Stack<'_>, code: &mut impl FnMut(u64) -> Code) -> Option<Frame> {
    let caller = frame.caller_of_leaf(stack)?;
    let Code::Entry(entry, address) = code(caller.ip.wrapping_sub(1)) else { return None };
    entry.range().contains(&address.checked_add(1)?).then_some(caller)
}

#[cfg(test)]
#[path = "walk_tests.rs"]
mod tests;
