//! DWARF expressions of unwind tables, as in the stubs of a PLT.
//!
//! Input: an expression, registers, stack. Output: its value. They can loop, and are anybody's: steps are bounded.

use gimli::{
    Encoding, EndianSlice, Evaluation, EvaluationResult, Expression, Format, Location, NativeEndian,
    Register, Value,
};

use super::Stack;

/// What tables are read from.
pub type Slice<'a> = EndianSlice<'a, NativeEndian>;

/// Operations of one expression. Those that compilers write have ten or so.
const MOST_STEPS: u32 = 256;
/// As `.eh_frame` has it on x86-64. The version is for what unwind tables do not use.
const ENCODING: Encoding = Encoding { address_size: 8, format: Format::Dwarf32, version: 4 };

/// The value; `initial` is what the stack of the evaluation begins with. `None` where something is not known.
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
