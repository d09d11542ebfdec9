//! Retention: an allocator keeps much free memory.
//!
//! Counters of allocators -> a finding. Verdicts over time and explanations share this rule. It needs the counters and
//! abstains without them. Memory given back lazily (MADV_FREE) does not count, because the kernel can reclaim it.

use std::collections::BTreeMap;

use super::{Confidence, Fact, Finding, Kind, Outcome, Picture};
pub use crate::allocator::advice::Keeper;
use crate::{
    allocator::counters::Counters,
    units::{Bytes, Grade},
};

/// The least free memory, as a fraction of free and allocated memory.
pub const LEAST_SHARE: f64 = 0.3;
/// The least free memory in bytes; an allocator keeps less than this for speed.
const LEAST: u64 = 16 << 20;
/// From this fraction on the finding is certain, even if the error of the figures is unknown.
const SURE_SHARE: f64 = 0.5;

/// Allocated and free memory of an allocator, in one process or several.
#[derive(Clone, Copy, Debug)]
pub struct Kept<'a> {
    /// Free, but resident.
    pub free: Bytes,
    /// Allocated by the program and not freed.
    pub allocated: Bytes,
    /// The greatest error of the allocated bytes; `None` when it is unknown.
    pub error: Option<Bytes>,
    /// How the figures were determined.
    pub grade: Grade,
    /// The allocator, and its version and settings as far as they are known.
    pub keeper: Keeper<'a>,
}

impl Kept<'_> {
    fn is_much(&self) -> bool {
        self.free.0 >= LEAST && share(self.free.0, self.allocated.0) >= LEAST_SHARE
    }

    /// Whether the rule also holds with the greatest error of the figures.
    fn is_certain(&self) -> bool {
        let far = |error: Bytes| {
            share(self.free.0.saturating_sub(error.0), self.allocated.0.saturating_add(error.0))
                >= LEAST_SHARE
        };
        let is_sure = || share(self.free.0, self.allocated.0) >= SURE_SHARE;
        self.grade == Grade::Read && self.error.map_or_else(is_sure, far)
    }
}

fn share(free: u64, allocated: u64) -> f64 {
    free as f64 / (free as f64 + allocated as f64).max(1.0)
}

/// The rule. `whole` is the charged or resident memory, if it is known.
pub fn judge(kept: &Kept<'_>, whole: Option<Bytes>) -> Option<Finding> {
    if !kept.is_much() {
        return None;
    }
    let Kept { free, allocated, error, grade, keeper } = kept;
    let mut evidence = vec![
        fact(format!("free but resident in {}", keeper.allocator), free.to_string(), *grade),
        fact("in use by the program", allocated.to_string(), *grade),
    ];
    if let Some(error) = error.filter(|error| error.0 > 0) {
        evidence.push(fact("maximum error", error.to_string(), Grade::Inferred));
    }
    evidence.extend(keeper.telling().map(|set| fact(&set.name, set.value.clone(), Grade::Read)));
    let held = Bytes(free.0.saturating_add(allocated.0));
    let whole = whole.map_or(held, |whole| whole.max(*free));
    Some(Finding {
        kind: Kind::Retention,
        confidence: if kept.is_certain() { Confidence::High } else { Confidence::Medium },
        sentence: format!(
            "reserved, not leaked: {free} of {whole} are free in {}, {:.0} % of what {} holds; {}",
            keeper.place(),
            share(free.0, allocated.0) * 100.0,
            keeper.allocator,
            keeper.reason(),
        ),
        evidence,
        remedies: keeper.remedies(),
    })
}

fn fact(what: impl Into<String>, value: String, grade: Grade) -> Fact {
    Fact { what: what.into(), value, grade }
}

/// Free resident bytes in total, and their fraction of `free + allocated`; `None` without counters.
pub fn free(counters: &[Counters]) -> Option<(Bytes, f64)> {
    let told = counters.iter().filter_map(|of| Some((of.free_resident_bytes?.0, of.allocated_bytes?.0)));
    let (free, allocated) =
        told.fold((0_u64, 0_u64), |sum, of| (sum.0.saturating_add(of.0), sum.1.saturating_add(of.1)));
    (free.saturating_add(allocated) > 0).then(|| (Bytes(free), share(free, allocated)))
}

