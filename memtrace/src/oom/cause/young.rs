//! Young containers: a start that needs more than the limit, and a leak, look alike while they last.
//!
//! Input: a case. Output: whether it may still have been starting, and what would tell the two causes apart. Pure.

use super::{Case, CauseKind, Doubt, case::LONGEST_START};
use crate::units::Bytes;

/// The limit to try, as a multiple of the limit that was hit. Nobody knows what a start needs while it lasts; doubling finds it
/// in the fewest tries, and what it used then is the limit to set.
const ADVISED: f64 = 2.0;

/// Whether the victim's container is so young that it may still be starting.
pub fn is_starting(case: &Case<'_>) -> bool {
    case.container_age().is_some_and(|age| age <= LONGEST_START) && case.settled().is_none()
}

/// The other of the two causes, and the test that tells them apart.
pub fn doubt(case: &Case<'_>, limit: Bytes, kind: CauseKind) -> Doubt {
    let advised = advised(limit);
    let samples = case.samples();
    let ends = samples.first().zip(samples.last()).filter(|(first, last)| first.at < last.at);
    let rate = ends.map(|(first, last)| (last.value - first.value) / (last.at - first.at));
    let more = rate.filter(|rate| *rate > 0.0).map(|rate| (advised.0 - limit.0) as f64 / rate);
    let when = more.map_or_else(|| "in the end".to_owned(), |more| format!("about {more:.0} s later"));
    let settled_by = format!(
        "run it once with a limit of {advised}: a start levels off below that, a leak reaches it {when}"
    );
    Doubt { kind, settled_by }
}

/// The limit that would show it.
pub fn advised(limit: Bytes) -> Bytes {
    Bytes((limit.0 as f64 * ADVISED) as u64)
}
