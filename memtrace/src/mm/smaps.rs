//! `/proc/PID/smaps` and `smaps_rollup`: memory use of each mapping, from the page tables.
//!
//! Input: the file's lines, or a /proc to read them from. Output: [`Region`]s with their [`Usage`]. A field that this
//! kernel does not print is `None`, never 0. Reading the file walks all page tables and holds the process's mmap lock.

use super::{
    maps::{self, decimal},
    procfs::{Error, Procfs},
    region::{Region, VmFlags},
    text_file,
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
    /// There were more mappings than memory for them.
    pub is_truncated: bool,
}

/// The most memory that [`read`] and [`parse`] fill. [`super::listing`] is for those that keep less of each mapping.
const ROOM: Bytes = Bytes(32 << 20);

impl Smaps {
    fn take(&mut self, mapping: Mapping, names_take: Bytes) {
        if names_take.0 + size_of_val(&*self.mappings) as u64 >= ROOM.0 {
            self.is_truncated = true;
        } else {
            self.mappings.push(mapping);
        }
    }
}

/// Reads `/proc/PID/smaps`.
///
/// # Errors
/// See [`Error`].
pub fn read(procfs: &Procfs, pid: u32) -> Result<Smaps, Error> {
    read_as(procfs, pid, "smaps")
}

/// Reads `/proc/PID/smaps_rollup` (since 4.14): the sums over a process.
///
/// # Errors
/// See [`Error`].
pub fn read_rollup(procfs: &Procfs, pid: u32) -> Result<Usage, Error> {
    let rollup = read_as(procfs, pid, "smaps_rollup")?.mappings.into_iter().next();
    rollup
        .map(|mapping| mapping.usage)
        .ok_or(Error::Malformed { file: "smaps_rollup", what: "line of addresses" })
}

fn read_as(procfs: &Procfs, pid: u32, file: &str) -> Result<Smaps, Error> {
    let (mut smaps, mut parser) = (Smaps::default(), Parser::default());
    text_file::read(procfs, pid, file, |line| {
        let names_take = parser.names_take();
        parser.line(line, |mapping| smaps.take(mapping, names_take));
    })?;
    Ok(smaps.ended(parser))
}

/// Parses the bytes of an smaps or smaps_rollup file.
pub fn parse(bytes: &[u8]) -> Smaps {
    let (mut smaps, mut parser, mut lines) =
        (Smaps::default(), Parser::default(), text_file::Lines::default());
    let mut take = |line: &[u8]| {
        let names_take = parser.names_take();
        parser.line(line, |mapping| smaps.take(mapping, names_take));
    };
    lines.feed(bytes, &mut take);
    lines.finish(&mut take);
    smaps.ended(parser)
}

impl Smaps {
    fn ended(mut self, mut parser: Parser) -> Self {
        let names_take = parser.names_take();
        self.malformed = parser.malformed();
        parser.finish(|mapping| self.take(mapping, names_take));
        self
    }
}

/// Parses lines one after the other. Keeps one mapping: the one whose fields are being read.
#[derive(Debug, Default)]
pub struct Parser {
    lines: maps::Parser,
    /// `None` after a malformed address line too: the fields after it belong to no mapping.
    current: Option<Mapping>,
    malformed: u64,
}

impl Parser {
    /// Takes a line. `take` gets the mapping that it ends.
    pub fn line(&mut self, line: &[u8], take: impl FnOnce(Mapping)) {
        let is_read = if line.first().is_some_and(u8::is_ascii_uppercase) {
            self.current.as_mut().and_then(|mapping| field(mapping, line)).is_some()
        } else {
            let region = self.lines.region(line);
            let next = region.map(|region| Mapping { region, usage: Usage::default() });
            let is_known = next.is_some();
            if let Some(last) = std::mem::replace(&mut self.current, next) {
                take(last);
            }
            is_known
        };
        self.malformed += u64::from(!is_read);
    }

    /// The file has ended. `take` gets the last mapping.
    pub fn finish(&mut self, take: impl FnOnce(Mapping)) {
        if let Some(last) = self.current.take() {
            take(last);
        }
    }

    /// Lines so far that are neither a mapping nor a field of one.
    pub const fn malformed(&self) -> u64 {
        self.malformed
    }

    /// Memory of all the names so far, in bytes.
    pub const fn names_take(&self) -> Bytes {
        self.lines.names_take()
    }
}

/// `Private_Dirty:        12 kB`, `VmFlags: rd wr mr mw me ac nr`
fn field(mapping: &mut Mapping, line: &[u8]) -> Option<()> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, text) = line.split_at_checked(colon)?;
    let mut words = text.get(1..)?.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    if name == b"VmFlags" {
        let flags = words.fold(VmFlags::default(), |flags, word| flags.with(flag(word), true));
        mapping.region.is_hugetlb |= flags.has(VmFlags::HUGETLB);
        mapping.region.vm_flags = Some(flags);
    } else if let Some(value) = mapping.usage.field(name) {
        let kib = Bytes::from_kib(decimal(words.next()?)?);
        *value = Some(Bytes(value.map_or(0, |sum| sum.0).saturating_add(kib.0)));
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
