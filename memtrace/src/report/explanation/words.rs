//! The phrases of an explanation, the same in all forms.
//!
//! Parts of an [`Explanation`] -> phrases. Must not lay out.

use crate::{
    allocator::counters::ArenaCounters,
    explain::{Explanation, Growth, Holding, Part, SinceStart},
    units::{Bytes, Grade},
    verdict::{Finding, growth::Ended, rate},
};

/// The verdict without findings.
pub(super) const NOTHING_UNUSUAL: &str = "nothing unusual in these figures";
/// The first figure of an allocator; those of its arenas follow.
pub(super) const IN_USE: &str = "  in use";
/// Smaller growth that has ended is no news.
const NOTABLE: u64 = 1 << 20;

/// `container shop/cart/redis: 61.0 MiB charged, 95 % of its limit of 64.0 MiB`.
pub(super) fn headline(explanation: &Explanation) -> String {
    let Explanation { name, kind, total_bytes, limit, .. } = explanation;
    let total = total_bytes.map_or_else(|| "unknown".to_owned(), |total| total.to_string());
    let verb = if kind == "process" { "resident" } else { "charged" };
    let of = match (limit, total_bytes) {
        (Some(limit), Some(total)) => {
            format!(", {} % of its limit of {}", percent(total.0, limit.bytes.0), limit.bytes)
        }
        (Some(limit), None) => format!(", limit {}", limit.bytes),
        (None, _) => ", no limit".to_owned(),
    };
    format!("{kind} {name}: {total} {verb}{of}")
}

/// What the total is.
pub(super) fn whole(explanation: &Explanation) -> &'static str {
    if explanation.kind == "process" { "Resident memory" } else { "Charged memory" }
}

/// The remainder as a part.
pub(super) fn remainder(bytes: i64) -> Part {
    let (name, means) = if bytes < 0 {
        ("subtract: counted twice", "the parts were read at different times")
    } else {
        ("remainder", "charged in advance, or not yet summed up")
    };
    Part::new(name, means, Bytes(bytes.unsigned_abs()), Grade::Read)
}

/// How fast it grows; `None` when it does not.
pub(super) fn growth(growth: &Growth) -> Option<String> {
    let Growth { bytes_per_second, seconds_to_limit, ended, since_start, stacks } = growth;
    if let Some(SinceStart { bytes, seconds }) = since_start {
        return Some(format!("it has taken {bytes} since it began {seconds:.1} s ago"));
    }
    if stacks.is_empty() && ended.is_none() && bytes_per_second.abs() < 1.0 {
        return None;
    }
    let left =
        seconds_to_limit.map_or_else(String::new, |left| format!(", which reaches its limit in {left:.0} s"));
    Some(match ended {
        Some(Ended { bytes, seconds_ago }) if bytes.0 >= NOTABLE => {
            format!("it grew by {bytes} until {seconds_ago:.0} s ago; {} since then", rate(*bytes_per_second))
        }
        _ => format!("{} now{left}", rate(*bytes_per_second)),
    })
}

/// The name of an allocator, its version, and in how many processes.
pub(super) fn title(holding: &Holding) -> String {
    let version = holding.version.as_deref().map_or_else(String::new, |version| format!(" {version}"));
    let many =
        if holding.processes > 1 { format!(", {} processes", holding.processes) } else { String::new() };
    format!("{}{version}{many}", holding.allocator)
}

/// The figures of an allocator with their meanings; `bound` is that of the first.
pub(super) fn figures<'a>(holding: &Holding, bound: &'a str) -> [(&'static str, Option<Bytes>, &'a str); 6] {
    [
        (IN_USE, holding.allocated_bytes, bound),
        ("  free, still resident", holding.free_resident_bytes, "kept for new allocations"),
        ("  freed lazily", holding.lazily_freed_bytes, "resident until the kernel reclaims it"),
        ("  metadata", holding.metadata_bytes, "used by the allocator itself"),
        ("  not counted", holding.untold_bytes, "gaps, rounding, parts without counters"),
        ("  virtual only", holding.retained_bytes, "address space without memory"),
    ]
}

/// The figure of an arena, and its meaning.
pub(super) fn arena(arena: &ArenaCounters) -> (Bytes, String) {
    let ArenaCounters { name: _, allocated_bytes, free_resident_bytes, system_bytes } = arena;
    let (bytes, mut means) = match (allocated_bytes, free_resident_bytes) {
        (Some(used), Some(free)) => (*used, format!("in use, and {free} free")),
        (Some(used), None) => (*used, "in use".to_owned()),
        (None, free) => (free.unwrap_or_default(), "free".to_owned()),
    };
    means.extend(system_bytes.map(|system| format!(", of {system}")));
    (bytes, means)
}

/// `NAME=VALUE` of each setting.
pub(super) fn settings(holding: &Holding) -> String {
    let settings: Vec<String> =
        holding.settings.iter().map(|setting| format!("{}={}", setting.name, setting.value)).collect();
    settings.join(" ")
}

/// The sentence of a finding, and how certain it is.
pub(super) fn finding(finding: &Finding) -> String {
    let confidence = format!("{:?}", finding.confidence).to_lowercase();
    format!("{} ({confidence} confidence)", finding.sentence)
}

/// Share in whole percent; 0 of nothing.
pub(super) fn percent(part: u64, whole: u64) -> u64 {
    let share = (u128::from(part) * 100 + u128::from(whole / 2)).checked_div(u128::from(whole));
    share.and_then(|share| u64::try_from(share).ok()).unwrap_or(0)
}
