//! DWARF expressions of unwind tables, as in the stubs of a PLT.
//!
//! Input: an expression, registers, stack. Output: its value. Expressions can loop and are untrusted, so steps are
//! bounded.

use gimli::{
    Encoding, EndianSlice, Evaluation, EvaluationResult, Expression, Format, Location, NativeEndian,
    Register, Value,
};

use super::Stack;

/// The input of table readers.
pub type Slice<'a> = EndianSlice<'a, NativeEndian>;

/// The most operations of one expression. Compilers write about ten.
const MOST_STEPS: u32 = 256;
/// The encoding of `.eh_frame` on x86-64. The version only matters for operations that unwind tables do not use.
const ENCODING: Encoding = Encoding { address_size: 8, format: Format::Dwarf32, version: 4 };

/// Evaluates an expression; `initial` is the initial stack of the evaluation. `None` when a value is unknown.
pub fn value(
    expression: Expression<Slice<'_>>,
    initial: Option<u64>,
    registers: impl Fn(Register) -> Option<u64>,
    stack: &Stack<'_>,
) -> Option<u64> {
    let mut evaluation: Evaluation<Slice<'_>> = expression.evaluation(ENCODING);
    evaluation.set_max_iterations(MOST_STEPS);
    if let Some(initial) = initial {
        evaluation.set_initial_value(initial);
    }
    let mut result = evaluation.evaluate().ok()?;
    loop {
        result = match result {
            EvaluationResult::Complete => break,
            EvaluationResult::RequiresRegister { register, .. } => {
                evaluation.resume_with_register(Value::Generic(registers(register)?))
            }
            EvaluationResult::RequiresMemory { address, size, .. } => {
                let word = stack.word(address).filter(|_| size == 8)?;
                evaluation.resume_with_memory(Value::Generic(word))
            }
            _ => return None,
        }
        .ok()?;
    }
    match evaluation.as_result().last()?.location {
        Location::Address { address } => Some(address),
        _ => None,
    }
}
