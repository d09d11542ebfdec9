//! Allocator retention: much of the victim's memory was free in its allocator.
//!
//! Uses the allocator's own counters, read before the kill. Old counters are no evidence, because memory that was free
//! then may have been used since.

use super::{
    Case, Cause, CauseKind, Outcome,
    case::{fact, percent, share},
};
use crate::{
    units::{Bytes, Grade},
    verdict::{
        Confidence,
        retention::{self, Keeper, LEAST_SHARE},
    },
};

/// The least free memory, as a part of the usage under the limit.
const LEAST_OF_USAGE: f64 = 0.25;
/// The greatest age of counters, in seconds.
const OLDEST: f64 = 30.0;

pub fn check(case: &Case<'_>) -> Outcome {
    let memory = case.record.circumstances.victim_memory.as_ref();
    let memory = memory.ok_or("the victim's allocators are unknown")?;
    let (free, part) =
        retention::free(&memory.counters).ok_or("no allocator's counters could be read".to_owned())?;
    let age = memory.counters_age_seconds.unwrap_or(f64::INFINITY);
    if age > OLDEST {
        return Err(format!("the allocators' counters are {age:.0} s old"));
    }
    let usage = case.charged().ok_or("the usage is unknown")?;
    // What grew since the counters were read may be in what was free then.
    let grown = case.grown_since(age);
    let left = Bytes(free.0.saturating_sub(grown.0));
    if part < LEAST_SHARE || share(left, usage) < LEAST_OF_USAGE {
        return Ok(None);
    }
    let most = memory.counters.iter().max_by_key(|of| of.free_resident_bytes);
    let mut evidence: Vec<_> = memory
        .counters
        .iter()
        .filter_map(|of| {
            let (free, allocated) = (of.free_resident_bytes?, of.allocated_bytes?);
            Some(fact(
                format!("free but resident in {}", of.allocator),
                format!("{free}, with {allocated} in use"),
                of.grade,
            ))
        })
        .collect();
    evidence.push(fact("age of these counters", format!("{age:.0} s"), Grade::Read));
    if grown.0 > 0 {
        evidence.push(fact("growth since then", grown, Grade::Read));
    }
    let at_least = if grown.0 > 0 { "at least " } else { "" };
    Ok(Some(Cause {
        kind: CauseKind::AllocatorRetention,
        confidence: if part >= 0.5 && age <= 10.0 { Confidence::High } else { Confidence::Medium },
        sentence: format!(
            "{at_least}{left} was free but kept by {}: {} of the memory of its allocators was free when it was read",
            most.map_or("its allocator", |of| of.allocator.as_str()),
            percent(part)
        ),
        evidence,
        remedies: most.map_or_else(Vec::new, |of| Keeper::of(of, case.limit).remedies()),
        doubt: None,
    }))
}
