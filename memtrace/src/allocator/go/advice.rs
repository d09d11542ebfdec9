//! What Go retains: spans that its scavenger has not released yet; and what its heap may grow to.

use crate::{
    allocator::{
        advice::{Advice, Beside, Ceiling, Form, Keeper, Remedy},
        counters::Counters,
    },
    units::Bytes,
};

const MIB: u64 = 1 << 20;

/// The advice.
pub struct Go;

impl Advice for Go {
    fn ceiling(&self, of: &Counters, _limit: Option<Bytes>) -> Option<Ceiling> {
        let kept = Keeper::of(of, None);
        let (most, set_by) = match (kept.number("GOMEMLIMIT"), kept.setting("GOGC")) {
            (Some(limit), _) => (Some(Bytes(limit)), format!("GOMEMLIMIT={limit}")),
            (None, Some("off")) => (None, "GOGC=off without GOMEMLIMIT".to_owned()),
            // The heap may grow to a multiple of what is live, which is no bound to compare with a limit.
            (None, _) => return None,
        };
        let parts = [of.allocated_bytes, of.free_resident_bytes];
        let held = parts.into_iter().flatten().map(|bytes| bytes.0).fold(0, u64::saturating_add);
        Some(Ceiling {
            part: "Go's heap",
            rows: ("go", "heap"),
            most,
            set_by,
            held: Bytes(held),
            form: Form::Mib("GOMEMLIMIT=", "MiB"),
            beside: Beside::default(),
        })
    }

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocator::{advice::ceiling, counters::Setting};

    fn of(percent: &str, limit: &str) -> Option<Ceiling> {
        let setting = |name: &str, value: &str| Setting { name: name.to_owned(), value: value.to_owned() };
        let counters = Counters {
            allocator: "go".to_owned(),
            allocated_bytes: Some(Bytes(40 << 20)),
            free_resident_bytes: Some(Bytes(2 << 20)),
            settings: vec![setting("GOGC", percent), setting("GOMEMLIMIT", limit)],
            ..Counters::default()
        };
        ceiling(&counters, None)
    }

    #[test]
    fn a_collector_that_is_off_needs_a_limit() {
        assert_eq!(of("100", "off"), None);
        assert_eq!(of("off", "off").unwrap().most, None);
        let bounded = of("off", "268435456").unwrap();
        assert_eq!((bounded.most, bounded.held), (Some(Bytes(256 << 20)), Bytes(42 << 20)));
        assert_eq!(bounded.bounded(Bytes(200 << 20)), "GOMEMLIMIT=200MiB");
    }
}
