//! Files in memory: tmpfs and shared memory, or page cache that could not be written back in time.
//!
//! Files in tmpfs are in memory (or swap) only, and stay when the process dies.

use super::{
    Case, Cause, CauseKind, Outcome,
    case::{fact, percent, share},
};
use crate::{
    cgroup::charge::Charge,
    units::{Bytes, Grade},
    verdict::{Confidence, Remedy},
};

/// The least share of shared memory in the usage.
const LEAST_SHARE: f64 = 0.4;
/// A share from which the confidence is high.
const MOST: f64 = 0.6;
/// The least share of page cache in the usage. Page cache is normally reclaimed; only a large share, dirty and slow to
/// write, is a cause.
const LEAST_CACHE: f64 = 0.6;
/// The least part of the page cache that is not written yet when the disk is the cause.
const LEAST_UNWRITTEN: f64 = 0.3;

pub fn check(case: &Case<'_>) -> Outcome {
    let (charge, grade) = case.charge()?;
    let usage = case.charged().ok_or("the usage is unknown")?;
    let shmem = charge.shmem_bytes.ok_or("shared memory is unknown")?;
    let part = share(shmem, usage);
    if part >= LEAST_SHARE {
        return Ok(Some(shared(case, shmem, part, grade)));
    }
    let cache = charge.file().unwrap_or_default();
    if share(cache, usage) < LEAST_CACHE {
        return Ok(None);
    }
    if let Some(age) = case.charge_age() {
        // Page cache comes and goes: what there was then was reclaimed since.
        return Err(format!("its page cache was read {age:.0} s before the kill"));
    }
    Ok(Some(page_cache(charge, cache, usage, grade)))
}

/// The kernel reclaims clean page cache before it kills. What it could not reclaim was dirty, or is held otherwise.
fn page_cache(charge: &Charge, cache: Bytes, usage: Bytes, grade: Grade) -> Cause {
    let unwritten = [charge.dirty_bytes, charge.writeback_bytes];
    let unwritten = unwritten.into_iter().flatten().map(|Bytes(bytes)| bytes).reduce(u64::saturating_add);
    let unwritten = unwritten.map(Bytes);
    let mut evidence = vec![fact("page cache", cache, grade), fact("usage", usage, grade)];
    evidence.extend(unwritten.map(|bytes| fact("of it not yet written to disk", bytes, grade)));
    let is_slow_disk = unwritten.map(|bytes| share(bytes, cache) >= LEAST_UNWRITTEN);
    let (confidence, sentence, remedy) = match is_slow_disk {
        Some(true) => (
            Confidence::Medium,
            format!("the page cache grew to {cache}, faster than the disk could write it"),
            "write with O_DIRECT or sync_file_range, or throttle the writer with memory.high",
        ),
        Some(false) => (
            Confidence::Low,
            format!(
                "{cache} of page cache was left, though most of it was written: the kernel could not reclaim it"
            ),
            "look for locked (mlock) or mapped files that are in constant use",
        ),
        None => (
            Confidence::Low,
            format!("{cache} of page cache was left; whether it was still to be written is unknown"),
            "write with O_DIRECT or sync_file_range, or throttle the writer with memory.high",
        ),
    };
    Cause {
        kind: CauseKind::FileOrTmpfs,
        confidence,
        sentence,
        evidence,
        remedies: vec![Remedy { text: remedy.into(), setting: None }],
        doubt: None,
    }
}

fn shared(case: &Case<'_>, shmem: Bytes, part: f64, grade: Grade) -> Cause {
    // The part that the processes have mapped is their shared memory; the rest are files.
    let mapped = case.record.victim.memory.shmem_bytes.unwrap_or_default();
    let mounts = case.record.circumstances.composition.iter().flat_map(|composition| &composition.tmpfs);
    // The first mount is the most likely; another of similar size lowers the confidence.
    let mount = mounts.clone().next();
    let is_sure = mounts.clone().skip(1).all(|other| other.used_bytes.0 < shmem.0 / 2);
    let is_tmpfs = mapped.0 < shmem.0 / 2;
    let what = match mount.filter(|_| is_tmpfs) {
        Some(tmpfs) if is_sure => {
            format!("files in the tmpfs {} take {}", tmpfs.mount, tmpfs.used_bytes.min(shmem))
        }
        Some(tmpfs) => format!("files in a tmpfs, most likely {}, take {shmem}", tmpfs.mount),
        None if is_tmpfs => format!("files in a tmpfs take {shmem}"),
        None => format!("shared memory takes {shmem}"),
    };
    let mut evidence = vec![
        fact("tmpfs and shared memory", shmem, grade),
        fact("share of the usage", percent(part), grade),
        fact("mapped by the victim", mapped, Grade::Read),
    ];
    evidence.extend(mounts.map(|tmpfs| fact(format!("in {}", tmpfs.mount), tmpfs.used_bytes, Grade::Read)));
    evidence.extend(case.charge_age_fact());
    let mut remedies = Vec::new();
    if is_tmpfs {
        remedies.push(Remedy {
            text: match mount {
                Some(tmpfs) => {
                    format!("delete files in {}: a restart of the container will not free them", tmpfs.mount)
                }
                None => "delete files in a tmpfs of the container (`df -t tmpfs` lists them): a restart of it will not \
                         free them"
                    .to_owned(),
            },
            setting: None,
        });
        remedies.push(Remedy {
            text: "set the size of the mount below the limit".to_owned(),
            setting: Some("emptyDir.sizeLimit, or the mount option size=".to_owned()),
        });
    }
    let and = if is_tmpfs { "; a restart will not free them" } else { "" };
    Cause {
        kind: CauseKind::FileOrTmpfs,
        confidence: case.from_charge(if part >= MOST { Confidence::High } else { Confidence::Medium }),
        sentence: format!("{what}, {} of the usage{and}", percent(part)),
        evidence,
        remedies,
        doubt: None,
    }
}
