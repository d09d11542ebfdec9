//! Ceilings: runtimes that may grow beyond the limit that they run under.
//!
//! Counters, a limit, firm memory -> a finding. A runtime that knows no better grows to its own ceiling, and is killed on
//! the way if the limit is lower. Verdicts on the living and causes of kills share this rule.

use super::{Confidence, Fact, Finding, Kind, Outcome, Picture, Remedy};
use crate::{
    allocator::{
        advice::{self, Ceiling},
        counters::Counters,
    },
    units::{Bytes, Grade},
};

/// Runtimes that hold less than this part of the limit do not decide.
const LEAST_HELD: f64 = 0.1;
/// Room that is kept beside what everything else takes now.
const RESERVE: f64 = 1.1;
const MIB: u64 = 1 << 20;

/// Runtimes under one limit that together may grow beyond it.
#[derive(Clone, Debug)]
pub struct Above {
    /// The one that holds most.
    pub first: Ceiling,
    /// How many there are.
    pub count: usize,
    /// What they may hold together; `None` without a bound.
    pub most: Option<Bytes>,
    /// What they hold.
    pub held: Bytes,
    /// What everything else under the limit takes.
    pub outside: Bytes,
    /// The limit.
    pub limit: Bytes,
}

/// The runtimes that may grow beyond the limit; `None` when all fits.
pub fn above(counters: &[Counters], limit: Bytes, firm: Bytes) -> Option<Above> {
    let mut ceilings: Vec<Ceiling> = counters.iter().filter_map(advice::ceiling).collect();
    ceilings.sort_by_key(|ceiling| std::cmp::Reverse(ceiling.held));
    let sum = |of: fn(&Ceiling) -> u64| ceilings.iter().map(of).fold(0, u64::saturating_add);
    let held = Bytes(sum(|ceiling| ceiling.held.0));
    let is_bounded = ceilings.iter().all(|ceiling| ceiling.most.is_some());
    let most = is_bounded.then(|| Bytes(sum(|ceiling| ceiling.most.unwrap_or_default().0)));
    let outside = Bytes(firm.0.saturating_sub(held.0));
    let fits = most.is_some_and(|most| most.0.saturating_add(outside.0) <= limit.0);
    if fits || (held.0 as f64) < LEAST_HELD * limit.0 as f64 {
        return None;
    }
    Some(Above { count: ceilings.len(), first: ceilings.into_iter().next()?, most, held, outside, limit })
}

impl Above {
    /// "the Java heap may grow to 512.0 MiB (-Xmx512m), the limit is 256.0 MiB"
    pub fn sentence(&self) -> String {
        let Self { first, count, most, outside, limit, .. } = self;
        let part = if *count > 1 { format!("{count} × {}", first.part) } else { first.part.to_owned() };
        let Some(most) = most else {
            return format!("{part} has no bound ({}), the limit is {limit}", first.set_by);
        };
        let together = if *count > 1 { " together" } else { "" };
        let start = format!("{part} may grow to {most}{together} ({})", first.set_by);
        if most.0 >= limit.0 {
            format!("{start}, the limit is {limit}")
        } else {
            format!("{start}, and everything else takes {outside}: more than the limit of {limit}")
        }
    }

    /// Whether the ceiling alone is above the limit.
    pub fn is_by_itself(&self) -> bool {
        self.most.is_none_or(|most| most.0 >= self.limit.0)
    }

    /// The figures.
    pub fn evidence(&self) -> Vec<Fact> {
        let fact = |what: &str, value: String, grade| Fact { what: what.to_owned(), value, grade };
        let most = self.most.map_or_else(|| "no bound".to_owned(), |most| most.to_string());
        vec![
            fact("may grow to", most, Grade::Read),
            fact("set by", self.first.set_by.clone(), Grade::Read),
            fact("resident there now", self.held.to_string(), Grade::Measured),
            fact("everything else, without page cache", self.outside.to_string(), Grade::Inferred),
            fact("limit", self.limit.to_string(), Grade::Read),
        ]
    }

