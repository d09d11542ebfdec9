//! Resident memory from the page tables of a process: the measurement that corrects the estimates.
//!
//! Input: `/proc/PID/pagemap` and the ranges to scan. Output: resident bytes of each range. `PAGEMAP_SCAN` (since 6.7)
//! returns runs of equal pages; on older kernels [`of_smaps`] is the slower way to the same result. A scan stops when
//! its [`Budget`] is used up and continues there later, so that no process can delay the reader.

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

/// The measurement of a range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// First address.
    pub start: u64,
    /// First address after the range.
    pub end: u64,
    /// For [`super::address_space::AddressSpace::set_truth`].
    pub measured: Measured,
    /// The resident pages of files and shared memory; `None` when not requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<Bytes>,
    /// The resident memory mapped by huge pages; `None` from smaps, which does not show all of them.
    pub huge: Option<Bytes>,
}

/// The most work that one scan step may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Pages to walk; about 15 ns each, or 50 ns with files.
    pub pages: u64,
    /// Calls to the kernel; about 1 µs each.
    pub calls: u32,
}

impl Budget {
    /// At most a tenth of a second.
    pub const DEFAULT: Self = Self { pages: 1 << 20, calls: 256 };
}

/// The state of a scan of a process.
#[derive(Clone, Debug)]
pub struct Walk {
    /// The current range and those after it; `false` for a range that is skipped.
    todo: Peekable<IntoIter<(Found, bool)>>,
    at: u64,
    end: u64,
    outside: Bytes,
    asks_for_files: bool,
}

impl Walk {
    /// Starts a scan of regions, which must be sorted and disjoint. Regions whose pages RSS does not count are skipped.
    pub fn new(regions: impl IntoIterator<Item = Region>) -> Self {
        Self::of(regions, false)
    }

    /// Like [`Self::new`], and also distinguishes file pages from private ones. This takes four times as long, because
    /// the kernel must read each page's structure and not only its entry (13 ms per GiB instead of 3 on 6.18).
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
        // [vsyscall] lies above the user address range.
        let user = |found: &Found| found.end <= 1 << 63;
        let end = todo.iter().rev().find(|(found, _)| user(found)).map_or(at, |(found, _)| found.end);
        Self { todo: todo.into_iter().peekable(), at, end, outside: Bytes(0), asks_for_files }
    }

    /// Whether the scan is complete.
    pub const fn is_done(&self) -> bool {
        self.at >= self.end
    }

    /// Resident bytes outside all regions: the list of regions was incomplete.
    pub const fn outside(&self) -> Bytes {
        self.outside
    }

    /// Takes a run of equal pages.
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

    /// Completes all ranges below an address.
    fn finish(&mut self, at: u64, found: &mut Vec<Found>) {
        while let Some((range, is_wanted)) = self.todo.next_if(|(range, _)| range.end <= at) {
            if is_wanted {
                found.push(range);
            }
        }
    }
}

/// Whether RSS counts the region's pages: not those of the kernel and of devices.
pub fn is_counted(region: &Region) -> bool {
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

/// The result of a scan step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// The ranges that the step completed.
    Found(Vec<Found>),
    /// This kernel does not have `PAGEMAP_SCAN`.
    Unsupported,
}

impl PageTable {
    /// The most runs that one call may return: the size of the kernel's own buffer. For a larger buffer the kernel may
    /// return all runs but a `walk_end` after the first 512 only (6.18, `do_pagemap_scan`).
    const RUNS: usize = 512;

    /// Opens the page tables of a process.
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

    /// Reads the entries of pages from `page` on into the buffer, 8 bytes each
    /// (`Documentation/admin-guide/mm/pagemap.rst`). Returns the number of bytes read.
    ///
    /// # Errors
    /// The kernel's error: the address is out of range, or the process is gone.
    pub fn entries(&self, page: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let place = page.checked_mul(8).ok_or(io::ErrorKind::InvalidInput)?;
        self.file.read_at(buffer, place)
    }

    /// The sub-ranges whose pages are present, in order, and the address up to which they are complete: the end of the
    /// range, or less when `most` pages or the most runs of one call were reached.
    ///
    /// # Errors
    /// The kernel's error: it has no `PAGEMAP_SCAN`, or see [`Self::entries`].
    pub fn present(
        &mut self,
        range: Range<u64>,
        most: u64,
    ) -> io::Result<(impl Iterator<Item = Range<u64>>, u64)> {
        let (runs, reached) = scan(&self.file, &mut self.runs, range, most, PageRun::PRESENT, 0)?;
        Ok((runs.iter().map(|run| run.start..run.end), reached))
    }

    /// Continues the scan until the budget is used up.
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
            // Without progress this loop would never end.
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

/// The same measurements from smaps, one per mapping.
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
    /// `PAGE_IS_PFNZERO`: the zero page, mapped by reads of untouched private memory. RSS does not count it.
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

/// The number of the call.
pub const PAGEMAP_SCAN: rustix::ioctl::Opcode = rustix::ioctl::opcode::read_write::<ScanCall>(b'f', 16);

/// Returns the pages of a range that have any of the wanted categories, `max_pages` at most, as runs of pages with
/// equal categories (of the wanted and the returned ones), and the address up to which the range was walked.
#[expect(unsafe_code, reason = "ioctl is safe only by what it is called with")]
fn scan<'a>(
    file: &File,
    runs: &'a mut [PageRun],
    range: Range<u64>,
    max_pages: u64,
    wanted: u64,
    told: u64,
) -> io::Result<(&'a [PageRun], u64)> {
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
    // A run after `walk_end` was already reported, so continue after it and never scan it twice.
    let reached = runs.last().map_or(call.walk_end, |last| last.end.max(call.walk_end));
    Ok((runs, reached))
}

#[cfg(test)]
#[path = "page_table_tests.rs"]
mod tests;
