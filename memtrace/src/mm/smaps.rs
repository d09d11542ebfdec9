//! `/proc/PID/smaps` and `smaps_rollup`: memory use of each mapping, from the page tables.
//!
//! Input: the file's bytes, or a /proc to read it from. Output: [`Region`]s with their [`Usage`]. A field that this
//! kernel does not print is `None`, never 0. Reading the file walks all page tables and holds the process's mmap lock.

use super::{
    maps::{Lines, decimal},
    procfs::{Error, Procfs},
    region::{Region, VmFlags},
    text_file::{SMAPS_LIMIT, read_file},
};
use crate::units::Bytes;
use serde::{Deserialize, Serialize};

/// The counts of one mapping, or of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[Option<Bytes>; 16]", into = "[Option<Bytes>; 16]")]
pub struct Usage {
    /// Resident, without hugetlb.
    pub rss: Option<Bytes>,
    /// Resident, each page divided by the number of its mappings.
    pub pss: Option<Bytes>,
    /// Mapped more than once and clean.
    pub shared_clean: Option<Bytes>,
    /// Mapped more than once and dirty.
    pub shared_dirty: Option<Bytes>,
    /// Mapped once and clean.
    pub private_clean: Option<Bytes>,
    /// Mapped once and dirty.
    pub private_dirty: Option<Bytes>,
    /// Anonymous pages, private copies of file pages included.
    pub anonymous: Option<Bytes>,
    /// `MADV_FREE`d and still resident.
    pub lazy_free: Option<Bytes>,
    /// In anonymous huge pages.
    pub anon_huge: Option<Bytes>,
    /// Swapped out.
    pub swap: Option<Bytes>,
    /// Swapped out, each page divided by the number of its mappings.
    pub swap_pss: Option<Bytes>,
    /// Locked in memory; a share, like `pss`.
    pub locked: Option<Bytes>,
    /// In hugetlb pages, which `rss` does not count.
    pub hugetlb: Option<Bytes>,
    /// `pss` of anonymous pages; in a rollup only.
    pub pss_anon: Option<Bytes>,
    /// `pss` of file pages; in a rollup only.
    pub pss_file: Option<Bytes>,
    /// `pss` of shared memory; in a rollup only.
    pub pss_shmem: Option<Bytes>,
}

/// Converts to and from the form in recordings: the values in this order.
macro_rules! in_order {
    ($($field:ident),* $(,)?) => {
        impl From<[Option<Bytes>; 16]> for Usage {
            fn from([$($field),*]: [Option<Bytes>; 16]) -> Self {
                Self { $($field),* }
            }
        }

        impl From<Usage> for [Option<Bytes>; 16] {
            fn from(Usage { $($field),* }: Usage) -> Self {
                [$($field),*]
            }
        }
    };
}

in_order!(
    rss,
    pss,
    shared_clean,
    shared_dirty,
    private_clean,
    private_dirty,
    anonymous,
    lazy_free,
    anon_huge,
    swap,
    swap_pss,
    locked,
    hugetlb,
    pss_anon,
    pss_file,
    pss_shmem,
);

impl Usage {
    /// The field for a name in the file. The two hugetlb fields are added up.
    fn field(&mut self, name: &[u8]) -> Option<&mut Option<Bytes>> {
        Some(match name {
            b"Rss" => &mut self.rss,
            b"Pss" => &mut self.pss,
            b"Shared_Clean" => &mut self.shared_clean,
            b"Shared_Dirty" => &mut self.shared_dirty,
            b"Private_Clean" => &mut self.private_clean,
            b"Private_Dirty" => &mut self.private_dirty,
            b"Anonymous" => &mut self.anonymous,
            b"LazyFree" => &mut self.lazy_free,
            b"AnonHugePages" => &mut self.anon_huge,
            b"Swap" => &mut self.swap,
            b"SwapPss" => &mut self.swap_pss,
            b"Locked" => &mut self.locked,
            b"Shared_Hugetlb" | b"Private_Hugetlb" => &mut self.hugetlb,
            b"Pss_Anon" => &mut self.pss_anon,
            b"Pss_File" => &mut self.pss_file,
            b"Pss_Shmem" => &mut self.pss_shmem,
            _ => return None,
        })
    }
}

