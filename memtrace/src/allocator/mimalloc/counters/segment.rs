//! Segments of mimalloc 2: 32 MiB each, 512 slices, and the heads of their pages in front.
//!
//! Input: a range of memory. Output: the sums of the segments in it. A segment is accepted if the lengths of its spans
//! add up exactly to its end.

use super::{SLICE, Tally};
use crate::allocator::{counters::data, image::Image};

/// `MI_SEGMENT_SIZE`.
const SEGMENT: u64 = 32 << 20;
const MOST_SLICES: u64 = SEGMENT / SLICE;
/// `mi_slice_t`.
const HEAD: u64 = 96;

/// Offsets of the fields of `mi_segment_t`.
struct Layout {
    version: &'static str,
    slices: usize,
    info_slices: usize,
    kind: usize,
    entries: usize,
    heads: u64,
}

const LAYOUTS: [Layout; 2] = [
    Layout { version: "2.2 or 2.3", slices: 248, info_slices: 256, kind: 264, entries: 272, heads: 288 },
    Layout { version: "2.1.7", slices: 224, info_slices: 232, kind: 240, entries: 248, heads: 264 },
];

/// The sum of all segments of a range, with their version.
pub(super) fn all_in(image: &mut dyn Image, start: u64, end: u64) -> Option<(&'static str, Tally)> {
    LAYOUTS.iter().find_map(|layout| Some((layout.version, all_of(image, layout, start, end)?)))
}

fn all_of(image: &mut dyn Image, layout: &Layout, start: u64, end: u64) -> Option<Tally> {
    let mut tally = Tally { start, bytes: end.saturating_sub(start), ..Tally::default() };
    let mut at = start.checked_next_multiple_of(SEGMENT)?;
    let mut is_any = false;
    while at.checked_add(SEGMENT)? <= end {
        // Parts of an arena that were never used are not resident; those that were given back are zero.
        at += match segment(image, layout, at, end, &mut tally) {
            Some(size) => {
                is_any = true;
                size
            }
            None if image.word(at).is_none_or(|word| word == 0) => {
                tally.free = tally.free.saturating_add(image.resident(at, at + SEGMENT));
                SEGMENT
            }
            None => return None,
        };
    }
    is_any.then_some(tally)
}

/// Adds one segment. Returns its size.
fn segment(image: &mut dyn Image, layout: &Layout, at: u64, limit: u64, tally: &mut Tally) -> Option<u64> {
    let mut header = [0; 288];
    if !image.read(at, &mut header) {
        return None;
    }
    let (slices, info) = (data::word(&header, layout.slices)?, data::word(&header, layout.info_slices)?);
    let (kind, entries) = (data::half(&header, layout.kind)?, data::word(&header, layout.entries)?);
    let size = slices.checked_mul(SLICE)?;
    let end = at.checked_add(size)?;
    let is_normal = kind == 0 && slices == MOST_SLICES;
    let is_segment = (is_normal || kind == 1 && slices > 0)
        && (1..=MOST_SLICES).contains(&entries)
        && entries <= slices
        && (1..entries).contains(&info)
        && end <= limit;
    if !is_segment {
        return None;
    }
    let heads = data::filled(image, at.checked_add(layout.heads)?, (entries * HEAD) as usize);
    let mut sum = Tally { metadata: image.resident(at, at + info * SLICE), ..Tally::default() };
    let mut slice = info;
    while slice < entries {
        let head = heads.get((slice * HEAD) as usize..)?;
        let (count, used) = (u64::from(data::half(head, 0)?), u64::from(data::quarter(head, 32)?));
        let block_size = data::word(head, 40)?;
        // The only page of a huge segment is longer than its entries.
        let stop = if kind == 1 { slices } else { slice.checked_add(count)? };
        if count == 0 || stop > slices {
            return None;
        }
        let span = (at + slice * SLICE, at + stop * SLICE);
        if block_size > 1 {
            if !sum.page(image, span, used, block_size) {
                return None;
            }
        } else {
            sum.free = sum.free.saturating_add(image.resident(span.0, span.1));
        }
        slice = stop;
    }
    (slice == entries || kind == 1).then_some(())?;
    tally.used = tally.used.saturating_add(sum.used);
    tally.free = tally.free.saturating_add(sum.free);
    tally.metadata = tally.metadata.saturating_add(sum.metadata);
    Some(size.next_multiple_of(SEGMENT).max(SEGMENT))
}
