//! What the page tables of a process hold: the truth that estimates are set right by.
//!
//! Input: `/proc/PID/pagemap` and the ranges to look at. Output: resident bytes a range. The kernel answers with runs
//! of alike pages (`PAGEMAP_SCAN`, from 6.7 on); where it does not, [`of_smaps`] is the slower way to the same.
//! A look is as long as its [`Budget`] and goes on where it stopped, so that no process can hold its reader up.

use std::{
    fs::File,
    io,
    iter::Peekable,
    ops::Range,
    os::{fd::AsRawFd as _, unix::fs::FileExt as _},
    vec::IntoIter,
};

use serde::{Deserialize, Serialize};

use super::{
    procfs::{Error, Procfs},
    region::{Backing, Region, VmFlags},
    residency::Measured,
    smaps::Smaps,
    text_file,
};
use crate::units::Bytes;

/// What a range holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// First address.
    pub start: u64,
    /// First address behind it.
    pub end: u64,
    /// For [`super::address_space::AddressSpace::set_truth`].
    pub measured: Measured,
    /// The part of what is resident that is pages of files or shared memory; `None` when that was not asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<Bytes>,
    /// The part of what is resident that is mapped by huge pages; `None` from smaps, which does not tell all.
    pub huge: Option<Bytes>,
}

/// How much work one look may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Pages that are walked, some 15 ns each, or 50 with files.
    pub pages: u64,
    /// Questions to the kernel, some 1 µs each.
    pub calls: u32,
}

impl Budget {
    /// A tenth of a second at the very most.
    pub const DEFAULT: Self = Self { pages: 1 << 20, calls: 256 };
}

/// Where a look at a process is.
#[derive(Clone, Debug)]
pub struct Walk {
    /// Ranges from the one that is being looked at on; `false` for one that is not wanted.
    todo: Peekable<IntoIter<(Found, bool)>>,
    at: u64,
    end: u64,
    outside: Bytes,
    asks_for_files: bool,
}

impl Walk {
    /// Of these regions, which are sorted and disjoint. Those whose pages no RSS counts are left out.
    pub fn new(regions: impl IntoIterator<Item = Region>) -> Self {
        Self::of(regions, false)
    }

    /// The same, and pages of files told from private ones: four times the work, because the kernel has to look at
    /// every page and not at its entry alone (13 ms a GiB instead of 3 on 6.18).
    pub fn with_files(regions: impl IntoIterator<Item = Region>) -> Self {
        Self::of(regions, true)
    }

    fn of(regions: impl IntoIterator<Item = Region>, asks_for_files: bool) -> Self {
        let todo: Vec<_> = regions
            .into_iter()
            .map(|region| {
                let measured = Measured { swapped: Some(Bytes(0)), ..Measured::default() };
                let (start, end) = (region.start, region.end);
                let file = asks_for_files.then_some(Bytes(0));
                let found = Found { start, end, measured, file, huge: Some(Bytes(0)) };
                (found, is_counted(&region))
            })
            .collect();
        let at = todo.first().map_or(0, |(found, _)| found.start);
        // [vsyscall] is behind the last address that a process has.
        let user = |found: &Found| found.end <= 1 << 63;
        let end = todo.iter().rev().find(|(found, _)| user(found)).map_or(at, |(found, _)| found.end);
        Self { todo: todo.into_iter().peekable(), at, end, outside: Bytes(0), asks_for_files }
    }

    /// Whether everything was looked at.
    pub const fn is_done(&self) -> bool {
        self.at >= self.end
    }

    /// Resident in none of the regions: they were not all that there is.
    pub const fn outside(&self) -> Bytes {
        self.outside
    }

    /// A run of alike pages.
    fn take(&mut self, run: &PageRun, found: &mut Vec<Found>) {
        let mut at = run.start;
        while at < run.end {
            self.finish(at, found);
            let Some((range, _)) = self.todo.peek_mut().filter(|(range, _)| range.start < run.end) else {
                self.outside.0 = self.outside.0.saturating_add(run.resident(run.end - at));
                return;
            };
            if at < range.start {
                self.outside.0 = self.outside.0.saturating_add(run.resident(range.start - at));
                at = range.start;
            }
            let end = run.end.min(range.end);
            run.add_to(range, end.saturating_sub(at));
            at = end;
        }
    }

