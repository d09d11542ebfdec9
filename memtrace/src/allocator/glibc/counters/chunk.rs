//! Walks a heap chunk by chunk and counts free memory.
//!
//! Input: an image and a span of chunks. Output: [`Tally`]. Works while the process allocates: memory is read in large
//! pieces, each with one read. Inconsistent memory is read again, then skipped and counted as unknown. Chunks larger
//! than a piece are skipped without being read.

use super::layout;
use crate::allocator::{counters::sampling::Doubt, image::Image};

/// Flags of `malloc_chunk.mchunk_size`.
pub const PREV_INUSE: u64 = 1;
const IS_MMAPPED: u64 = 2;
/// All flags.
pub const FLAGS: u64 = 7;
/// `MINSIZE`.
pub const SMALLEST: u64 = 32;
/// `MALLOC_ALIGNMENT`.
pub const ALIGNMENT: u64 = 16;

/// Bytes that a walk reads at once.
pub const PIECE: u64 = 128 << 10;
const MOST_RETRIES: u32 = 4;
/// A chain of this many valid chunks is accepted: it does not occur by chance.
const CHAIN: u32 = 24;
/// A shorter chain is accepted if it covers at least half of a piece up to its end: large chunks.
const FEWEST: u32 = 5;

/// A range of consecutive chunks of one arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first chunk.
    pub start: u64,
    /// The top chunk, or the end of a heap that is not the last.
    pub end: u64,
    /// Whether `end` is the top chunk.
    pub has_top: bool,
}

/// The sums over spans.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// Bytes in free chunks; those of fast bins and thread caches count as in use.
    pub free: u64,
    /// The resident part of them.
    pub free_resident: u64,
    /// Bytes that could not be interpreted.
    pub unknown: u64,
    /// Bytes of chunks in use that are small enough for a fast bin; `None` when not counted.
    pub small: Option<u64>,
    /// Bytes of chunks that were counted.
    pub seen: u64,
    /// Chunks of the requested sizes, where thread caches can be.
    pub spotted: Vec<(u64, u64)>,
    /// Whether the sums are estimated from a sample, because of lack of time.
    pub is_sampled: bool,
    /// The error of the estimate, if sampled.
    pub doubt: Doubt,
}

impl Tally {
    /// Assumes that unknown bytes are like the rest; they stay in the error.
    pub fn filled(mut self) -> Self {
        let of = |part: u64| u128::from(self.unknown) * u128::from(part) / u128::from(self.seen.max(1));
        let of = |part: u64| u64::try_from(of(part)).unwrap_or(u64::MAX).min(self.unknown);
        let (free, resident) = (of(self.free), of(self.free_resident));
        self.free = self.free.saturating_add(free);
        self.free_resident = self.free_resident.saturating_add(resident);
        self
    }
}

/// The most chunks that are remembered.
const MOST_SPOTTED: usize = 1024;

/// A piece of memory.
pub struct Piece {
    start: u64,
    /// Bytes that are read at once.
    len: u64,
    words: Vec<u64>,
    is_whole: bool,
}

/// The limits of a walk.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limit {
    /// The part of the budget that is left to others.
    pub end: u64,
    /// Bytes of spans that will be walked after this one.
    pub ahead: u64,
}

impl Limit {
    /// Whether this many bytes clearly exceed the budget, with some reserve for a faster rest.
    fn is_too_far(self, image: &dyn Image, bytes: u64) -> bool {
        image.left().saturating_sub(self.end).saturating_mul(2) < bytes.saturating_add(self.ahead)
    }
}

