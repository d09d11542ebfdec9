//! What .NET's heap may grow to.
//!
//! `GCHeapHardLimit` bytes, else `GCHeapHardLimitPercent` of the memory that the container may use: the limit that it saw
//! at its start (learn.microsoft.com, "Runtime configuration options for garbage collection"). With limits of single
//! heaps, or without any, nothing is stated: `runtimeconfig.json` may set one, and the default differs with version and
//! limit.

use super::counters::{LIMIT, OF_HEAPS, PERCENT};
use crate::{
    allocator::{
        advice::{Advice, Beside, Ceiling, Form, Keeper},
        counters::Counters,
    },
    units::Bytes,
};

/// The advice.
pub struct Dotnet;

impl Advice for Dotnet {
    fn ceiling(&self, of: &Counters, limit: Option<Bytes>) -> Option<Ceiling> {
        let kept = Keeper::of(of, limit);
        if OF_HEAPS.iter().any(|name| kept.setting(name).is_some()) {
            return None;
        }
        let bytes = kept.number(LIMIT).filter(|bytes| *bytes > 0);
        let (most, name) = match (bytes, kept.number(PERCENT).filter(|percent| (1..100).contains(percent))) {
            (Some(bytes), _) => (bytes, LIMIT),
            (None, Some(percent)) => (limit?.0 / 100 * percent, PERCENT),
            (None, None) => return None,
        };
        Some(Ceiling {
            part: ".NET's heap",
            most: Some(Bytes(most)),
            set_by: format!("DOTNET_{name}"),
            rows: ("dotnet", "gc heap"),
            held: Bytes(0),
            form: Form::Hex("DOTNET_GCHeapHardLimit=0x"),
            beside: Beside::default(),
        })
    }
}
