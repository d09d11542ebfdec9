//! Samples a heap that is too large to walk, in evenly spread pieces.
//!
//! Input: an image and spans of chunks. Output: an estimated [`Tally`] with its error. A piece starts at any address;
//! the first chain of valid chunks in it is accepted. A piece with a few large chunks has no chain: it is like the chunk
//! at its start, which is free if a list contains it, or if it has its size at both ends.

use super::{
    arena::{LEAST_LARGE, Large},
    chunk::{PIECE, Piece, Span, Step, Tally, step},
    layout::MOST_FAST,
};
use crate::allocator::{counters::sampling, image::Image};

/// The least number of pieces to aim for; pieces get smaller if time is short.
const AIMED: u64 = 16;
const SMALLEST: u64 = 16 << 10;
const LARGEST: u64 = PIECE / 2;

/// The contents of a piece.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    bytes: u64,
    free: u64,
    resident: u64,
    small: u64,
    /// The bytes that may be free or not.
    unknown: u64,
}

/// Samples pieces of the spans until only `end` of the budget is left, or all were read. `large` are the known large
/// free chunks.
pub fn sample(image: &mut dyn Image, spans: &[Span], large: &Large, end: u64) -> Option<Tally> {
    let all: u64 = spans.iter().map(|span| span.end.saturating_sub(span.start)).sum();
    let left = image.left().saturating_sub(end);
    let len = (left / AIMED).clamp(SMALLEST, LARGEST);
    let mut pieces = Vec::new();
    for at in 0..left.min(all) / len {
        if image.left() <= end {
            break;
        }
        let (span, place) = place_in(spans, sampling::place(at, all))?;
        pieces.extend(look(image, span, (place, len), large));
    }
    estimate(&pieces, all)
}

/// The span and the address at an offset into all spans together.
fn place_in(spans: &[Span], mut place: u64) -> Option<(Span, u64)> {
    for span in spans {
        let len = span.end.saturating_sub(span.start);
        if place < len {
            return Some((*span, span.start + place / 16 * 16));
        }
        place -= len;
    }
    None
}

fn look(image: &mut dyn Image, span: Span, (place, len): (u64, u64), large: &Large) -> Option<Seen> {
    let mut piece = Piece::new(place, len);
    piece.load(image, place, span);
    let end = piece.end().min(span.end);
    let Some(mut at) = piece.chain(place, span) else {
        let ends = large.chunks.iter().map(|(start, size)| (*start, start.saturating_add(*size)));
        let listed = ends.clone().find(|(start, end)| (*start..*end).contains(&place)).map(|(_, end)| end);
        let free_to = listed.or_else(|| piece.free_around(image, place, LEAST_LARGE));
        let bytes = end.saturating_sub(place);
        // A smaller free chunk would have been seen, if the piece reaches to its end.
        let is_known = large.is_complete && bytes >= LEAST_LARGE;
        return Some(match free_to.map(|to| to.min(end)) {
            Some(to) => {
                let (len, resident) = (to.saturating_sub(place), image.resident(place, to));
                let resident = u128::from(bytes) * u128::from(resident) / u128::from(len.max(1));
                let resident = u64::try_from(resident).unwrap_or(bytes).min(bytes);
                Seen { bytes, free: bytes, resident, small: 0, unknown: 0 }
            }
            None => Seen { bytes, unknown: if is_known { 0 } else { bytes }, ..Seen::default() },
        });
    };
    let is_whole = piece.is_whole();
    // After the piece only the head of one chunk is read.
    piece.shorten();
    let mut seen = Seen::default();
    while at < end {
        let Some(Step::Chunk { size, is_free }) = step(image, &mut piece, at, span) else { break };
        let part = size.min(end - at);
        seen.bytes += part;
        if is_free {
            seen.free += part;
            seen.resident += if is_whole { part } else { image.resident(at, at + part) };
        } else if size <= MOST_FAST {
            seen.small += part;
        }
        at += size;
    }
    (seen.bytes > 0).then_some(seen)
}

