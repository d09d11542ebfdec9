//! Thrashing: at its limit it gives up pages of files and soon reads them from the disk again.
//!
//! The kernel takes page cache, the text of the running programs included, before it kills. A container in this state is
//! slow, may be so for minutes, and is killed late or never. Its usage says nothing: it is at the limit with much cache, too.

use super::{Confidence, Fact, Finding, Kind, Outcome, Picture, Remedy, number, rate};
use crate::units::{Bytes, Grade};

/// The least memory that is read again, in bytes per second: less is not felt.
const LEAST: f64 = (1 << 20) as f64;
/// The least part of the page cache that is read again each second.
const LEAST_SHARE: f64 = 0.05;
/// The part from which all of it goes round within four seconds.
const LARGE_SHARE: f64 = 0.25;
/// Page cache above this part of the limit is not squeezed by the programs' memory: it is files that are larger than the
/// limit, such as those that a backup reads, and nobody may wait for them.
const SQUEEZED: f64 = 0.25;

/// Pages of files that were given up and read again, from two looks at what the kernel counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReadAgain {
    /// In bytes per second.
    pub rate: f64,
    /// Over so many seconds.
    pub span: f64,
    /// Page cache that is left.
    pub cache: Bytes,
}

impl ReadAgain {
    /// From the numbers of pages at two instants in ns; `None` when they are too close, or the first one is greater.
    pub fn between(before: (u64, u64), now: (u64, u64), cache: Bytes) -> Option<Self> {
        const PAGE: f64 = 4096.0;
        let (pages, span) = (now.0.checked_sub(before.0)?, now.1.checked_sub(before.1)? as f64 / 1e9);
        (span >= 1.0).then_some(Self { rate: pages as f64 * PAGE / span, span, cache })
    }
}

pub fn check(picture: &Picture<'_>) -> Outcome {
    let Some(Bytes(limit)) = picture.limit else { return Ok(None) };
    let ReadAgain { rate: again, span, cache } =
        picture.read_again.ok_or("pages that were read again are not known of two instants")?;
    let share = again / (cache.0 as f64).max(1.0);
    if again < LEAST || share < LEAST_SHARE {
        return Ok(None);
    }
    let mut evidence = vec![
        Fact {
            what: "page cache that was given up and read again".into(),
            value: format!("{}, over {span:.0} s", rate(again)),
            grade: Grade::Read,
        },
        Fact { what: "page cache that is left".into(), value: cache.to_string(), grade: Grade::Read },
    ];
    if let Some(firm) = picture.firm {
        evidence.push(Fact {
            what: "memory that cannot give way".into(),
            value: format!("{firm} of {}", number(limit as f64)),
            grade: Grade::Read,
        });
    }
    let is_squeezed = (cache.0 as f64) < SQUEEZED * limit as f64;
    let remedy = if is_squeezed {
        "raise the limit, or reduce the memory that it needs, so that its programs and files fit beside it; the kernel takes \
         their pages first and kills late, so it is slow until then"
    } else {
        "if somebody waits for what it reads, raise the limit until its files fit; a backup or a copy needs nothing"
    };
    Ok(Some(Finding {
        kind: Kind::Thrash,
        confidence: if share >= LARGE_SHARE && is_squeezed { Confidence::High } else { Confidence::Medium },
        sentence: format!(
            "it reads the same files from the disk again and again, {}: beside its memory only {cache} of page cache fit \
             below the limit of {}",
            rate(again),
            number(limit as f64)
        ),
        evidence,
        remedies: vec![Remedy { text: remedy.into(), setting: None }],
    }))
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Confidence, ReadAgain, check};
    use crate::verdict::Picture;

    const MIB: u64 = 1 << 20;

    fn found(rate: f64, cache: u64, limit: Option<u64>) -> Option<Confidence> {
        let read_again = Some(ReadAgain { rate, span: 10.0, cache: Bytes(cache) });
        let picture = Picture { limit: limit.map(Bytes), read_again, ..Picture::default() };
        check(&picture).unwrap().map(|finding| finding.confidence)
    }

    #[test]
    fn it_depends_on_how_much_of_the_cache_goes_round() {
        let mib = MIB as f64;
        assert_eq!(found(20.0 * mib, 3 * MIB, Some(64 * MIB)), Some(Confidence::High));
        assert_eq!(found(20.0 * mib, 200 * MIB, Some(256 * MIB)), Some(Confidence::Medium));
        assert_eq!(found(200.0 * mib, 200 * MIB, Some(256 * MIB)), Some(Confidence::Medium), "a backup");
        assert_eq!(found(20.0 * mib, 2000 * MIB, Some(4096 * MIB)), None, "a file server");
        assert_eq!(found(0.1 * mib, 4096, Some(64 * MIB)), None, "too little to be felt");
        assert_eq!(found(20.0 * mib, 3 * MIB, None), None, "the node's memory, not its own limit");
        assert!(check(&Picture { limit: Some(Bytes(1)), ..Picture::default() }).is_err());
    }

    #[test]
    fn it_takes_two_instants_and_a_count_that_rises() {
        let cache = Bytes(8192);
        let between = |before, now| ReadAgain::between(before, now, cache).map(|again| again.rate);
        assert_eq!(between((100, 0), (612, 2_000_000_000)), Some(1_048_576.0));
        assert_eq!(between((100, 0), (99, 2_000_000_000)), None, "another group with its name");
        assert_eq!(between((100, 0), (200, 10)), None);
        assert_eq!(between((100, 9), (200, 3)), None);
    }
}
