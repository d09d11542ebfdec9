//! Rejects figures that the page tables contradict, and caps those that they exceed.
//!
//! Input: a target and the counters from a reader. Output: the counters, or why they are rejected. Used for all readers.
//! An allocator counts whole free ranges, of which the program may have touched only a part: then less is resident than
//! it counts. More than is mapped cannot be.

use super::{Absent, Counters, Target};
use crate::units::{Bytes, Grade};

/// How far figures may exceed the page tables, in percent: a busy process changes while it is read.
const TOLERANCE: u64 = 5;
/// Addresses of a process: more cannot be reserved.
const ADDRESSES: u64 = 1 << 57;
/// Bytes checked per query of the page tables.
const STEP: u64 = 16 << 20;
/// The same tolerance in bytes, for small figures.
const SLACK: u64 = 128 << 10;
const UNCONFIRMED: &str = "how much of the free memory is resident: no time left to read the page tables";

/// Accepts counters if allocated plus metadata, and free plus lazily freed, each fit into the mapped bytes. Free memory
/// beyond the resident bytes is capped; retained memory beyond the mapped bytes is not known.
///
/// # Errors
/// [`Absent`] for counters that do not fit. When there is no time for the check, the counters pass and say so.
pub fn check(target: &mut Target<'_>, mut counters: Counters) -> Result<Counters, Absent> {
    let free = sum([counters.free_resident_bytes, counters.lazily_freed_bytes]);
    let (mut mapped, mut resident, mut unasked) = (0_u64, 0_u64, 0_u64);
    for owned in target.owned.iter().filter(|owned| owned.owner.allocator == counters.allocator) {
        mapped = mapped.saturating_add(owned.len());
        // Checking all of a large process takes long; stop when enough resident memory is found.
        let mut at = owned.start;
        while at < owned.end && free > allowed(resident) && !target.image.is_spent() {
            let next = at.saturating_add(STEP).min(owned.end);
            let found = target.image.resident(at, next);
            if target.image.is_spent() {
                break;
            }
            resident = resident.saturating_add(found);
            at = next;
        }
        unasked = unasked.saturating_add(owned.end.saturating_sub(at));
    }
    if target.image.is_spent()
        && free > allowed(resident)
        && free <= allowed(resident.saturating_add(unasked))
    {
        resident = resident.saturating_add(unasked);
        counters.missing.push(UNCONFIRMED.to_owned());
    }
    let held = sum([counters.allocated_bytes, counters.metadata_bytes]);
    for (what, said, there) in [
        ("free and resident", free, mapped),
        ("in use", held, mapped),
        ("retained", sum([counters.retained_bytes]), ADDRESSES),
    ] {
        if said > allowed(there) {
            let (said, there) = (Bytes(said), Bytes(there));
            return Err(absent(counters, format!("rejected: {said} {what}, but only {there} mapped")));
        }
    }
    if free > allowed(resident) {
        cap(&mut counters, Bytes(free), Bytes(resident), held);
    }
    if let Some(retained) = counters.retained_bytes.filter(|retained| retained.0 > allowed(mapped)) {
        counters.retained_bytes = None;
        let mapped = Bytes(mapped);
        counters.missing.push(format!("what is only reserved: it counts {retained}, of {mapped} mapped"));
    }
    Ok(counters)
}

/// Caps free memory: what is in use is resident first, and free memory is at most the rest. Nothing is known of single
/// arenas then.
fn cap(counters: &mut Counters, free: Bytes, resident: Bytes, held: u64) {
    let room = resident.0.saturating_sub(held);
    let lazy = counters.lazily_freed_bytes.map(|lazy| Bytes(lazy.0.min(room)));
    let rest = room.saturating_sub(lazy.unwrap_or_default().0);
    // Of memory in use some may be untouched too, so that nothing is left says nothing.
    let is_known = room > 0;
    counters.lazily_freed_bytes = lazy.filter(|_| is_known);
    counters.free_resident_bytes =
        counters.free_resident_bytes.map(|free| Bytes(free.0.min(rest))).filter(|_| is_known);
    counters.arenas.iter_mut().for_each(|arena| arena.free_resident_bytes = None);
    counters.grade = Grade::Inferred;
    counters.missing.push(format!(
        "how much of its free memory was ever touched: it counts {free} free, and {resident} are resident with what is \
         in use; the figure is the most that fits"
    ));
}

fn allowed(bytes: u64) -> u64 {
    bytes.saturating_add(bytes / 100 * TOLERANCE).saturating_add(SLACK)
}

