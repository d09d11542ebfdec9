//! Memory of a live process, read without changing it.
//!
//! Input: a pid. Output: an [`Image`]. The process is never stopped. A page is read only if pagemap shows it as
//! present: reading any other page would allocate page tables or swap it in. Every reading has a budget of bytes and
//! time.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::Image;
use crate::{
    clock::thread_cpu,
    mm::{
        page_table::{PageTable, is_present},
        procfs::{Error, Procfs},
    },
};

/// Entries of pagemap that are read at once: one page of entries, for 2 MiB of memory.
const ENTRIES: u64 = 512;
/// Age after which pagemap entries are read again before a page is read.
const FRESH: Duration = Duration::from_millis(5);
/// The same before pages are only counted, which touches no page.
const RECENT: Duration = Duration::from_millis(200);
/// The most pages of one block whose entries are read singly: as many as cost the same as the whole block.
const MOST_SINGLE: u32 = 16;
/// The most pages that one query of a large range returns: about a millisecond.
const MOST_FOUND: u64 = 1 << 16;
/// The most ranges of one call (`UIO_MAXIOV`).
const MOST_RANGES: usize = 1024;

/// The limits of one reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The most bytes that are copied.
    pub bytes: u64,
    /// The most CPU time. On a busy machine the reading may take longer.
    pub time: Duration,
}

impl Budget {
    /// 50 ms, and the bytes that can be copied in that time.
    pub const DEFAULT: Self = Self { bytes: 64 << 20, time: Duration::from_millis(50) };

    /// The time for copying; the rest is for checking figures against the page tables.
    const fn copying(&self) -> Duration {
        self.time.saturating_sub(Duration::from_nanos(self.time.as_nanos() as u64 / 5))
    }
}

/// The most wall-clock time of a reading, as a multiple of its CPU time.
const MOST_WAITING: u32 = 10;

/// Measures the CPU time of the reading thread.
#[derive(Clone, Copy, Debug)]
struct Clock {
    begun: Duration,
    allowed: Duration,
    /// The time cannot be up before this instant, which is cheap to check.
    next: Instant,
    last: Instant,
}

impl Clock {
    fn new(allowed: Duration) -> Self {
        let now = Instant::now();
        Self { begun: thread_cpu(), allowed, next: now + allowed, last: now + allowed * MOST_WAITING }
    }

    fn is_over(&mut self) -> bool {
        let now = Instant::now();
        if now < self.next {
            return false;
        }
        let left = self.left();
        self.next = now + left;
        left.is_zero()
    }

    /// The remaining CPU time, limited by the remaining wall-clock time.
    fn left(&self) -> Duration {
        let waiting = self.last.saturating_duration_since(Instant::now()) / MOST_WAITING;
        self.allowed.saturating_sub(thread_cpu().saturating_sub(self.begun)).min(waiting)
    }
}

/// One reading of a process.
#[derive(Debug)]
pub struct Process {
    pid: rustix::process::Pid,
    // Refers to the address space at the start. Once that is gone, no page is present, so another process with the same
    // pid is never read.
    table: PageTable,
    page: u64,
    budget: Budget,
    left: u64,
    copying: Clock,
    /// Limits the queries of pagemap.
    asking: Clock,
    known: HashMap<u64, Known>,
}

/// Cached presence of [`ENTRIES`] pages, a bit each.
#[derive(Clone, Copy, Debug)]
struct Known {
    at: Instant,
    /// Pages of the block whose entries were read singly since.
    singles: u32,
    bits: Option<Bits>,
}

type Bits = [u64; (ENTRIES / 64) as usize];

