//! Arenas of mimalloc 3: slices, bitmaps of them, and one table of page heads.
//!
//! Input: a range of memory. Output: the sums of each arena in it. Offsets are those of 3.3 and 3.4. An arena must
//! contain its own address and length, and every page must be inside it.

use super::{SLICE, Tally};
use crate::allocator::{counters::data, image::Image};

/// The versions with this layout.
pub(super) const VERSIONS: &str = "3.3 or 3.4";
const HEADER: usize = 152;
const SUBPROCESS: usize = 24;
const SLICES: usize = 40;
const INFO_SLICES: usize = 48;
const FREE: usize = 104;
const PAGES_META: usize = 136;
const PAGES: usize = 144;
/// `chunks` of a bitmap, and of one with bins. Each chunk is 512 bits.
const BITMAP_CHUNKS: u64 = 128;
const BINNED_CHUNKS: u64 = 448;
const CHUNK: u64 = 512;
/// Size of `mi_page_t`, and the offsets of `used`, `capacity`, `reserved`, `block_size` and `page_start` in it.
const PAGE: u64 = 120;
const FIELDS: [usize; 5] = [16, 18, 20, 40, 48];
/// Slices of the largest arena.
const MOST_SLICES: u64 = 1 << 20;

/// All arenas that begin in a range, one after the other; empty unless all fit.
pub(super) fn all_in(image: &mut dyn Image, start: u64, end: u64) -> Vec<Tally> {
    let mut found = Vec::new();
    let mut at = start.next_multiple_of(SLICE);
    while at < end {
        let Some(tally) = arena(image, at, end) else { break };
        at = at.saturating_add(tally.bytes).next_multiple_of(SLICE);
        found.push(tally);
    }
    found
}

fn arena(image: &mut dyn Image, at: u64, limit: u64) -> Option<Tally> {
    let mut header = [0; HEADER];
    if !image.read(at, &mut header) {
        return None;
    }
    let word = |offset: usize| data::word(&header, offset);
    let (slices, info) = (word(SLICES)?, word(INFO_SLICES)?);
    let bytes = slices.checked_mul(SLICE)?;
    let end = at.checked_add(bytes)?;
    let inside = |address: u64| (at..end).contains(&address);
    let is_arena = word(0)? == at
        && word(8)? >= bytes
        && (1..=MOST_SLICES).contains(&slices)
        && end <= limit
        && (1..slices).contains(&info)
        && word(SUBPROCESS)? != 0
        && [FREE, PAGES_META, PAGES].iter().all(|offset| word(*offset).is_some_and(inside));
    if !is_arena {
        return None;
    }
    let free = bits(image, word(FREE)?, BINNED_CHUNKS, slices)?;
    let pages = bits(image, word(PAGES)?, BITMAP_CHUNKS, slices)?;
    let mut tally = Tally { start: at, bytes, ..Tally::default() };
    let info_end = at + info * SLICE;
    tally.metadata = image.resident(at, info_end);
    for (from, to) in runs(&free, slices) {
        tally.free = tally.free.saturating_add(image.resident(at + from * SLICE, at + to * SLICE));
    }
    pages_of(image, &mut tally, word(PAGES_META)?, &pages, slices)?;
    Some(tally)
}

/// Adds every existing page, from its head.
fn pages_of(image: &mut dyn Image, tally: &mut Tally, meta: u64, pages: &[u64], slices: u64) -> Option<()> {
    let (at, end) = (tally.start, tally.start.checked_add(tally.bytes)?);
    let set: Vec<u64> = (0..slices).filter(|slice| is_set(pages, *slice)).collect();
    let heads: Vec<u64> =
        set.iter().map(|slice| slice.checked_mul(PAGE)?.checked_add(meta)).collect::<Option<_>>()?;
    let mut bytes = vec![0; heads.len() * PAGE as usize];
    let done = image.read_each(&heads, PAGE as usize, &mut bytes);
    let all = set.iter().zip(bytes.chunks_exact(PAGE as usize)).zip(done);
    for ((slice, head), is_there) in all {
        if !is_there {
            return None;
        }
        let [used, capacity, reserved, block_size, page_start] = FIELDS;
        let (used, capacity, reserved) =
            (data::quarter(head, used)?, data::quarter(head, capacity)?, data::quarter(head, reserved)?);
        let (block_size, page_start) = (data::word(head, block_size)?, data::word(head, page_start)?);
        // The page was freed since its bit was read.
        if block_size == 0 || reserved == 0 {
            continue;
        }
        let span_end = page_start.checked_add(block_size.checked_mul(u64::from(reserved))?)?;
        let is_page = used <= capacity
            && capacity <= reserved
            && page_start >= at + slice * SLICE
            && page_start < at + (slice + 1) * SLICE
            && span_end <= end;
        if !is_page || !tally.page(image, (page_start, span_end), u64::from(used), block_size) {
            return None;
        }
    }
    Some(())
}

/// The bits of a bitmap, at least as many as there are slices.
fn bits(image: &mut dyn Image, at: u64, chunks: u64, slices: u64) -> Option<Vec<u64>> {
    let count = image.word(at)?;
    if count < slices.div_ceil(CHUNK) || count > MOST_SLICES / CHUNK {
        return None;
    }
    let mut bytes = vec![0; usize::try_from(count * CHUNK / 8).ok()?];
    let is_read = image.read(at.checked_add(chunks)?, &mut bytes);
    is_read.then(|| bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect())
}

fn is_set(bits: &[u64], at: u64) -> bool {
    usize::try_from(at / 64)
        .ok()
        .and_then(|word| bits.get(word))
        .is_some_and(|word| word >> (at % 64) & 1 != 0)
}

/// Runs of set bits.
fn runs(bits: &[u64], len: u64) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for at in (0..len).filter(|at| is_set(bits, *at)) {
        match runs.last_mut() {
            Some(last) if last.1 == at => last.1 += 1,
            _ => runs.push((at, at + 1)),
        }
    }
    runs
}
