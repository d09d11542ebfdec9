//! Memory of a live process, read without a trace in it.
//!
//! Input: a pid. Output: an [`Image`]. The process runs on and is never stopped. A page is read only when
//! pagemap says that it is present: a read of any other would make page tables, or bring it in from swap. Every reading
//! has an end to its bytes and its time.

use std::{
    collections::HashMap,
    fs::File,
    os::unix::fs::FileExt as _,
    time::{Duration, Instant},
};

use super::Image;
use crate::{
    clock::thread_cpu,
    mm::{
        maps,
        procfs::{Error, Procfs},
    },
};

/// Bit 63 of an entry of pagemap.
const PRESENT: u64 = 1 << 63;
/// Entries of pagemap that are read at once: one page of them, 2 MiB of memory.
const ENTRIES: u64 = 512;
/// After this what pagemap said is asked for again before a page is read.
const FRESH: Duration = Duration::from_millis(5);
/// And after this, before pages are counted: nothing is touched by that.
const RECENT: Duration = Duration::from_millis(200);
/// Pages of one block that are asked for one by one: as many as cost what the whole block does.
const MOST_SINGLE: u32 = 16;
/// Ranges that one call takes (`UIO_MAXIOV`).
const MOST_RANGES: usize = 1024;

/// How much one reading may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Bytes that are copied.
    pub bytes: u64,
    /// Processor time: on a busy machine it may take longer, but it does no more.
    pub time: Duration,
}

impl Budget {
    /// 50 ms, and what can be copied in it.
    pub const DEFAULT: Self = Self { bytes: 64 << 20, time: Duration::from_millis(50) };

    /// Until nothing is copied any more: to hold figures against the page tables takes time after they were read.
    const fn copying(&self) -> Duration {
        self.time.saturating_sub(Duration::from_nanos(self.time.as_nanos() as u64 / 5))
    }
}

/// How much longer than its processor time a reading may take, when others run.
const MOST_WAITING: u32 = 10;

/// Counts the processor time of the thread that reads.
#[derive(Clone, Copy, Debug)]
struct Clock {
    begun: Duration,
    allowed: Duration,
    /// Before this it cannot be over; a look at that is cheap.
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
        left.is_zero() || now >= self.last
    }

    fn left(&self) -> Duration {
        self.allowed.saturating_sub(thread_cpu().saturating_sub(self.begun))
    }
}

/// One reading of a process.
#[derive(Debug)]
pub struct Process {
    pid: rustix::process::Pid,
    // Of the address space that was there at the start: once it is gone, nothing is present any more, and another
    // process with this pid is not read.
    pagemap: File,
    page: u64,
    budget: Budget,
    left: u64,
    copying: Clock,
    /// Until not even pagemap is asked any more.
    asking: Clock,
    known: HashMap<u64, Known>,
}

/// What pagemap said of [`ENTRIES`] pages, a bit each.
#[derive(Clone, Copy, Debug)]
struct Known {
    at: Instant,
    /// Pages of it that were asked for one by one since.
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
        let folder = procfs.root().join(pid.to_string());
        let path = folder.join("pagemap");
        let pagemap = File::open(&path).map_err(|source| maps::error(source, path))?;
        let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).ok_or(Error::Gone)?;
        Ok(Self {
            pid,
            pagemap,
            page: (rustix::param::page_size() as u64).max(1),
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
        let place = block.checked_mul(ENTRIES * 8)?;
        let mut filled = 0;
        // The last block of an address space is short.
        while let Some(rest) = entries.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.pagemap.read_at(rest, place.checked_add(filled as u64)?) {
                Ok(0) | Err(_) => break,
                Ok(count) => filled += count,
            }
        }
        let mut bits = [0; (ENTRIES / 64) as usize];
        for (word, entries) in bits.iter_mut().zip(entries.as_chunks::<8>().0.chunks(64)) {
            for (bit, entry) in entries.iter().enumerate() {
                *word |= u64::from(is_set(*entry)) << bit;
            }
        }
        Some(bits)
    }

    /// One page, before it is read. A walk that jumps about asks for that page alone, until it has asked for so many of
    /// a block that the whole of it would have cost no more.
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
                let place = page.checked_mul(8);
                place.is_some_and(|place| self.pagemap.read_exact_at(&mut entry, place).is_ok())
                    && is_set(entry)
            }
        }
    }

    /// Pages of one block, before they are read.
    fn are_there(&self, first: u64, last: u64) -> bool {
        let known = self.known.get(&(first / ENTRIES)).filter(|known| known.at.elapsed() < FRESH);
        if let Some(bits) = known.and_then(|known| known.bits) {
            return (first..=last).all(|page| has(&bits, page));
        }
        let mut entries = [0; ENTRIES as usize * 8];
        let len = usize::try_from(last.saturating_sub(first).saturating_add(1)).unwrap_or(usize::MAX);
        let asked = first.checked_mul(8).zip(entries.get_mut(..len.saturating_mul(8)));
        asked.is_some_and(|(place, entries)| {
            self.pagemap.read_exact_at(entries, place).is_ok()
                && entries.as_chunks::<8>().0.iter().all(|entry| is_set(*entry))
        })
    }

    fn is_present(&mut self, start: u64, len: u64) -> bool {
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

const fn is_set(entry: [u8; 8]) -> bool {
    u64::from_ne_bytes(entry) & PRESENT != 0
}

/// Whether a page is present, by what pagemap said of its block.
fn has(bits: &Bits, page: u64) -> bool {
    let page = page % ENTRIES;
    let word = usize::try_from(page / 64).ok().and_then(|word| bits.get(word));
    word.is_some_and(|word| word >> (page % 64) & 1 != 0)
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
        // As much of the bytes as there is of the time.
        let in_time = u128::from(self.budget.bytes) * time / all;
        self.left.min(u64::try_from(in_time).unwrap_or(u64::MAX))
    }

    fn is_spent(&self) -> bool {
        self.left == 0
    }

    fn present(&mut self, start: u64, end: u64) -> Vec<(u64, u64)> {
        let mut present: Vec<(u64, u64)> = Vec::new();
        let (mut page, end_page) = (start / self.page, end.div_ceil(self.page));
        while page < end_page && !self.asking.is_over() {
            let known = self.known(page / ENTRIES, RECENT);
            let stop = (page / ENTRIES + 1).saturating_mul(ENTRIES).min(end_page);
            for page in page..stop {
                if !has(&known, page) {
                    continue;
                }
                let (from, to) =
                    ((page * self.page).max(start), (page + 1).saturating_mul(self.page).min(end));
                match present.last_mut() {
                    Some(last) if last.1 == from => last.1 = to,
                    _ => present.push((from, to)),
                }
            }
            page = stop;
        }
        if page < end_page {
            // Not all of it was looked at: what is made of this must not pass for the whole.
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
            if self.is_present(*address, len as u64) && self.spend(len as u64) {
                wanted.push((at, *address, slot));
            }
        }
        for batch in wanted.chunks_mut(MOST_RANGES) {
            let mut from = 0;
            // The call ends at the first range that is gone by now; the next goes on behind it.
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

/// Copies ranges into slots of the same length until one cannot be read; how many bytes it were.
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
