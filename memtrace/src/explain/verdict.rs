//! What it means, from one look: reserved or used.
//!
//! Holdings, a total and the findings of history -> findings, most telling first. Pure. What the numbers do not carry is
//! not said.

use super::{Holding, advice, build::Picture};
use crate::{
    units::{Bytes, Grade},
    verdict::{Confidence, Fact, Finding, Kind, retention::BACKGROUND},
};

/// The free part must be this part, in percent, of what is allocated and free together.
const LEAST_SHARE: u64 = 30;
/// Less is not worth a word.
const LEAST: u64 = 8 << 20;

/// Findings of one look, and those of history that say more.
pub(super) fn of(
    picture: &Picture<'_>,
    holdings: &[Holding],
    total: Option<Bytes>,
    history: Vec<Finding>,
) -> Vec<Finding> {
    let retained: Vec<Finding> =
        holdings.iter().filter_map(|holding| retention(picture, holding, total)).collect();
    // The same thing with less in it.
    let is_said = |finding: &Finding| finding.kind == Kind::Retention && !retained.is_empty();
    let (leaks, others): (Vec<Finding>, Vec<Finding>) = history
        .into_iter()
        .filter(|finding| !is_said(finding))
        .partition(|finding| finding.kind == Kind::Leak);
    leaks.into_iter().chain(retained).chain(others).collect()
}

/// Reserved, not leaked.
fn retention(picture: &Picture<'_>, holding: &Holding, total: Option<Bytes>) -> Option<Finding> {
    let (free, allocated) = (holding.free_resident_bytes?, holding.allocated_bytes?);
    let all = free.0.saturating_add(allocated.0);
    if free.0 < LEAST || u128::from(free.0) * 100 < u128::from(all) * u128::from(LEAST_SHARE) {
        return None;
    }
    let mut evidence = vec![
        fact(format!("free but resident in {}", holding.allocator), free.to_string(), holding.grade),
        fact("in use by the program", allocated.to_string(), holding.grade),
    ];
    if let Some(error) = holding.error_bytes.filter(|error| error.0 > 0) {
        evidence.push(fact("maximum error", error.to_string(), Grade::Inferred));
    }
    for setting in holding.settings.iter().filter(|setting| is_telling(&setting.name)) {
        evidence.push(fact(&setting.name, setting.value.clone(), Grade::Read));
    }
    // Of all that is charged, or resident, where that is known.
    let whole = total.map_or(Bytes(all), |total| total.max(free));
    let is_exact = holding.error_bytes == Some(Bytes(0)) || free.0 > allocated.0;
    Some(Finding {
        kind: Kind::Retention,
        confidence: if is_exact { Confidence::High } else { Confidence::Medium },
        sentence: format!(
            "reserved, not leaked: {free} of {whole} are free in {}; {}",
            advice::place(&holding.allocator),
            advice::reason(holding),
        ),
        evidence,
        remedies: advice::remedies(holding, picture.limit.as_ref()),
    })
}

fn is_telling(name: &str) -> bool {
    matches!(
        name,
        "dirty_decay_ms"
            | BACKGROUND
            | "GOGC"
            | "GOMEMLIMIT"
            | "trim_threshold"
            | "mmap_threshold"
            | "collector"
            | "arena_max"
    )
}

fn fact(what: impl Into<String>, value: String, grade: Grade) -> Fact {
    Fact { what: what.into(), value, grade }
}
