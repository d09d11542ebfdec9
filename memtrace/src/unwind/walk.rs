//! The walk from frame to frame, by tables where code has them, by frame pointers where it has none.
//!
//! Input: registers, stack, what is at an address. Output: return addresses. Pure. It ends: the stack pointer rises with
//! each frame, and so many frames are enough.

use std::sync::Arc;

use gimli::UnwindContext;
use memtrace_common::event::stack::Registers;
use serde::{Deserialize, Serialize};

use super::{
    Stack,
    frame::Frame,
    tables::{Step, Tables},
};
use crate::mm::growth::WalkedBy;

/// Frames that are kept, from the innermost on.
pub const MOST_FRAMES: usize = 32;

/// What is at an address.
#[derive(Clone, Debug)]
pub enum Code {
    /// A program with tables, and the address in it.
    Tables(Arc<Tables>, u64),
    /// Code without.
    Bare,
    /// No code.
    None,
}

/// The addresses of a walk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walked {
    /// Where the thread was, and where each caller goes on; one alone says that the walk failed.
    pub frames: Vec<u64>,
    /// By what they were found.
    pub walked_by: WalkedBy,
}

/// Walks.
pub fn walk(
    start: &Registers,
    stack: &Stack<'_>,
    context: &mut UnwindContext<usize>,
    mut code: impl FnMut(u64) -> Code,
) -> Walked {
    let (mut frame, mut frames) = (Frame::new(start), vec![start.ip]);
    let (mut by_tables, mut by_pointers) = (0, 0);
    // An instruction that was interrupted is where it is; a call is before the address that it returns to.
    let mut back = 0;
    while frames.len() < MOST_FRAMES {
        let step = match code(frame.ip.wrapping_sub(back)) {
            Code::Tables(tables, address) => tables.step(context, address, &frame, stack),
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
                let Some(caller) = frame.caller_by_pointers(stack) else { break };
                by_pointers += 1;
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

#[cfg(test)]
#[path = "walk_tests.rs"]
mod tests;
