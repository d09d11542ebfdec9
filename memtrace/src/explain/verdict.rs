//! Findings from a single snapshot: whether memory is retained or used.
//!
//! Holdings, a total and the findings of history -> findings, most important first. Pure. Makes no claim that the
//! numbers do not support.

use super::{Holding, coverage, picture::Picture};
use crate::{
    allocator::counters::Counters,
    snapshot::ArenaRow,
    units::Bytes,
    verdict::{
        Finding, Kind, ceiling,
        retention::{self, Keeper, Kept},
    },
};

/// Findings of this snapshot, and those of history with further information.
pub(super) fn findings(
    picture: &Picture<'_>,
    holdings: &[Holding],
    total: Option<Bytes>,
    history: Vec<Finding>,
    firm: Option<Bytes>,
) -> Vec<Finding> {
    let retained: Vec<Finding> =
        holdings.iter().filter_map(|holding| retention(picture, holding, total)).collect();
    let counters: Vec<Counters> = picture
        .processes
        .iter()
        .filter_map(|row| row.memory.as_ref())
        .flat_map(|memory| memory.counters.iter().cloned())
        .collect();
    let limit = picture.limit.as_ref().map(|limit| limit.bytes);
    let rows: Vec<ArenaRow> = picture
        .processes
        .iter()
        .filter_map(|row| row.memory.as_ref())
        .flat_map(|memory| memory.arenas.iter().cloned())
        .collect();
    let above = limit.zip(firm).and_then(|(limit, firm)| ceiling::above(&counters, &rows, limit, firm));
    let above = above.map(|above| ceiling::finding(&above));
    // The same finding with less detail, or of an older reading.
    let is_said = |finding: &Finding| {
        finding.kind == Kind::Retention && !retained.is_empty() || finding.kind == Kind::Ceiling
    };
    let (leaks, others): (Vec<Finding>, Vec<Finding>) = history
        .into_iter()
        .filter(|finding| !is_said(finding))
        .partition(|finding| finding.kind == Kind::Leak);
    let uncovered = holdings.iter().filter_map(coverage::finding);
    leaks.into_iter().chain(above).chain(retained).chain(uncovered).chain(others).collect()
}

/// Applies the common retention rule; also `None` when its figures are unknown.
fn retention(picture: &Picture<'_>, holding: &Holding, total: Option<Bytes>) -> Option<Finding> {
    let Holding { allocator, settings, arenas, .. } = holding;
    let limit = picture.limit.as_ref().map(|limit| limit.bytes);
    let kept = Kept {
        free: holding.free_resident_bytes?,
        allocated: holding.allocated_bytes?,
        error: holding.error_bytes,
        grade: holding.grade,
        keeper: Keeper { allocator, settings, arenas: *arenas, limit },
    };
    retention::judge(&kept, total)
}