    /// A lower ceiling, if there is room for one, or a higher limit.
    pub fn remedies(&self) -> Vec<Remedy> {
        let Self { first, count, most, outside, limit, .. } = self;
        let reserved = (outside.0 as f64 * RESERVE) as u64;
        let room = limit.0.saturating_sub(reserved) / (*count).max(1) as u64 / MIB * MIB;
        let each = if *count > 1 { " each" } else { "" };
        let lower = (room >= limit.0 / 4).then(|| {
            let text =
                format!("let it grow{each} to {} at most, beside {outside} of everything else", Bytes(room));
            Remedy::setting(&text, &first.bounded(Bytes(room)))
        });
        let higher = most.map(|most| {
            let advised = Bytes(most.0.saturating_add(reserved).div_ceil(MIB) * MIB);
            Remedy {
                text: format!("or raise the limit to {advised}, which has room for both"),
                setting: Some(advised.0.to_string()),
            }
        });
        lower.into_iter().chain(higher).collect()
    }
}

pub fn check(picture: &Picture<'_>) -> Outcome {
    let Some(limit) = picture.limit else { return Ok(None) };
    if picture.counters.is_empty() {
        return Err("no allocator's counters could be read".to_owned());
    }
    let firm = picture.firm.ok_or("its memory by kind is unknown")?;
    Ok(above(picture.counters, limit, firm).map(|above| finding(&above)))
}

/// The finding.
pub fn finding(above: &Above) -> Finding {
    Finding {
        kind: Kind::Ceiling,
        confidence: if above.is_by_itself() { Confidence::High } else { Confidence::Medium },
        sentence: above.sentence(),
        evidence: above.evidence(),
        remedies: above.remedies(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocator::counters::Setting;

    fn jvm(most: u64, held: u64) -> Counters {
        Counters {
            allocator: "jvm".to_owned(),
            allocated_bytes: Some(Bytes(held * MIB)),
            free_resident_bytes: Some(Bytes(0)),
            settings: vec![
                Setting { name: "MaxHeapSize".to_owned(), value: (most * MIB).to_string() },
                Setting { name: "arguments".to_owned(), value: format!("-Xmx{most}m") },
            ],
            ..Counters::default()
        }
    }

    fn judged(counters: &[Counters], limit: u64, firm: u64) -> Option<Finding> {
        let (limit, firm) = (Some(Bytes(limit * MIB)), Some(Bytes(firm * MIB)));
        check(&Picture { counters, limit, firm, ..Picture::default() }).unwrap()
    }

    #[test]
    fn a_heap_that_may_outgrow_the_limit_is_found_with_a_setting_that_fits() {
        let found = judged(&[jvm(512, 150)], 256, 230).unwrap();
        assert_eq!((found.kind, found.confidence), (Kind::Ceiling, Confidence::High));
        let [lower, higher] = found.remedies.as_slice() else { panic!("{found:?}") };
        // 256 MiB less 80 MiB and a tenth of that.
        assert_eq!(lower.setting.as_deref(), Some("-Xmx168m"));
        assert_eq!(higher.setting.as_deref(), Some((600 * MIB).to_string().as_str()));
    }

    #[test]
    fn what_else_there_is_counts_too() {
        assert_eq!(judged(&[jvm(240, 150)], 300, 200), None, "50 MiB beside it fit");
        let found = judged(&[jvm(240, 150)], 300, 230).unwrap();
        assert_eq!(found.confidence, Confidence::Medium);
        assert!(found.sentence.contains("everything else takes 80.0 MiB"), "{}", found.sentence);
        let four = [jvm(100, 60), jvm(100, 50), jvm(100, 40), jvm(100, 30)];
        assert_eq!(judged(&four, 500, 250), None);
        assert!(judged(&four, 400, 250).unwrap().sentence.starts_with("4 × the Java heap"));
    }

    #[test]
    fn a_small_runtime_beside_others_does_not_decide() {
        assert_eq!(judged(&[jvm(512, 10)], 256, 230), None);
    }

    #[test]
    fn without_figures_it_abstains() {
        assert!(check(&Picture { limit: Some(Bytes(1)), ..Picture::default() }).is_err());
        assert_eq!(check(&Picture::default()), Ok(None));
    }
}