impl Process {
    /// Starts a reading.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn open(procfs: &Procfs, pid: u32, budget: Budget) -> Result<Self, Error> {
        let table = PageTable::open(procfs, pid)?;
        let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).ok_or(Error::Gone)?;
        Ok(Self {
            pid,
            page: table.page_size(),
            table,
            budget,
            left: budget.bytes,
            copying: Clock::new(budget.copying()),
            asking: Clock::new(budget.time),
            known: HashMap::new(),
        })
    }

    fn known(&mut self, block: u64, age: Duration) -> Bits {
        let now = Instant::now();
        let known = self.known.get(&block).filter(|known| now - known.at < age);
        if let Some(bits) = known.and_then(|known| known.bits) {
            return bits;
        }
        let bits = self.ask(block).unwrap_or_default();
        self.known.insert(block, Known { at: now, singles: 0, bits: Some(bits) });
        bits
    }

    fn ask(&self, block: u64) -> Option<Bits> {
        let mut entries = [0; ENTRIES as usize * 8];
        let first = block.checked_mul(ENTRIES)?;
        let mut filled = 0;
        // The last block of an address space may be short.
        while let Some(rest) = entries.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.table.entries(first.checked_add(filled as u64 / 8)?, rest) {
                Ok(count) if count > 0 && count % 8 == 0 => filled += count,
                Ok(_) | Err(_) => break,
            }
        }
        let mut bits = [0; (ENTRIES / 64) as usize];
        for (word, entries) in bits.iter_mut().zip(entries.as_chunks::<8>().0.chunks(64)) {
            for (bit, entry) in entries.iter().enumerate() {
                *word |= u64::from(is_present(*entry)) << bit;
            }
        }
        Some(bits)
    }

    /// The present pages of a range of several blocks, with few queries (`PAGEMAP_SCAN`): 3 ms per resident GiB,
    /// instead of 20 block by block, and nothing for absent pages. `None` on kernels without it, and for ranges that
    /// are cached.
    fn survey(&mut self, start: u64, end: u64) -> Option<Vec<(u64, u64)>> {
        let (first, behind) = (start / self.page, end.div_ceil(self.page));
        let mut blocks = first / ENTRIES..behind.div_ceil(ENTRIES);
        let is_recent = |known: &Known| known.bits.is_some() && known.at.elapsed() < RECENT;
        if blocks.end.saturating_sub(blocks.start) < 2
            || blocks.all(|block| self.known.get(&block).is_some_and(is_recent))
        {
            return None;
        }
        let (mut at, last) = (first * self.page, behind.checked_mul(self.page)?);
        let (mut present, mut found) = (Vec::new(), HashMap::<u64, Bits>::new());
        while at < last && !self.asking.is_over() {
            let (runs, reached) = self.table.present(at..last, MOST_FOUND).ok()?;
            for run in runs {
                join(&mut present, run.start.max(start), run.end.min(end));
                let (mut page, end_page) = (run.start / self.page, run.end / self.page);
                while page < end_page {
                    let stop = (page / ENTRIES + 1).saturating_mul(ENTRIES).min(end_page);
                    set(found.entry(page / ENTRIES).or_default(), page % ENTRIES, stop - page);
                    page = stop;
                }
            }
            if reached <= at {
                break;
            }
            at = reached;
        }
        if at < last {
            self.left = 0;
        }
        // The blocks that the answer covers completely.
        let whole = first.div_ceil(ENTRIES)..(at / self.page).min(behind) / ENTRIES;
        let now = Instant::now();
        let found = found.into_iter().filter(|(block, _)| whole.contains(block));
        self.known
            .extend(found.map(|(block, bits)| (block, Known { at: now, singles: 0, bits: Some(bits) })));
        Some(present)
    }

    /// Checks one page before it is read. For walks that jump about it reads single entries, until the whole block
    /// would have cost the same.
    fn is_there(&mut self, page: u64) -> bool {
        let (block, now) = (page / ENTRIES, Instant::now());
        let known = self.known.entry(block).or_insert(Known { at: now, singles: 0, bits: None });
        if now - known.at >= FRESH {
            *known = Known { at: now, singles: 0, bits: None };
        }
        match known.bits {
            Some(bits) => has(&bits, page),
            None if known.singles >= MOST_SINGLE => has(&self.known(block, Duration::ZERO), page),
            None => {
                known.singles += 1;
                let mut entry = [0; 8];
                self.fill(page, &mut entry) && is_present(entry)
            }
        }
    }

    /// Checks pages of one block before they are read.
    fn are_there(&self, first: u64, last: u64) -> bool {
        let known = self.known.get(&(first / ENTRIES)).filter(|known| known.at.elapsed() < FRESH);
        if let Some(bits) = known.and_then(|known| known.bits) {
            return (first..=last).all(|page| has(&bits, page));
        }
        let mut entries = [0; ENTRIES as usize * 8];
        let len = usize::try_from(last.saturating_sub(first).saturating_add(1)).unwrap_or(usize::MAX);
        let asked = entries.get_mut(..len.saturating_mul(8));
        asked.is_some_and(|entries| {
            self.fill(first, entries) && entries.as_chunks::<8>().0.iter().all(|entry| is_present(*entry))
        })
    }

    /// Reads all these entries; false unless all could be read.
    fn fill(&self, page: u64, entries: &mut [u8]) -> bool {
        self.table.entries(page, entries).is_ok_and(|count| count == entries.len())
    }

    fn are_all_there(&mut self, start: u64, len: u64) -> bool {
        let Some(last) = start.checked_add(len.saturating_sub(1)) else { return false };
        let (first, last) = (start / self.page, last / self.page);
        if last - first < u64::from(MOST_SINGLE) {
            return (first..=last).all(|page| self.is_there(page));
        }
        (first / ENTRIES..=last / ENTRIES).all(|block| {
            let start = block.saturating_mul(ENTRIES);
            self.are_there(first.max(start), last.min(start.saturating_add(ENTRIES - 1)))
        })
    }

    fn spend(&mut self, bytes: u64) -> bool {
        match self.left.checked_sub(bytes) {
            Some(left) if !self.copying.is_over() => self.left = left,
            _ => self.left = 0,
        }
        self.left > 0
    }
}