/// One mapping of an smaps file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// The mapping; `vm_flags` is set where the kernel prints them.
    pub region: Region,
    /// Its memory use.
    pub usage: Usage,
}

/// The contents of an smaps file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Smaps {
    /// The mappings, by address.
    pub mappings: Vec<Mapping>,
    /// Lines that are neither a mapping nor a field of one.
    pub malformed: u64,
    /// The file was longer than the limit.
    pub is_truncated: bool,
}

/// Reads `/proc/PID/smaps`.
///
/// # Errors
/// See [`Error`].
pub fn read(procfs: &Procfs, pid: u32) -> Result<Smaps, Error> {
    let (bytes, is_truncated) = read_file(procfs, pid, "smaps", SMAPS_LIMIT)?;
    Ok(Smaps { is_truncated, ..parse(&bytes) })
}

/// Reads `/proc/PID/smaps_rollup` (since 4.14): the sums over a process.
///
/// # Errors
/// See [`Error`].
pub fn read_rollup(procfs: &Procfs, pid: u32) -> Result<Usage, Error> {
    let (bytes, _) = read_file(procfs, pid, "smaps_rollup", SMAPS_LIMIT)?;
    let rollup = parse(&bytes).mappings.into_iter().next();
    rollup
        .map(|mapping| mapping.usage)
        .ok_or(Error::Malformed { file: "smaps_rollup", what: "line of addresses" })
}

/// Parses the bytes of an smaps or smaps_rollup file.
pub fn parse(bytes: &[u8]) -> Smaps {
    let mut smaps = Smaps { mappings: Vec::with_capacity(bytes.len() / 800), ..Smaps::default() };
    let mut lines = Lines::default();
    // Fields after a malformed address line belong to no mapping.
    let mut is_known = false;
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let is_read = if line.first().is_some_and(u8::is_ascii_uppercase) {
            let mapping = smaps.mappings.last_mut().filter(|_| is_known);
            mapping.and_then(|mapping| take(mapping, line)).is_some()
        } else {
            let region = lines.region(line);
            is_known = region.is_some();
            let usage = Usage::default();
            smaps.mappings.extend(region.map(|region| Mapping { region, usage }));
            is_known
        };
        smaps.malformed += u64::from(!is_read);
    }
    smaps
}

/// `Private_Dirty:        12 kB`, `VmFlags: rd wr mr mw me ac nr`
fn take(mapping: &mut Mapping, line: &[u8]) -> Option<()> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = line.split_at_checked(colon)?;
    let mut words = value.get(1..)?.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    if name == b"VmFlags" {
        let flags = words.fold(VmFlags::default(), |flags, word| flags.with(flag(word), true));
        mapping.region.is_hugetlb |= flags.has(VmFlags::HUGETLB);
        mapping.region.vm_flags = Some(flags);
    } else if let Some(field) = mapping.usage.field(name) {
        let kib = Bytes::from_kib(decimal(words.next()?)?);
        *field = Some(Bytes(field.map_or(0, |sum| sum.0).saturating_add(kib.0)));
    }
    Some(())
}

/// fs/proc/task_mmu.c, `show_smap_vma_flags`; 0 for a flag that is not used here.
fn flag(letters: &[u8]) -> u16 {
    match letters {
        b"nr" => VmFlags::NO_RESERVE,
        b"ac" => VmFlags::ACCOUNT,
        b"nh" => VmFlags::NO_HUGE_PAGE,
        b"hg" => VmFlags::HUGE_PAGE,
        b"dc" => VmFlags::DONT_COPY,
        b"dd" => VmFlags::DONT_DUMP,
        b"lo" => VmFlags::LOCKED,
        b"ht" => VmFlags::HUGETLB,
        b"wf" => VmFlags::WIPE_ON_FORK,
        b"gd" => VmFlags::GROWS_DOWN,
        b"pf" => VmFlags::PFN_MAP,
        _ => 0,
    }
}

#[cfg(test)]
#[path = "smaps_tests.rs"]
mod tests;
