//! Kills that were sent to a collector, and those that were not.
//!
//! [`Counts`] -> families.

use super::family::Family;
use crate::export::otlp::Counts;

pub(super) fn families(counts: &Counts) -> [Family; 3] {
    let Counts { sent, dropped, failures } = counts;
    [
        Family::counter("memtrace_otlp_kills_sent_total", "OOM kills that the OTLP collector took.")
            .one(Some(*sent as f64)),
        Family::counter(
            "memtrace_otlp_kills_dropped_total",
            "OOM kills that the OTLP collector refused, or that were deleted before it took them.",
        )
        .one(Some(*dropped as f64)),
        Family::counter(
            "memtrace_otlp_failures_total",
            "Requests to the OTLP collector that failed; they are repeated.",
        )
        .one(Some(*failures as f64)),
    ]
}
