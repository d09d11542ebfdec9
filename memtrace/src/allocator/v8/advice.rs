//! What V8's heap may grow to.
//!
//! Heap limit = old generation + young generation. `--max-old-space-size` gives the first in MiB. The second is three
//! times `--max-semi-space-size`: two semi-spaces and as much for large objects (V8: `Heap::MaxReserved`,
//! `Heap::YoungGenerationSizeFromSemiSpaceSize`). If the semi-spaces have their default size, which differs with version
//! and memory and is 16 MiB at most, they are not counted. Without `--max-old-space-size` V8 chooses by the memory that
//! it saw at its start, so nothing is stated. Buffers, code and WebAssembly memory are outside the heap; each worker
//! thread has a heap of its own.

use super::counters::{OLD, SEMI, SET_BY};
use crate::{
    allocator::{
        advice::{Advice, Ceiling, Form, Keeper},
        counters::Counters,
    },
    units::Bytes,
};

const MIB: u64 = 1 << 20;
/// Semi-spaces in the young generation, and as much as one of them for large objects.
const SEMI_SPACES: u64 = 3;

/// The advice.
pub struct V8;

impl Advice for V8 {
    fn ceiling(&self, of: &Counters, _limit: Option<Bytes>) -> Option<Ceiling> {
        let kept = Keeper::of(of, None);
        let old = kept.number(OLD)?;
        let young = kept.number(SEMI).unwrap_or_default().saturating_mul(SEMI_SPACES);
        let flag = format!("{OLD}={old}");
        let set_by = match kept.setting(SET_BY) {
            Some(OLD) | None => flag,
            Some(variable) => format!("{variable}: {flag}"),
        };
        Some(Ceiling {
            part: "V8's heap",
            most: Some(Bytes(old.saturating_add(young).saturating_mul(MIB))),
            set_by,
            rows: ("v8", "page"),
            held: Bytes(0),
            form: Form::Mib("--max-old-space-size=", ""),
        })
    }
}