/// Walks a span, and stops early if there is no time for it; the rest counts as unknown.
pub fn walk(image: &mut dyn Image, span: Span, sizes: &[u64], limit: Limit, tally: &mut Tally) {
    let mut piece = Piece::new(span.start, PIECE);
    let (mut retries, mut looked) = (0, None);
    let mut at = span.start;
    while at < span.end {
        // Check once per piece, because reading the clock takes longer than a step.
        let is_over =
            looked.replace(piece.start) != Some(piece.start) && limit.is_too_far(image, span.end - at);
        if image.is_spent() || is_over {
            tally.unknown += span.end - at;
            tally.is_sampled = true;
            return;
        }
        match step(image, &mut piece, at, span) {
            Some(Step::Chunk { size, is_free }) => {
                tally.seen += size;
                if is_free {
                    tally.free += size;
                    let end = at + size;
                    let is_whole = piece.is_whole && piece.holds(at) && piece.holds(end - 8);
                    tally.free_resident += if is_whole { size } else { image.resident(at, end) };
                } else if size <= layout::MOST_FAST {
                    *tally.small.get_or_insert(0) += size;
                } else if sizes.contains(&size) && tally.spotted.len() < MOST_SPOTTED {
                    tally.spotted.push((at, size));
                }
                at += size;
            }
            Some(Step::End) => return,
            // The heap may have changed since the piece was read: read again from here.
            None if retries < MOST_RETRIES => {
                retries += 1;
                piece.load(image, at, span);
            }
            None => {
                retries = 0;
                let next = piece.chain(at + ALIGNMENT, span).unwrap_or(piece.end().max(at + ALIGNMENT));
                let next = next.min(span.end);
                tally.unknown += next - at;
                at = next;
                piece.load(image, at, span);
            }
        }
    }
}

/// The contents of an address.
pub enum Step {
    /// A chunk.
    Chunk {
        /// Its size in bytes.
        size: u64,
        /// Whether it is free.
        is_free: bool,
    },
    /// The fence posts at the end of a full heap.
    End,
}

/// The chunk at an address; loads a new piece if necessary.
pub fn step(image: &mut dyn Image, piece: &mut Piece, at: u64, span: Span) -> Option<Step> {
    if !piece.holds(at + 8) {
        piece.load(image, at, span);
    }
    let head = piece.word(at + 8)?;
    let size = head & !FLAGS;
    if size < SMALLEST && !span.has_top && span.end - at <= 2 * SMALLEST {
        return Some(Step::End);
    }
    let next = at.checked_add(size)?;
    if !is_sized(head) || next > span.end {
        return None;
    }
    if next == span.end && !span.has_top {
        return Some(Step::Chunk { size, is_free: false });
    }
    if !piece.holds(next + 8) {
        // Load the piece of the next chunk only.
        piece.load(image, next, span);
    }
    let is_free = piece.word(next + 8)? & PREV_INUSE == 0;
    // A free chunk has its size at its end too.
    (!is_free || piece.word(next)? == size).then_some(Step::Chunk { size, is_free })
}

const fn is_sized(head: u64) -> bool {
    let size = head & !FLAGS;
    size >= SMALLEST && size.is_multiple_of(ALIGNMENT) && head & IS_MMAPPED == 0
}

impl Piece {
    /// An empty piece that will read `len` bytes at once.
    pub const fn new(start: u64, len: u64) -> Self {
        Self { start, len, words: Vec::new(), is_whole: true }
    }

    /// The first address after it.
    pub const fn end(&self) -> u64 {
        self.start + self.words.len() as u64 * 8
    }

    /// From now on reads only a head.
    pub const fn shorten(&mut self) {
        self.len = 16;
    }

    /// Whether all of it was resident.
    pub const fn is_whole(&self) -> bool {
        self.is_whole
    }

    fn holds(&self, address: u64) -> bool {
        address >= self.start && address < self.end()
    }

    fn word(&self, address: u64) -> Option<u64> {
        let at = address.checked_sub(self.start)? / 8;
        self.words.get(usize::try_from(at).ok()?).copied()
    }

