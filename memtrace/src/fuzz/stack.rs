//! A walk from a fuzzer's bytes.
//!
//! Bytes -> a program, registers and a stack. The encoding gets far with few bytes: the stack consists of the program's
//! addresses, and the first one is in one of its functions. Never fails: truncated input is not walked.

use memtrace_common::event::stack::Registers;

/// Load address of the program, for file offset 0.
pub(super) const BASE: u64 = 0x5555_5555_0000;
/// Address of the stack.
const STACK: u64 = 0x7fff_0000_0000;
/// The most words of stack.
const WORDS: usize = 96;

/// What to walk.
pub(super) struct Case<'a> {
    pub(super) program: &'a [u8],
    pub(super) registers: Registers,
    pub(super) stack: Vec<u8>,
}

/// A word for each of these many words of stack, and the first one of the place; the rest is the program.
pub(super) fn parse(bytes: &[u8]) -> Option<Case<'_>> {
    let (ip, rest) = bytes.split_first_chunk::<4>()?;
    let (words, program) = rest.split_at_checked(WORDS)?;
    // A byte: an address on the stack, one in the program, or a small number.
    let value = |byte: u8| match byte >> 6 {
        0 => u64::from(byte),
        1 => STACK + u64::from(byte & 63) * 8,
        place => BASE + u64::from(u32::from_le_bytes(*ip)) + u64::from(byte & 63) * place_step(place),
    };
    let at = |index: usize| value(words.get(index).copied().unwrap_or_default());
    let registers = Registers {
        ip: BASE + u64::from(u32::from_le_bytes(*ip)),
        sp: STACK,
        bp: at(0),
        bx: at(1),
        r12: at(2),
        r13: at(3),
        r14: at(4),
        r15: at(5),
    };
    let stack = words.iter().flat_map(|byte| value(*byte).to_ne_bytes()).collect();
    Some(Case { program, registers, stack })
}

const fn place_step(place: u8) -> u64 {
    if place == 2 { 1 } else { 64 }
}
