//! Retention: its allocators hold much that is free.
//!
//! Rests on the allocators' own counters alone; without them it abstains. What was given back lazily does not count:
//! the kernel takes it when it wants it.

mod remedies;

pub use remedies::{BACKGROUND, Keeper};

use super::{Confidence, Fact, Finding, Kind, Outcome, Picture};
use crate::{
    allocator::counters::Counters,
    units::{Bytes, Grade},
};

/// The free part must be this part of what is allocated and free together.
const LEAST_SHARE: f64 = 0.3;
/// Less is not worth a word.
const LEAST: u64 = 16 << 20;

/// Free and resident in all, and the part of it of `free + allocated`; `None` when no counter tells.
pub fn free(counters: &[Counters]) -> Option<(Bytes, f64)> {
    let told = counters.iter().filter_map(|of| Some((of.free_resident_bytes?.0, of.allocated_bytes?.0)));
    let (free, allocated) =
        told.fold((0_u64, 0_u64), |sum, of| (sum.0.saturating_add(of.0), sum.1.saturating_add(of.1)));
    let all = free.saturating_add(allocated);
    (all > 0).then(|| (Bytes(free), free as f64 / all as f64))
}

pub fn check(picture: &Picture<'_>) -> Outcome {
    let (bytes, share) = free(picture.counters).ok_or("no allocator's counters could be read".to_owned())?;
    if share < LEAST_SHARE || bytes.0 < LEAST {
        return Ok(None);
    }
    let most = picture.counters.iter().max_by_key(|of| of.free_resident_bytes);
    let evidence = picture.counters.iter().filter_map(|of| {
        Some(Fact {
            what: format!("free but resident in {}", of.allocator),
            value: format!("{} beside {} in use", of.free_resident_bytes?, of.allocated_bytes?),
            grade: of.grade,
        })
    });
    let is_read = picture.counters.iter().all(|of| of.grade == Grade::Read);
    Ok(Some(Finding {
        kind: Kind::Retention,
        confidence: if is_read && share >= 0.5 { Confidence::High } else { Confidence::Medium },
        sentence: format!(
            "its allocators keep {bytes} of free memory, {:.0} % of what they hold",
            share * 100.0
        ),
        evidence: evidence.collect(),
        remedies: most.map_or_else(Vec::new, |of| Keeper::of(of, picture.limit).remedies()),
    }))
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::{allocator::counters::Counters, units::Bytes, verdict::Picture};

    fn check_of(free: u64, allocated: u64) -> super::Outcome {
        let counters = [Counters {
            allocator: "glibc".into(),
            free_resident_bytes: Some(Bytes(free << 20)),
            allocated_bytes: Some(Bytes(allocated << 20)),
            ..Counters::default()
        }];
        check(&Picture { counters: &counters, ..Picture::default() })
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
    fn without_counters_it_abstains() {
        assert!(check(&Picture::default()).is_err());
    }
}