    /// Reads the memory from an address on; pages that are not resident read as zero.
    pub fn load(&mut self, image: &mut dyn Image, at: u64, span: Span) {
        // Includes the head of the top chunk.
        let end = at.saturating_add(self.len).min(span.end.saturating_add(16));
        let present = image.present(at, end);
        self.start = at;
        self.is_whole = present == [(at, end)];
        self.words.clear();
        let mut bytes = vec![0; usize::try_from(end.saturating_sub(at)).unwrap_or(0)];
        for (from, to) in present {
            let range = usize::try_from(from - at).unwrap_or(0)..usize::try_from(to - at).unwrap_or(0);
            if let Some(part) = bytes.get_mut(range)
                && !image.read(from, part)
            {
                part.fill(0);
            }
        }
        self.words.extend(bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)));
    }

    /// The first address at or after `from` where a chain of chunks starts that is long enough or reaches the end of
    /// the piece.
    pub fn chain(&self, from: u64, span: Span) -> Option<u64> {
        let mut at = from;
        while self.holds(at + 8) {
            if self.is_chain(at, span) {
                return Some(at);
            }
            at += ALIGNMENT;
        }
        None
    }

    /// The end of the free chunk around an address, if it is smaller than `most`: its size stands at both of its ends.
    /// `None` also if the piece does not reach that far.
    pub fn free_around(&self, image: &mut dyn Image, address: u64, most: u64) -> Option<u64> {
        let first = address.checked_add(ALIGNMENT)?;
        let last = address.saturating_add(most);
        (first..last).step_by(ALIGNMENT as usize).take_while(|at| self.holds(at.saturating_add(8))).find(
            |at| {
                let (size, head) = (self.word(*at), self.word(at.saturating_add(8)));
                let (Some(size), Some(head)) = (size, head) else { return false };
                let is_after_free = is_sized(head) && head & PREV_INUSE == 0;
                let start = at.checked_sub(size).filter(|start| *start <= address);
                let is_size = size >= SMALLEST && size <= most && size.is_multiple_of(ALIGNMENT);
                let start = start.filter(|_| is_after_free && is_size);
                start.is_some_and(|start| image.word(start + 8).is_some_and(|head| head & !FLAGS == size))
            },
        )
    }

    fn is_chain(&self, start: u64, span: Span) -> bool {
        let mut at = start;
        for count in 0..CHAIN {
            let Some(head) = self.word(at + 8) else { return false };
            let next = at.saturating_add(head & !FLAGS);
            if !is_sized(head) || next > span.end {
                return false;
            }
            let Some(following) = self.word(next + 8) else {
                // The chunk that crosses the end of the piece cannot be checked further.
                return count >= FEWEST && at - start >= self.len / 2;
            };
            if following & PREV_INUSE == 0 && self.word(next) != Some(head & !FLAGS) {
                return false;
            }
            if next == span.end {
                return true;
            }
            at = next;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocator::image::fake::Fake;

    /// Chunks of 1 KiB; in the first half every second one is free. The unread rest of an early end may be like that or
    /// anything else.
    #[test]
    fn a_walk_that_ends_early_says_so_and_its_bound_holds() {
        const CHUNK: u64 = 1024;
        let (start, count) = (0x5555_5555_0000, 4 << 10);
        let is_free = |chunk: u64| chunk < count / 2 && chunk % 2 == 1;
        let words = (0..=count).flat_map(|chunk| {
            let before = chunk > 0 && is_free(chunk - 1);
            let mut words = vec![0; if chunk < count { CHUNK as usize / 8 } else { 2 }];
            (words[0], words[1]) = if before { (CHUNK, CHUNK) } else { (0, CHUNK | 1) };
            words
        });
        let fake = Fake::default().with_words(start, &words.collect::<Vec<_>>());
        let (span, truth) = (Span { start, end: start + count * CHUNK, has_top: true }, count / 4 * CHUNK);
        let mut ended = 0;
        for end in (0..64_u64).map(|part| part << 17) {
            let (mut fake, mut tally) = (fake.slowed(8 << 20, 0), Tally::default());
            walk(&mut fake, span, &[], Limit { end, ahead: 0 }, &mut tally);
            ended += u32::from(tally.is_sampled);
            assert_eq!(tally.is_sampled, tally.unknown > 0);
            let tally = tally.filled();
            assert!(tally.free.abs_diff(truth) <= tally.unknown, "{end}: {tally:?}");
        }
        assert!(ended > 10, "{ended} ended early");
    }
}
