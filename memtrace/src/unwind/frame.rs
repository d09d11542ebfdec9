//! One frame: its registers, by DWARF numbers, and the step to its caller.
//!
//! Input: a row of an unwind table, registers, stack. Output: the caller's registers. Pure.

use gimli::{CfaRule, Register, RegisterRule, UnwindSection, UnwindTableRow, X86_64};
use memtrace_common::event::stack::Registers;

use super::{
    Stack,
    expression::{self, Slice},
};

/// A word: the least distance to the caller's stack pointer.
const WORD: u64 = 8;

/// The known registers of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The next instruction.
    pub ip: u64,
    /// The stack pointer.
    pub sp: u64,
    /// rbx, rbp, r12, r13, r14, r15; `None` for unknown ones.
    kept: [Option<u64>; KEPT.len()],
}

/// The callee-saved registers.
const KEPT: [Register; 6] = [X86_64::RBX, X86_64::RBP, X86_64::R12, X86_64::R13, X86_64::R14, X86_64::R15];

impl Frame {
    /// The innermost frame.
    pub const fn new(start: &Registers) -> Self {
        let Registers { ip, sp, bp, bx, r12, r13, r14, r15 } = *start;
        Self { ip, sp, kept: [Some(bx), Some(bp), Some(r12), Some(r13), Some(r14), Some(r15)] }
    }

    /// A register, if it is known.
    pub fn get(&self, register: Register) -> Option<u64> {
        match register {
            X86_64::RSP => Some(self.sp),
            X86_64::RA => Some(self.ip),
            _ => self.kept.iter().zip(KEPT).find(|(_, kept)| *kept == register).and_then(|(value, _)| *value),
        }
    }

    /// The caller's frame if this one has not touched the stack: the return address is where the stack pointer is.
    pub fn caller_of_leaf(&self, stack: &Stack<'_>) -> Option<Self> {
        Some(Self { ip: stack.word(self.sp)?, sp: self.sp.checked_add(WORD)?, kept: self.kept })
    }

    /// The caller's frame by frame pointers: rbp points to the caller's rbp, and the return address is above it.
    pub fn caller_by_pointers(&self, stack: &Stack<'_>) -> Option<Self> {
        let bp = self.get(X86_64::RBP).filter(|bp| *bp >= self.sp && bp % WORD == 0)?;
        let ip = stack.word(bp.checked_add(WORD)?)?;
        let kept = [None, Some(stack.word(bp)?), None, None, None, None];
        Some(Self { ip, sp: bp.checked_add(2 * WORD)?, kept })
    }

    /// The caller's frame by a row of the unwind table, which locates the caller's value of each register; `None` for
    /// the outermost frame, and when a needed value is unknown.
    pub fn caller<'a>(
        &self,
        row: &UnwindTableRow<usize>,
        section: &impl UnwindSection<Slice<'a>>,
        stack: &Stack<'_>,
    ) -> Option<Self> {
        let cfa = match row.cfa() {
            CfaRule::RegisterAndOffset { register, offset } => {
                self.get(*register)?.checked_add_signed(*offset)?
            }
            CfaRule::Expression(expression) => {
                expression::value(expression.get(section).ok()?, None, |register| self.get(register), stack)?
            }
        };
        let rule = |register: Register| match row.register(register) {
            // By the ABI, registers without a rule are unchanged, except the return address.
            None if register == X86_64::RA => None,
            None | Some(RegisterRule::SameValue) => self.get(register),
            Some(RegisterRule::Offset(offset)) => stack.word(cfa.checked_add_signed(offset)?),
            Some(RegisterRule::ValOffset(offset)) => cfa.checked_add_signed(offset),
            Some(RegisterRule::Register(other)) => self.get(other),
            Some(RegisterRule::Expression(expression)) => {
                let address = expression::value(
                    expression.get(section).ok()?,
                    Some(cfa),
                    |register| self.get(register),
                    stack,
                )?;
                stack.word(address)
            }
            Some(RegisterRule::ValExpression(expression)) => expression::value(
                expression.get(section).ok()?,
                Some(cfa),
                |register| self.get(register),
                stack,
            ),
            Some(RegisterRule::Constant(value)) => Some(value),
            Some(RegisterRule::Undefined | RegisterRule::Architectural) => None,
        };
        // The CFA is the caller's stack pointer, unless a rule says otherwise, as in signal frames.
        let sp = match row.register(X86_64::RSP) {
            None => cfa,
            Some(_) => rule(X86_64::RSP)?,
        };
        Some(Self { ip: rule(X86_64::RA)?, sp, kept: KEPT.map(rule) })
    }
}
