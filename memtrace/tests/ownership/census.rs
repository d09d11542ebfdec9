//! Resident bytes by owner: smaps, attributed.
//!
//! A mapping can have several owners; its resident bytes are then split by the pages that are there.

use std::{collections::BTreeMap, fs::File, os::unix::fs::FileExt as _};

use memtrace::{
    allocator::{Owned, attribute, evidence::ProcessEvidence, evidence::read::Reader},
    mm::{
        procfs::Procfs,
        region::{Region, VmFlags},
        smaps,
    },
};

const PAGE: u64 = 4096;

/// Who owns how much of a process.
pub struct Census {
    /// What is known of the process.
    pub process: ProcessEvidence,
    /// Its regions.
    pub regions: Vec<Region>,
    /// Its ranges.
    pub owned: Vec<Owned>,
    /// Anonymous resident bytes of each allocator and kind.
    pub anonymous: BTreeMap<(&'static str, &'static str), u64>,
    /// Resident bytes, all kinds.
    pub resident: BTreeMap<(&'static str, &'static str), u64>,
}

impl Census {
    /// Of a process that is waiting for a command.
    pub fn take(pid: u32) -> Self {
        Self::of(pid, true)
    }

    /// On a kernel before 6.7, MAP_STACK leaves no trace.
    pub fn without_stack_flags(pid: u32) -> Self {
        Self::of(pid, false)
    }

    fn of(pid: u32, has_stack_flags: bool) -> Self {
        let procfs = Procfs::new("/proc");
        let mappings = smaps::read(&procfs, pid).unwrap().mappings;
        let mut regions: Vec<Region> = mappings.iter().map(|mapping| mapping.region.clone()).collect();
        for flags in
            regions.iter_mut().filter_map(|region| region.vm_flags.as_mut()).filter(|_| !has_stack_flags)
        {
            *flags = flags.with(VmFlags::NO_HUGE_PAGE, false);
        }
        let process = Reader::new(procfs).gather(pid, &regions);
        let owned = attribute(&process, &regions);
        let mut census =
            Self { process, regions, owned, anonymous: BTreeMap::new(), resident: BTreeMap::new() };
        let pages = File::open(format!("/proc/{pid}/pagemap")).unwrap();
        let resident = |owned: &Owned| present(&pages, owned.start, owned.end) * PAGE;
        for parts in census.owned.chunk_by(|left, right| left.region == right.region) {
            let usage = &mappings[parts[0].region].usage;
            let (rss, anonymous) =
                (usage.rss.map_or(0, |rss| rss.0), usage.anonymous.map_or(0, |bytes| bytes.0));
            for owned in parts {
                let of_region = |bytes: u64| match parts {
                    [_] => bytes,
                    _ if bytes == 0 => 0,
                    _ => resident(owned),
                };
                let key = (owned.owner.allocator, owned.owner.kind);
                *census.resident.entry(key).or_default() += of_region(rss);
                *census.anonymous.entry(key).or_default() += of_region(anonymous);
            }
        }
        census
    }

    /// Anonymous resident bytes.
    pub fn total(&self) -> u64 {
        self.anonymous.values().sum()
    }

    /// Anonymous resident bytes of an allocator, all kinds or one.
    pub fn of_owner(&self, allocator: &str, kind: Option<&str>) -> u64 {
        let is_it = |key: &(&str, &str)| key.0 == allocator && kind.is_none_or(|kind| key.1 == kind);
        self.anonymous.iter().filter(|(key, _)| is_it(key)).map(|(_, bytes)| bytes).sum()
    }

    /// At least 95 % of anonymous memory has an owner, and the kind named has at least so many MiB.
    pub fn assert(&self, name: &str, expected: &[(&str, &str, u64)]) {
        let share = 1.0 - self.of_owner("unattributed", None) as f64 / self.total().max(1) as f64;
        println!("{name}: {:.1} % of {} KiB anonymous owned", share * 100.0, self.total() >> 10);
        for ((allocator, kind), bytes) in self.anonymous.iter().filter(|(_, bytes)| **bytes >= 64 << 10) {
            println!("    {:>8} KiB  {allocator} {kind}", bytes >> 10);
        }
        for owned in self.owned.iter().filter(|owned| owned.owner.allocator == "unattributed") {
            println!("    left over: {:x}-{:x} {} KiB", owned.start, owned.end, owned.len() >> 10);
        }
        assert!(share >= 0.95, "{name}: only {share:.3} of anonymous memory has an owner");
        for (allocator, kind, mib) in expected {
            let bytes = self.of_owner(allocator, Some(kind));
            assert!(bytes >= mib << 20, "{name}: {bytes} bytes of {allocator} {kind}, expected {mib} MiB");
        }
    }
}

/// Pages of a range that are present.
fn present(pages: &File, start: u64, end: u64) -> u64 {
    let mut bytes = vec![0; 8 * 4096];
    let mut count = 0;
    let mut at = start;
    while at < end {
        let len = ((end - at) / PAGE * 8).min(bytes.len() as u64) as usize;
        pages.read_exact_at(&mut bytes[..len], at / PAGE * 8).unwrap();
        count += bytes[..len].chunks_exact(8).filter(|entry| entry[7] & 0x80 != 0).count() as u64;
        at += len as u64 / 8 * PAGE;
    }
    count
}
