//! What Go retains: spans that its scavenger has not released yet.

use crate::allocator::advice::{Advice, Keeper, Remedy};

const MIB: u64 = 1 << 20;

/// The advice.
pub struct Go;

impl Advice for Go {
    fn place(&self) -> Option<&'static str> {
        Some("Go's spans")
    }

    fn reason(&self, _kept: &Keeper<'_>) -> String {
        "Go reuses them before it requests more; its scavenger returns idle spans slowly and keeps 10 % above \
         its goal"
            .to_owned()
    }

    fn remedies(&self, kept: &Keeper<'_>) -> Vec<Remedy> {
        let Some(limit) = kept.limit.filter(|_| kept.setting("GOMEMLIMIT") == Some("off")) else {
            return Vec::new();
        };
        // Memory outside the heap needs room too.
        let goal = limit.0 / 10 * 9 / MIB;
        vec![Remedy::setting(
            "tell Go's garbage collector the limit, so that it works harder near it",
            &format!("GOMEMLIMIT={goal}MiB"),
        )]
    }

    fn telling(&self) -> &'static [&'static str] {
        &["GOGC", "GOMEMLIMIT"]
    }
}