    /// Everything below an address was looked at.
    fn finish(&mut self, at: u64, found: &mut Vec<Found>) {
        while let Some((range, is_wanted)) = self.todo.next_if(|(range, _)| range.end <= at) {
            if is_wanted {
                found.push(range);
            }
        }
    }
}

/// Pages of the kernel and of devices are in page tables and in no RSS.
fn is_counted(region: &Region) -> bool {
    if region.vm_flags.is_some_and(|flags| flags.has(VmFlags::PFN_MAP)) {
        return false;
    }
    match &region.backing {
        Backing::Special(_) => false,
        Backing::File(file) => !file.path.starts_with(b"/dev/") || file.path.starts_with(b"/dev/shm/"),
        Backing::Anonymous
        | Backing::SharedAnonymous
        | Backing::UnknownFile
        | Backing::Heap
        | Backing::Stack => true,
    }
}

/// The page tables of a process.
#[derive(Debug)]
pub struct PageTable {
    file: File,
    page: u64,
    runs: Vec<PageRun>,
}

/// Whether the page of an entry is present: bit 63.
pub const fn is_present(entry: [u8; 8]) -> bool {
    u64::from_ne_bytes(entry) >> 63 != 0
}

/// How a look ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// The ranges that it completed.
    Found(Vec<Found>),
    /// This kernel does not have `PAGEMAP_SCAN`.
    Unsupported,
}

impl PageTable {
    /// Runs that one question is answered with at most: as many as the kernel collects at once. Asked for more, it
    /// may answer with all of them and say that it got no further than the first 512 (6.18, `do_pagemap_scan`).
    const RUNS: usize = 512;

    /// Those of a process.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn open(procfs: &Procfs, pid: u32) -> Result<Self, Error> {
        let path = procfs.root().join(pid.to_string()).join("pagemap");
        let file = File::open(&path).map_err(|source| text_file::error(source, path))?;
        Ok(Self::of(file))
    }

    fn of(file: File) -> Self {
        let page = (rustix::param::page_size() as u64).max(1);
        Self { file, page, runs: vec![PageRun::default(); Self::RUNS] }
    }

    /// Bytes of a page.
    pub const fn page_size(&self) -> u64 {
        self.page
    }

    /// Fills the buffer with the entries of pages from one on, 8 bytes each
    /// (`Documentation/admin-guide/mm/pagemap.rst`); how many bytes there were.
    ///
    /// # Errors
    /// The kernel's: of an address that no process has, or a process that is gone.
    pub fn entries(&self, page: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let place = page.checked_mul(8).ok_or(io::ErrorKind::InvalidInput)?;
        self.file.read_at(buffer, place)
    }

    /// Ranges of a range whose pages are present, in order, and how far that goes: to its end, or until there were
    /// `most` pages or as many ranges as the kernel tells at once.
    ///
    /// # Errors
    /// The kernel's: it has no `PAGEMAP_SCAN`, or see [`Self::entries`].
    pub fn present(
        &mut self,
        range: Range<u64>,
        most: u64,
    ) -> io::Result<(impl Iterator<Item = Range<u64>>, u64)> {
        let (runs, reached) = scan(&self.file, &mut self.runs, range, most, PageRun::PRESENT, 0)?;
        Ok((runs.iter().map(|run| run.start..run.end), reached))
    }

    /// Looks on, as far as the budget goes.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn look(&mut self, walk: &mut Walk, budget: Budget) -> Result<Look, Error> {
        let mut found = Vec::new();
        let mut pages = budget.pages.max(1);
        for _ in 0..budget.calls.max(1) {
            if walk.is_done() || pages == 0 {
                break;
            }
            let wanted = PageRun::PRESENT | PageRun::SWAPPED;
            let file = if walk.asks_for_files { PageRun::FILE } else { 0 };
            let told = PageRun::ZERO | PageRun::HUGE | file;
            let (runs, reached) =
                match scan(&self.file, &mut self.runs, walk.at..walk.end, pages, wanted, told) {
                    Ok(answer) => answer,
                    Err(error) => return unsupported(error),
                };
            for run in runs {
                pages = pages.saturating_sub(run.end.saturating_sub(run.start) / self.page);
                walk.take(run, &mut found);
            }
            // A kernel that does not get on would keep us here for ever.
            let is_stuck = reached <= walk.at;
            walk.at = if is_stuck { walk.end } else { reached };
            walk.finish(walk.at, &mut found);
        }
        Ok(Look::Found(found))
    }
}

