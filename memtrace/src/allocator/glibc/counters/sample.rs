//! Samples a heap that is too large to walk, in evenly spread pieces.
//!
//! Input: an image and spans of chunks. Output: an estimated [`Tally`] with its error. A piece starts at any address;
//! the first chain of valid chunks in it is accepted. A piece inside one large chunk has no chain, and is free if a
//! list contains the chunk.

use super::{
    arena::Large,
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
        let has_it = |(start, size): &(u64, u64)| (*start..start.saturating_add(*size)).contains(&place);
        let is_free = large.chunks.iter().any(has_it);
        let bytes = end.saturating_sub(place);
        let (free, resident) = if is_free { (bytes, image.resident(place, end)) } else { (0, 0) };
        let unknown = if is_free || large.is_complete { 0 } else { bytes };
        return Some(Seen { bytes, free, resident, small: 0, unknown });
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