/// Whether a page is present in the cached bits of its block.
fn has(bits: &Bits, page: u64) -> bool {
    let page = page % ENTRIES;
    let word = usize::try_from(page / 64).ok().and_then(|word| bits.get(word));
    word.is_some_and(|word| word >> (page % 64) & 1 != 0)
}

/// Sets `count` bits from `first` on.
fn set(bits: &mut Bits, first: u64, count: u64) {
    for (word, begin) in bits.iter_mut().zip((0_u64..).step_by(64)) {
        let (from, to) = (first.clamp(begin, begin + 64), (first + count).clamp(begin, begin + 64));
        let ones = u64::MAX.checked_shr((64 - (to - from)) as u32).unwrap_or(0);
        *word |= ones.checked_shl((from - begin) as u32).unwrap_or(0);
    }
}

/// Appends a range, or extends the last one.
fn join(ranges: &mut Vec<(u64, u64)>, start: u64, end: u64) {
    match ranges.last_mut() {
        Some(last) if last.1 == start => last.1 = end,
        _ => ranges.push((start, end)),
    }
}

impl Image for Process {
    fn read(&mut self, address: u64, buffer: &mut [u8]) -> bool {
        let len = buffer.len();
        self.read_each(&[address], len, buffer) == [true]
    }

    fn page_size(&self) -> u64 {
        self.page
    }

    fn left(&self) -> u64 {
        let (time, all) = (self.copying.left().as_nanos(), self.budget.copying().as_nanos().max(1));
        // The share of the bytes is that of the remaining time.
        let in_time = u128::from(self.budget.bytes) * time / all;
        self.left.min(u64::try_from(in_time).unwrap_or(u64::MAX))
    }

    fn is_spent(&self) -> bool {
        self.left == 0
    }

    fn present(&mut self, start: u64, end: u64) -> Vec<(u64, u64)> {
        if let Some(present) = self.survey(start, end) {
            return present;
        }
        let mut present = Vec::new();
        let (mut page, end_page) = (start / self.page, end.div_ceil(self.page));
        while page < end_page && !self.asking.is_over() {
            let known = self.known(page / ENTRIES, RECENT);
            let stop = (page / ENTRIES + 1).saturating_mul(ENTRIES).min(end_page);
            for page in (page..stop).filter(|page| has(&known, *page)) {
                let (from, to) = (page * self.page, (page + 1).saturating_mul(self.page));
                join(&mut present, from.max(start), to.min(end));
            }
            page = stop;
        }
        if page < end_page {
            // Not all of it was checked, so the result must not count as complete.
            self.left = 0;
        }
        present
    }

    fn read_each(&mut self, addresses: &[u64], len: usize, buffer: &mut [u8]) -> Vec<bool> {
        let mut done = vec![false; addresses.len()];
        if len == 0 {
            return done;
        }
        let mut wanted: Vec<(usize, u64, &mut [u8])> = Vec::new();
        for ((at, address), slot) in addresses.iter().enumerate().zip(buffer.chunks_exact_mut(len)) {
            if self.are_all_there(*address, len as u64) && self.spend(len as u64) {
                wanted.push((at, *address, slot));
            }
        }
        for batch in wanted.chunks_mut(MOST_RANGES) {
            let mut from = 0;
            // The call stops at the first range that is no longer mapped; the next call continues after it.
            while let Some(rest) = batch.get_mut(from..).filter(|rest| !rest.is_empty()) {
                let count = copy(self.pid, rest).unwrap_or(0) / len;
                for (at, ..) in rest.iter().take(count) {
                    done.iter_mut().skip(*at).take(1).for_each(|done| *done = true);
                }
                from += count + 1;
            }
        }
        done
    }
}

/// Copies ranges into slots of the same length until one cannot be read. Returns the number of bytes.
#[expect(unsafe_code, reason = "process_vm_readv has no safe form")]
fn copy(pid: rustix::process::Pid, slots: &mut [(usize, u64, &mut [u8])]) -> Option<usize> {
    let local: Vec<libc::iovec> = slots
        .iter_mut()
        .map(|(_, _, slot)| libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: slot.len() })
        .collect();
    let remote: Vec<libc::iovec> = slots
        .iter()
        .map(|(_, address, slot)| libc::iovec {
            iov_base: std::ptr::without_provenance_mut(*address as usize),
            iov_len: slot.len(),
        })
        .collect();
    let count = local.len() as libc::c_ulong;
    // SAFETY: `local` names the slots, which are borrowed mutably until then, and any bytes are valid in them; the
    // addresses of `remote` are another process's, which the kernel checks.
    let copied = unsafe {
        libc::process_vm_readv(pid.as_raw_nonzero().get(), local.as_ptr(), count, remote.as_ptr(), count, 0)
    };
    usize::try_from(copied).ok()
}

#[cfg(test)]
#[path = "process_tests.rs"]
mod tests;
