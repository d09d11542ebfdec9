//! What V8's heap may grow to.
//!
//! Heap limit = old generation + young generation. `--max-old-space-size` gives the first in MiB. The second is three
//! times `--max-semi-space-size`: two semi-spaces and as much for large objects (V8: `Heap::MaxReserved`,
//! `Heap::YoungGenerationSizeFromSemiSpaceSize`). By default V8 chooses the size of a semi-space by the memory that it saw
//! at its start, the node's or the container's: a 128th of an old generation of half of that, 1 MiB at least and 16 MiB at
//! most (`kMinSemiSpaceSize`, `kMaxSemiSpaceSize`, `kOldGenerationToSemiSpaceRatio` on 64 bits without compressed
//! pointers, as Node has them). So the most is stated, and the difference is in doubt. Without `--max-old-space-size` V8
//! chooses that one in the same way, so nothing is stated. Buffers, code and WebAssembly memory are outside the heap; each
//! worker thread has a heap of its own.

use super::counters::{OLD, SEMI, SET_BY};
use crate::{
    allocator::{
        advice::{Advice, Beside, Ceiling, Form, Keeper},
        counters::Counters,
    },
    units::Bytes,
};

const MIB: u64 = 1 << 20;
/// Semi-spaces in the young generation, and as much as one of them for large objects.
const SEMI_SPACES: u64 = 3;
/// MiB of a semi-space by default.
const SMALLEST: u64 = 1;
const LARGEST: u64 = 16;
/// MiB of a semi-space in an advice: V8's default for a container of 1 GiB.
const ADVISED: u64 = 4;

/// The setting for it, after the other one.
const WITH_SEMI: &str = " --max-semi-space-size=4";

/// The advice.
pub struct V8;

impl Advice for V8 {
    fn ceiling(&self, of: &Counters, _limit: Option<Bytes>) -> Option<Ceiling> {
        let kept = Keeper::of(of, None);
        let old = kept.number(OLD)?;
        let bytes = |mib: u64| Bytes(mib.saturating_mul(MIB));
        let young = |semi: u64| bytes(semi.saturating_mul(SEMI_SPACES));
        let flag = format!("{OLD}={old}");
        let set_by = match kept.setting(SET_BY) {
            Some(OLD) | None => flag,
            Some(variable) => format!("{variable}: {flag}"),
        };
        let (most, set_by, beside, with) = match kept.number(SEMI) {
            Some(semi) => (young(semi), set_by, Beside { unsure: Bytes(0), advised: young(semi) }, ""),
            None => {
                let most = young(LARGEST);
                let set_by = format!("{set_by}, and {most} of young generation at most");
                let unsure = Bytes(most.0 - young(SMALLEST).0);
                (most, set_by, Beside { unsure, advised: young(ADVISED) }, WITH_SEMI)
            }
        };
        Some(Ceiling {
            part: "V8's heap",
            most: Some(Bytes(bytes(old).0.saturating_add(most.0))),
            set_by,
            rows: ("v8", "page"),
            held: Bytes(0),
            form: Form::Mib("--max-old-space-size=", with),
            beside,
        })
    }
}
