//! Rejects figures that the page tables contradict.
//!
//! Input: a target and the counters from a reader. Output: the same counters, or why they are rejected. Used for all
//! readers.

use super::{Absent, Counters, Target};
use crate::units::Bytes;

/// How far figures may exceed the page tables, in percent: a busy process changes while it is read.
const TOLERANCE: u64 = 5;
/// Bytes checked per query of the page tables.
const STEP: u64 = 16 << 20;
/// The same tolerance in bytes, for small figures.
const SLACK: u64 = 128 << 10;
const UNCONFIRMED: &str = "how much of the free memory is resident: no time left to read the page tables";

/// Accepts counters if allocated plus metadata, and retained, each fit into the mapped bytes, and free plus lazily
/// freed fits into the resident bytes.
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
    for (what, said, there, kind) in [
        ("free and resident", free, resident, "resident"),
        ("in use", held, mapped, "mapped"),
        ("retained", sum([counters.retained_bytes]), mapped, "mapped"),
    ] {
        if said > allowed(there) {
            let (said, there) = (Bytes(said), Bytes(there));
            return Err(absent(counters, format!("rejected: {said} {what}, but only {there} {kind}")));
        }
    }
    Ok(counters)
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
    fn more_than_there_is_is_not() {
        for counters in [
            Counters { allocated_bytes: Some(Bytes(4 << 20)), ..Counters::default() },
            Counters { free_resident_bytes: Some(Bytes(2 << 20)), ..Counters::default() },
            Counters { lazily_freed_bytes: Some(Bytes(u64::MAX)), ..Counters::default() },
            Counters { retained_bytes: Some(Bytes(u64::MAX)), ..Counters::default() },
        ] {
            assert!(checked(counters).unwrap_err().reason.starts_with("rejected"));
        }
    }
}