/// The estimate for all bytes from the sampled ones.
fn estimate(pieces: &[Seen], all: u64) -> Option<Tally> {
    let mut parts = sampling::Parts::default();
    pieces.iter().for_each(|piece| parts.add(piece.free, piece.bytes));
    let (free, doubt) = parts.of_all(all)?;
    let sum = |of: fn(&Seen) -> u64| pieces.iter().map(of).fold(0, u64::saturating_add);
    let seen = sum(|piece| piece.bytes);
    let scaled = |part: u64| {
        let part = u128::from(part) * u128::from(all) / u128::from(seen.max(1));
        u64::try_from(part).unwrap_or(u64::MAX)
    };
    Some(Tally {
        free,
        free_resident: scaled(sum(|piece| piece.resident)),
        unknown: scaled(sum(|piece| piece.unknown)),
        doubt,
        small: Some(scaled(sum(|piece| piece.small))),
        seen,
        is_sampled: true,
        ..Tally::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocator::image::fake::Fake;

    #[test]
    fn what_was_seen_stands_for_the_rest() {
        let half = Seen { bytes: 1000, free: 500, resident: 250, small: 0, unknown: 0 };
        let tally = estimate(&[half; 10], 1 << 30).unwrap();
        assert_eq!((tally.free, tally.free_resident), (1 << 29, 1 << 28));
        // Ten equal pieces say little about 1 GiB, a hundred thousand much.
        let off = |pieces: &[Seen]| estimate(pieces, 1 << 30).unwrap().doubt.off();
        assert!(off(&[half; 10]).abs_diff(1 << 29) < 1 << 20);
        let mut many = vec![half; 100_000];
        assert!(off(&many) < 1 << 20);
        many.iter_mut().step_by(2).for_each(|piece| piece.free = 1000);
        assert!(off(&many) > 1 << 20);
        assert!(estimate(&[], 1 << 30).is_none());
    }

    /// One block of five is kept, in chunks so large that a piece may hold two of them.
    #[test]
    fn a_few_large_chunks_in_a_piece_are_no_memory_in_use() {
        let start = 0x5555_5555_0000;
        for block in [2 << 10, 2900 / 16 * 16, 5 << 10, 10 << 10_u64] {
            let (pattern, count) = (5 * block, (24 << 20) / (5 * block));
            let mut words = vec![0_u64; ((count * pattern + 16) / 8) as usize];
            let mut large = Large { chunks: Vec::new(), is_complete: true };
            for number in 0..count {
                let (used, free) = (number * pattern, number * pattern + block);
                let at = |offset: u64| (offset / 8) as usize;
                words[at(used) + 1] = block | u64::from(number == 0);
                words[at(free) + 1] = (4 * block) | 1;
                words[at(used + pattern)] = 4 * block;
                if 4 * block >= LEAST_LARGE {
                    large.chunks.push((start + free, 4 * block));
                }
            }
            words[(count * pattern / 8) as usize + 1] = 4096;
            let fake = Fake::default().with_words(start, &words);
            let span = Span { start, end: start + count * pattern, has_top: true };
            for share in [512 << 10, 4 << 20] {
                let mut fake = fake.slowed(share, 0);
                let tally = sample(&mut fake, &[span], &large, 0).unwrap();
                let off = tally.free.abs_diff(count * 4 * block);
                assert!(off <= tally.doubt.off() + tally.unknown, "{block}, {share}: {off}, {tally:?}");
                if share > 1 << 20 {
                    assert!(off < count * pattern / 4, "{block}, {share}: {off}, {tally:?}");
                }
            }
        }
    }

    /// Every second chunk is free in the first half of the heap only: a sample that ends early must cover both halves.
    #[test]
    fn a_sample_ends_with_its_share_and_is_spread_evenly() {
        const CHUNK: u64 = 1024;
        let (start, count) = (0x5555_5555_0000, 32 << 10);
        let is_free = |chunk: u64| chunk < count / 2 && chunk % 2 == 1;
        let words = (0..=count).flat_map(|chunk| {
            let before = chunk > 0 && is_free(chunk - 1);
            let mut words = vec![0; if chunk < count { CHUNK as usize / 8 } else { 2 }];
            (words[0], words[1]) = if before { (CHUNK, CHUNK) } else { (0, CHUNK | 1) };
            words
        });
        let mut fake = Fake::default().with_words(start, &words.collect::<Vec<_>>());
        let span = Span { start, end: start + count * CHUNK, has_top: true };
        let (before, share) = (fake.left(), 4 << 20);
        let large = Large { chunks: Vec::new(), is_complete: true };
        let tally = sample(&mut fake, &[span], &large, before - share).unwrap();
        let spent = before - fake.left();
        assert!(
            spent > share * 3 / 4 && tally.seen > share * 2 / 3 && spent <= share + PIECE,
            "{spent} of {share}"
        );
        let off = tally.free.abs_diff(count * CHUNK / 4);
        assert!(off <= tally.doubt.off() && off < count * CHUNK / 20, "{tally:?}");
    }
}