/// Judges each allocator separately, so that memory in use by one does not hide free memory of another. Reports the one
/// that keeps the most.
pub fn check(picture: &Picture<'_>) -> Outcome {
    free(picture.counters).ok_or("no allocator's counters could be read")?;
    let mut kept: BTreeMap<&str, Kept<'_>> = BTreeMap::new();
    for counters in picture.counters {
        let (Some(free), Some(allocated)) = (counters.free_resident_bytes, counters.allocated_bytes) else {
            continue;
        };
        let Counters { error_bytes: error, grade, .. } = *counters;
        let of = Kept { free, allocated, error, grade, keeper: Keeper::of(counters, picture.limit) };
        kept.entry(&counters.allocator).and_modify(|sum| *sum = together(sum, &of)).or_insert(of);
    }
    let most = kept.values().filter(|kept| kept.is_much()).max_by_key(|kept| kept.free);
    Ok(most.and_then(|most| judge(most, None)))
}

/// Merges two processes; the settings are those of the process that keeps more.
fn together<'a>(one: &Kept<'a>, two: &Kept<'a>) -> Kept<'a> {
    let sum = |one: Bytes, two: Bytes| Bytes(one.0.saturating_add(two.0));
    Kept {
        free: sum(one.free, two.free),
        allocated: sum(one.allocated, two.allocated),
        error: one.error.zip(two.error).map(|(one, two)| sum(one, two)),
        grade: if one.grade == two.grade { one.grade } else { Grade::Inferred },
        keeper: if one.free < two.free { two.keeper } else { one.keeper },
    }
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::{
        allocator::counters::Counters,
        units::Bytes,
        verdict::{Confidence, Picture},
    };

    fn counters(allocator: &str, free: u64, allocated: u64) -> Counters {
        Counters {
            allocator: allocator.into(),
            free_resident_bytes: Some(Bytes(free << 20)),
            allocated_bytes: Some(Bytes(allocated << 20)),
            ..Counters::default()
        }
    }

    fn check_all(counters: &[Counters]) -> super::Outcome {
        check(&Picture { counters, ..Picture::default() })
    }

    fn check_of(free: u64, allocated: u64) -> super::Outcome {
        check_all(&[counters("glibc", free, allocated)])
    }

    #[test]
    fn much_that_is_free_is_retention() {
        let finding = check_of(300, 100).unwrap().unwrap();
        assert!(finding.sentence.contains("300.0 MiB") && finding.sentence.contains("75 %"), "{finding:?}");
        assert!(finding.remedies[0].text.contains("malloc_trim"));
        assert!(check_of(10, 100).unwrap().is_none());
        assert!(check_of(2, 1).unwrap().is_none(), "too little to matter");
    }

    #[test]
    fn what_one_allocator_uses_does_not_hide_what_another_keeps() {
        let all = [counters("glibc", 0, 900), counters("jemalloc", 60, 20), counters("jemalloc", 60, 20)];
        let finding = check_all(&all).unwrap().unwrap();
        assert!(finding.sentence.contains("120.0 MiB of 160.0 MiB"), "{finding:?}");
    }

    #[test]
    fn figures_that_may_be_far_off_are_not_certain() {
        let confidence = |error: Option<u64>| {
            let error_bytes = error.map(|mib| Bytes(mib << 20));
            check_all(&[Counters { error_bytes, ..counters("glibc", 40, 60) }]).unwrap().unwrap().confidence
        };
        assert_eq!(confidence(Some(5)), Confidence::High);
        assert_eq!(confidence(Some(20)), Confidence::Medium);
        assert_eq!(confidence(None), Confidence::Medium);
    }

    #[test]
    fn without_counters_it_abstains() {
        assert!(check(&Picture::default()).is_err());
    }
}
