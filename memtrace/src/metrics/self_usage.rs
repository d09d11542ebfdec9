//! The daemon's own use of CPU time (that of its readers included), memory, descriptors, kernel maps and programs, and
//! disk, for the metrics.
//!
//! /proc/self and the state directory -> [`Own`]. Read at each scrape. What cannot be read is unknown.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{
    clock,
    health::Health,
    metrics::{Own, Runs},
    reader::pool::Readers,
    store::{FILE, Store},
    units::Bytes,
};

/// The sysctl that enables counting of program runs.
const COUNTS: &str = "sys/kernel/bpf_stats_enabled";

/// Reads it.
pub fn own(
    proc: &Path,
    state_dir: &Path,
    store: Option<&Store>,
    refused: &AtomicU64,
    readers: &Readers,
) -> Own {
    let of_self = proc.join("self");
    let descriptors = descriptors(&of_self);
    let counts = fs::read_to_string(proc.join(COUNTS)).is_ok_and(|text| text.trim() == "1");
    Own {
        cpu_seconds: (clock::own_cpu() + readers.cpu()).as_secs_f64(),
        rss: resident(proc, &[]),
        descriptors: descriptors.as_ref().map(|all| all.len() as u64),
        map_bytes: descriptors.as_ref().map(|all| map_bytes(all)),
        runs: descriptors.as_ref().filter(|_| counts).map(|all| runs(all)),
        store_bytes: store_bytes(state_dir),
        store_kills: store.and_then(|store| store.count().ok()),
        refused: refused.load(Ordering::Relaxed),
        overloaded: 0,
        readers: readers.counts(),
        health: Health::default(),
    }
}

/// Resident memory of this process, and private memory of these others, which run the same program.
pub fn resident(proc: &Path, others: &[u32]) -> Option<Bytes> {
    let page = rustix::param::page_size() as u64;
    let statm = fs::read_to_string(proc.join("self/statm")).ok()?;
    let own = statm.split_whitespace().nth(1)?.parse::<u64>().ok()?.saturating_mul(page);
    let private = |pid: &u32| {
        let status = fs::read_to_string(proc.join(format!("{pid}/status"))).ok()?;
        let kib = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
        kib.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib.saturating_mul(1024))
    };
    Some(Bytes(others.iter().filter_map(private).fold(own, u64::saturating_add)))
}

/// The fdinfo of each descriptor; empty for one that was closed meanwhile.
fn descriptors(of_self: &Path) -> Option<Vec<String>> {
    let entries = fs::read_dir(of_self.join("fdinfo")).ok()?;
    Some(entries.flatten().map(|entry| fs::read_to_string(entry.path()).unwrap_or_default()).collect())
}

fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok()
}

/// The memory of all maps, each counted once, even with several descriptors.
fn map_bytes(descriptors: &[String]) -> Bytes {
    let maps =
        descriptors.iter().filter_map(|text| Some((field(text, "map_id:")?, field(text, "memlock:")?)));
    Bytes(maps.collect::<BTreeMap<_, _>>().into_values().fold(0, u64::saturating_add))
}

fn runs(descriptors: &[String]) -> Vec<Runs> {
    let programs = descriptors.iter().filter_map(|text| {
        let id = field(text, "prog_id:")?;
        Some((id, (field(text, "run_cnt:")?, field(text, "run_time_ns:")?)))
    });
    let programs: BTreeMap<u64, (u64, u64)> = programs.collect();
    let run = |(id, (count, ns)): (u64, (u64, u64))| {
        Some(Runs { id: u32::try_from(id).ok()?, count, seconds: ns as f64 / 1e9 })
    };
    programs.into_iter().filter_map(run).collect()
}

/// The database, its log and the log's index.
fn store_bytes(state_dir: &Path) -> Option<Bytes> {
    let size =
        |suffix: &str| fs::metadata(state_dir.join(format!("{FILE}{suffix}"))).ok().map(|data| data.len());
    let beside = size("-wal").unwrap_or(0).saturating_add(size("-shm").unwrap_or(0));
    Some(Bytes(size("")?.saturating_add(beside)))
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Runs, map_bytes, runs};

    #[test]
    fn descriptors_tell_maps_and_programs_once() {
        let map = "pos:\t0\nmap_type:\t27\nmap_id:\t7\nmemlock:\t4096\n".to_owned();
        let program = "pos:\t0\nprog_type:\t5\nprog_id:\t61\nrun_time_ns:\t8000\nrun_cnt:\t4\n".to_owned();
        // The fdinfo of a link also has the program id, but no counts.
        let link = "pos:\t0\nlink_type:\tperf\nlink_id:\t3\nprog_id:\t61\n".to_owned();
        let all = [map.clone(), map, program.clone(), program, link, String::new()];
        assert_eq!(map_bytes(&all), Bytes(4096));
        assert_eq!(runs(&all), [Runs { id: 61, count: 4, seconds: 8e-6 }]);
    }
}