fn sum<const N: usize>(parts: [Option<Bytes>; N]) -> u64 {
    parts.into_iter().flatten().fold(0, |sum, part| sum.saturating_add(part.0))
}

fn absent(counters: Counters, reason: String) -> Absent {
    Absent { allocator: counters.allocator, reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocator::{
        Owned, Owner,
        counters::ArenaCounters,
        evidence::ProcessEvidence,
        image::fake::{Fake, NO_FILES},
    };

    fn checked(counters: Counters) -> Result<Counters, Absent> {
        let mut image = Fake::default().with(0x10_0000, vec![0; 1 << 20]);
        let owned =
            [Owned { start: 0x10_0000, end: 0x40_0000, region: 0, owner: Owner::read("glibc", "heap", 0) }];
        let process = ProcessEvidence::default();
        let mut target =
            Target { image: &mut image, files: &NO_FILES, process: &process, regions: &[], owned: &owned };
        check(&mut target, Counters { allocator: "glibc".to_owned(), ..counters })
    }

    #[test]
    fn what_fits_is_believed() {
        let counters = Counters {
            allocated_bytes: Some(Bytes(3 << 20)),
            free_resident_bytes: Some(Bytes(1 << 20)),
            retained_bytes: Some(Bytes(2 << 20)),
            ..Counters::default()
        };
        assert!(checked(counters).is_ok());
    }

    #[test]
    fn what_nobody_had_time_to_ask_about_contradicts_nothing_and_is_said() {
        let mut image = Fake::default();
        image.left = 0;
        let owned = [Owned { start: 0, end: 1 << 20, region: 0, owner: Owner::read("glibc", "heap", 0) }];
        let process = ProcessEvidence::default();
        let mut target =
            Target { image: &mut image, files: &NO_FILES, process: &process, regions: &[], owned: &owned };
        let free = |bytes| Counters {
            allocator: "glibc".to_owned(),
            free_resident_bytes: Some(Bytes(bytes)),
            ..Counters::default()
        };
        let counters = check(&mut target, free(1 << 20)).unwrap();
        assert_eq!(counters.missing, [UNCONFIRMED]);
        assert!(check(&mut target, free(2 << 20)).unwrap_err().reason.starts_with("rejected"));
    }

    #[test]
    fn free_memory_that_was_never_touched_is_capped_and_said() {
        // 3 MiB are mapped and 1 MiB is resident.
        let counters = Counters {
            allocated_bytes: Some(Bytes(256 << 10)),
            free_resident_bytes: Some(Bytes(5 << 19)),
            lazily_freed_bytes: Some(Bytes(0)),
            arenas: vec![ArenaCounters {
                free_resident_bytes: Some(Bytes(5 << 19)),
                ..ArenaCounters::default()
            }],
            ..Counters::default()
        };
        let capped = checked(counters.clone()).unwrap();
        assert_eq!(capped.free_resident_bytes, Some(Bytes(768 << 10)));
        assert_eq!((capped.allocated_bytes, capped.grade), (counters.allocated_bytes, Grade::Inferred));
        assert_eq!((capped.arenas[0].free_resident_bytes, capped.missing.len()), (None, 1));
        assert!(capped.missing[0].contains("2.5 MiB free, and 1.0 MiB are resident"), "{:?}", capped.missing);
        // What is in use may be all that is resident.
        let full = checked(Counters { allocated_bytes: Some(Bytes(2 << 20)), ..counters }).unwrap();
        assert_eq!((full.free_resident_bytes, full.lazily_freed_bytes), (None, None), "unknown is not 0");
    }

    #[test]
    fn what_is_reserved_beyond_the_known_ranges_is_unknown() {
        let counters = Counters {
            allocated_bytes: Some(Bytes(1 << 20)),
            retained_bytes: Some(Bytes(20 << 20)),
            ..Counters::default()
        };
        let found = checked(counters).unwrap();
        assert_eq!((found.allocated_bytes, found.retained_bytes), (Some(Bytes(1 << 20)), None));
        assert!(found.missing[0].contains("20.0 MiB, of 3.0 MiB mapped"), "{:?}", found.missing);
    }

    #[test]
    fn more_than_there_is_is_not() {
        for counters in [
            Counters { allocated_bytes: Some(Bytes(4 << 20)), ..Counters::default() },
            Counters { free_resident_bytes: Some(Bytes(4 << 20)), ..Counters::default() },
            Counters { lazily_freed_bytes: Some(Bytes(u64::MAX)), ..Counters::default() },
            Counters { retained_bytes: Some(Bytes(u64::MAX)), ..Counters::default() },
        ] {
            assert!(checked(counters).unwrap_err().reason.starts_with("rejected"));
        }
    }
}
