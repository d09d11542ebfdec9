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
    snapshot::ArenaRow,
    units::{Bytes, Grade},
};

/// Runtimes that hold less than this part of the limit do not decide.
const LEAST_HELD: f64 = 0.1;
/// Growth is that of a part if the part has at least this share of it.
const MOST_GROWTH: f64 = 0.8;
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
    /// What they may hold together without doubt.
    pub sure: Option<Bytes>,
    /// What they hold.
    pub held: Bytes,
    /// What everything else under the limit takes.
    pub outside: Bytes,
    /// The limit.
    pub limit: Bytes,
}

/// The runtimes that may grow beyond the limit; `None` when all fits. What they hold is in the rows, which are newer than
/// the counters; without rows it is what the counters say.
pub fn above(counters: &[Counters], rows: &[ArenaRow], limit: Bytes, firm: Bytes) -> Option<Above> {
    let mut ceilings: Vec<Ceiling> =
        counters.iter().filter_map(|of| advice::ceiling(of, Some(limit))).collect();
    ceilings.sort_by_key(|ceiling| std::cmp::Reverse(ceiling.held));
    let sum = |of: fn(&Ceiling) -> u64| ceilings.iter().map(of).fold(0, u64::saturating_add);
    let is_held = |row: &&ArenaRow| ceilings.iter().any(|ceiling| is_of(row, ceiling));
    let resident = rows.iter().filter(is_held).map(|row| row.resident_bytes.0).reduce(u64::saturating_add);
    let held = Bytes(resident.unwrap_or_else(|| sum(|ceiling| ceiling.held.0)));
    let is_bounded = ceilings.iter().all(|ceiling| ceiling.most.is_some());
    let most = is_bounded.then(|| Bytes(sum(|ceiling| ceiling.most.unwrap_or_default().0)));
    let sure = is_bounded.then(|| Bytes(sum(|ceiling| ceiling.sure().unwrap_or_default().0)));
    let outside = Bytes(firm.0.saturating_sub(held.0));
    let fits = most.is_some_and(|most| most.0.saturating_add(outside.0) <= limit.0);
    if fits || (held.0 as f64) < LEAST_HELD * limit.0 as f64 {
        return None;
    }
    let count = ceilings.len();
    Some(Above { first: ceilings.into_iter().next()?, count, most, sure, held, outside, limit })
}

/// Whether a row is a part of what the ceiling bounds.
fn is_of(row: &ArenaRow, ceiling: &Ceiling) -> bool {
    let (allocator, kind) = ceiling.rows;
    row.allocator == allocator && (kind == Ceiling::ANY_KIND || row.kind == kind)
}

/// Whether memory grows inside parts that have a bound, such as a heap on the way to its maximum. False when no bound is
/// known, or not where memory grows.
pub fn grows_within(counters: &[Counters], rows: &[ArenaRow], limit: Option<Bytes>) -> bool {
    let bounded: Vec<Ceiling> = counters
        .iter()
        .filter_map(|of| advice::ceiling(of, limit))
        .filter(|ceiling| ceiling.most.is_some())
        .collect();
    let is_bounded = |row: &ArenaRow| bounded.iter().any(|ceiling| is_of(row, ceiling));
    // The longest time over which the growth of such a part is known.
    let grown = |row: &ArenaRow, window: usize| row.growth_bytes.get(window).copied().flatten();
    let window =
        (0..3).rev().find(|window| rows.iter().any(|row| is_bounded(row) && grown(row, *window).is_some()));
    let Some(window) = window else { return false };
    let sum = |of: &dyn Fn(&ArenaRow) -> bool| {
        let grown = rows.iter().filter(|row| of(row)).filter_map(|row| grown(row, window));
        grown.filter(|grown| *grown > 0).fold(0_i64, i64::saturating_add)
    };
    let (within, all) = (sum(&is_bounded), sum(&|_| true));
    within > 0 && within as f64 >= MOST_GROWTH * all as f64
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

    /// Whether the ceiling alone is above the limit without doubt.
    pub fn is_by_itself(&self) -> bool {
        self.sure.is_none_or(|sure| sure.0 >= self.limit.0)
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
    Ok(above(picture.counters, picture.arenas, limit, firm).map(|above| finding(&above)))
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
    fn a_default_that_is_not_known_exactly_is_not_sure() {
        let node = |old: &str| Counters {
            allocator: "v8".to_owned(),
            settings: vec![Setting { name: "--max-old-space-size".to_owned(), value: old.to_owned() }],
            ..Counters::default()
        };
        let row = ArenaRow {
            allocator: "v8".into(),
            kind: "page".into(),
            arenas: 1,
            mapped_bytes: Bytes(200 * MIB),
            resident_bytes: Bytes(200 * MIB),
            lazy_free_bytes: Bytes(0),
            swapped_bytes: Bytes(0),
            pss_bytes: None,
            grade: Grade::Measured,
            growth_bytes: [None; 3],
        };
        let judged = |old| {
            above(&[node(old)], std::slice::from_ref(&row), Bytes(320 * MIB), Bytes(240 * MIB)).map(|above| {
                let found = finding(&above);
                (found.confidence, found.sentence)
            })
        };
        assert_eq!(judged("200"), None, "248 beside 40");
        let (confidence, sentence) = judged("300").unwrap();
        assert_eq!(confidence, Confidence::Medium, "its semi-spaces may take 3 MiB only");
        assert!(
            sentence.starts_with("V8's heap may grow to 348.0 MiB (--max-old-space-size=300, and"),
            "{sentence}"
        );
        assert_eq!(judged("320").unwrap().0, Confidence::High);
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
