//! Chunk after chunk through a heap: what is free in it.
//!
//! Input: an image and a span of chunks. Output: [`Tally`]. The way that works while the process allocates: memory is
//! read in large pieces, each in one go; what makes no sense is read again, and then stepped over and counted as
//! unknown. Chunks larger than a piece are stepped over without being read.

use super::layout;
use crate::allocator::{counters::sampling::Doubt, image::Image};

/// Flags of `malloc_chunk.mchunk_size`.
pub const PREV_INUSE: u64 = 1;
const IS_MMAPPED: u64 = 2;
/// All of them.
pub const FLAGS: u64 = 7;
/// `MINSIZE`.
pub const SMALLEST: u64 = 32;
/// `MALLOC_ALIGNMENT`.
pub const ALIGNMENT: u64 = 16;

/// What a walk reads in one go.
pub const PIECE: u64 = 128 << 10;
const MOST_RETRIES: u32 = 4;
/// So many chunks in a row make sense by chance only where there are none.
const CHAIN: u32 = 24;
/// Or so many, when they reach over half of a piece to its end: large ones.
const FEWEST: u32 = 5;

/// Chunks of one arena, from the first to the one behind the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first chunk.
    pub start: u64,
    /// The top chunk, or the end of a heap that is not the last.
    pub end: u64,
    /// Whether the top chunk is at its end.
    pub has_top: bool,
}

/// What is in spans.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// Bytes in free chunks; those of fast bins and thread caches count as in use.
    pub free: u64,
    /// The resident part of them.
    pub free_resident: u64,
    /// Bytes that made no sense.
    pub unknown: u64,
    /// Bytes of chunks in use that are so small that a fast bin may have them; `None` where they were not looked at.
    pub small: Option<u64>,
    /// Bytes of chunks that were seen.
    pub seen: u64,
    /// Chunks of the sizes that were asked for: where thread caches can be.
    pub spotted: Vec<(u64, u64)>,
    /// Whether some of it stands for the rest, for there was no time for all.
    pub is_sampled: bool,
    /// And how far that may be off, if by samples.
    pub doubt: Doubt,
}

impl Tally {
    /// What made no sense or was not come to is taken to be like the rest; it may be free or not.
    pub fn filled(mut self) -> Self {
        let of = |part: u64| u128::from(self.unknown) * u128::from(part) / u128::from(self.seen.max(1));
        let of = |part: u64| u64::try_from(of(part)).unwrap_or(u64::MAX).min(self.unknown);
        let (free, resident) = (of(self.free), of(self.free_resident));
        self.free = self.free.saturating_add(free);
        self.free_resident = self.free_resident.saturating_add(resident);
        self
    }
}

/// Chunks that are remembered at most.
const MOST_SPOTTED: usize = 1024;

/// A piece of memory.
pub struct Piece {
    start: u64,
    /// Bytes that are read in one go.
    len: u64,
    words: Vec<u64>,
    is_whole: bool,
}

/// How far a walk may go.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limit {
    /// So much of the budget is others'.
    pub end: u64,
    /// Bytes of spans that are to be walked after this one.
    pub ahead: u64,
}

impl Limit {
    /// Whether so many bytes are more than can be done: by far, for it may be a little quicker from now on.
    fn is_too_far(self, image: &dyn Image, bytes: u64) -> bool {
        image.left().saturating_sub(self.end).saturating_mul(2) < bytes.saturating_add(self.ahead)
    }
}

/// Walks a span until it is seen that there is no time for it; what it does not come to is unknown.
pub fn walk(image: &mut dyn Image, span: Span, sizes: &[u64], limit: Limit, tally: &mut Tally) {
    let mut piece = Piece::new(span.start, PIECE);
    let (mut retries, mut looked) = (0, None);
    let mut at = span.start;
    while at < span.end {
        // Once for each piece that was read: to look at the clock takes longer than to step over a chunk.
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
            // The heap may have moved on under the piece: look again, from here.
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

/// What is at an address.
pub enum Step {
    /// A chunk.
    Chunk {
        /// Its bytes.
        size: u64,
        /// Whether nobody has it.
        is_free: bool,
    },
    /// The fence posts at the end of a heap that is full.
    End,
}

/// The chunk at an address, from the piece or a new one.
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
        // Never more than the piece of the next chunk.
        piece.load(image, next, span);
    }
    let is_free = piece.word(next + 8)? & PREV_INUSE == 0;
    // A free chunk says its size at its end too.
    (!is_free || piece.word(next)? == size).then_some(Step::Chunk { size, is_free })
}

const fn is_sized(head: u64) -> bool {
    let size = head & !FLAGS;
    size >= SMALLEST && size.is_multiple_of(ALIGNMENT) && head & IS_MMAPPED == 0
}

impl Piece {
    /// Nothing yet, and so many bytes from then on.
    pub const fn new(start: u64, len: u64) -> Self {
        Self { start, len, words: Vec::new(), is_whole: true }
    }

    /// The first address behind it.
    pub const fn end(&self) -> u64 {
        self.start + self.words.len() as u64 * 8
    }

    /// Reads no more than a head from now on.
    pub const fn shorten(&mut self) {
        self.len = 16;
    }

    /// Whether all of it was there.
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

    /// Reads the memory from an address on; what is not present reads as zero.
    pub fn load(&mut self, image: &mut dyn Image, at: u64, span: Span) {
        // The head of the top chunk belongs to it.
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

    /// The first address from one on where chunk follows chunk to the end of the piece, or many do.
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

    fn is_chain(&self, start: u64, span: Span) -> bool {
        let mut at = start;
        for count in 0..CHAIN {
            let Some(head) = self.word(at + 8) else { return false };
            let next = at.saturating_add(head & !FLAGS);
            if !is_sized(head) || next > span.end {
                return false;
            }
            let Some(following) = self.word(next + 8) else {
                // The one that leaves the piece counts for no more than that it may.
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

    /// Chunks of 1 KiB, of which every second one is free in the first half alone: where a walk ends early, what it did not
    /// come to is like the rest or anything else.
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