fn unsupported(source: io::Error) -> Result<Look, Error> {
    match source.raw_os_error() {
        Some(libc::ENOTTY | libc::EINVAL) => Ok(Look::Unsupported),
        _ => Err(text_file::error(source, "pagemap".into())),
    }
}

/// The same from smaps, mapping by mapping.
pub fn of_smaps(smaps: &Smaps) -> Vec<Found> {
    let found = smaps.mappings.iter().filter_map(|mapping| {
        let (region, usage) = (&mapping.region, &mapping.usage);
        let measured = Measured::of(region, usage)?;
        let anonymous = usage.anonymous.filter(|_| !region.is_hugetlb);
        let file = anonymous.map(|anonymous| Bytes(measured.resident.0.saturating_sub(anonymous.0)));
        Some(Found { start: region.start, end: region.end, measured, file, huge: None })
    });
    found.collect()
}

/// `struct page_region` (include/uapi/linux/fs.h).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
struct PageRun {
    start: u64,
    end: u64,
    categories: u64,
}

impl PageRun {
    const FILE: u64 = 1 << 2;
    const PRESENT: u64 = 1 << 3;
    const SWAPPED: u64 = 1 << 4;
    /// The zero page, which reads of untouched private memory find: no RSS counts it.
    const ZERO: u64 = 1 << 5;
    const HUGE: u64 = 1 << 6;

    const fn has(&self, category: u64) -> bool {
        self.categories & category != 0
    }

    fn resident(&self, bytes: u64) -> u64 {
        if self.has(Self::PRESENT) && !self.has(Self::ZERO) { bytes } else { 0 }
    }

    fn add_to(&self, found: &mut Found, bytes: u64) {
        let resident = self.resident(bytes);
        let add = |sum: &mut Bytes, category| {
            sum.0 = sum.0.saturating_add(if self.has(category) { resident } else { 0 });
        };
        add(&mut found.measured.resident, Self::PRESENT);
        found.file.as_mut().into_iter().for_each(|file| add(file, Self::FILE));
        found.huge.as_mut().into_iter().for_each(|huge| add(huge, Self::HUGE));
        if let Some(swapped) = found.measured.swapped.as_mut().filter(|_| self.has(Self::SWAPPED)) {
            swapped.0 = swapped.0.saturating_add(bytes);
        }
    }
}

/// `struct pm_scan_arg` (include/uapi/linux/fs.h).
#[derive(Debug)]
#[repr(C)]
struct ScanCall {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// Asks for the pages of a range that are of any category that is wanted, `max_pages` of them at most: in runs of alike
/// ones, by these categories and those to be told besides, and how far the answer reaches.
#[expect(unsafe_code, reason = "ioctl is safe only by what it is called with")]
fn scan<'a>(
    file: &File,
    runs: &'a mut [PageRun],
    range: Range<u64>,
    max_pages: u64,
    wanted: u64,
    told: u64,
) -> io::Result<(&'a [PageRun], u64)> {
    const PAGEMAP_SCAN: rustix::ioctl::Opcode = rustix::ioctl::opcode::read_write::<ScanCall>(b'f', 16);
    let mut call = ScanCall {
        size: size_of::<ScanCall>() as u64,
        flags: 0,
        start: range.start,
        end: range.end,
        walk_end: 0,
        vec: runs.as_mut_ptr().expose_provenance() as u64,
        vec_len: runs.len() as u64,
        max_pages,
        category_inverted: 0,
        category_mask: 0,
        category_anyof_mask: wanted,
        return_mask: wanted | told,
    };
    // SAFETY: `call` is a pm_scan_arg of the size that it says. The kernel writes `walk_end` in it and up to
    // `vec_len` page_regions to `vec`, which is `runs`, borrowed mutably until then; any bytes are valid ones.
    let count = unsafe { libc::ioctl(file.as_raw_fd(), PAGEMAP_SCAN as libc::Ioctl, &raw mut call) };
    let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
    let runs = runs.get(..count).unwrap_or_default();
    // Never to look twice matters more than what the kernel says of its walk.
    let reached = runs.last().map_or(call.walk_end, |last| last.end.max(call.walk_end));
    Ok((runs, reached))
}

#[cfg(test)]
#[path = "page_table_tests.rs"]
mod tests;
