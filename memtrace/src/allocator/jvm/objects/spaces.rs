//! The parts of a heap that objects fill from their start without gaps.
//!
//! Input: the fields of this build, and memory. Output: [`Spaces`]: the spaces of Serial and Parallel, or the regions of
//! G1; and where threads have room of their own that is not filled yet. No field says which collector runs: what is
//! plausible and in the heap is it.

use std::collections::HashMap;

use crate::allocator::{counters::data::word, image::Image, jvm::fields::Fields};

/// The most regions of G1: a heap of 64 GiB in regions of 1 MiB.
const MOST_REGIONS: u64 = 1 << 16;
/// Regions that are read at once, and the most bytes between two words of one.
const AT_ONCE: usize = 512;
const MOST_SPAN: usize = 256;
/// The most threads.
const MOST_THREADS: u64 = 1 << 14;

/// A part from its start to its top.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// First object.
    pub bottom: u64,
    /// Behind the last object.
    pub top: u64,
    /// Where the top is.
    pub top_at: u64,
}

/// The parts of one heap.
#[derive(Debug, PartialEq, Eq)]
pub struct Spaces {
    /// The collector.
    pub collector: &'static str,
    /// Bytes of a region; `None` where the parts are whole generations.
    pub region: Option<u64>,
    /// Those that are not empty, sorted.
    pub parts: Vec<Part>,
}

/// The parts of the heap in these ranges; `None` when no collector fits.
pub fn find(fields: &Fields, image: &mut dyn Image, ranges: &[(u64, u64)]) -> Option<Spaces> {
    let heap = fields.fixed(image, [("Universe", "_collectedHeap")]).filter(|heap| *heap != 0)?;
    parallel(fields, image, ranges)
        .or_else(|| garbage_first(fields, image, ranges, heap))
        .or_else(|| serial(fields, image, ranges, heap))
}

fn parallel(fields: &Fields, image: &mut dyn Image, ranges: &[(u64, u64)]) -> Option<Spaces> {
    let mut fixed = |field| fields.fixed(image, [("ParallelScavengeHeap", field)]).filter(|word| *word != 0);
    let (young, old) = (fixed("_young_gen")?, fixed("_old_gen")?);
    let eden = fields.word(image, young, [("PSYoungGen", "_eden_space")])?;
    let from = fields.word(image, young, [("PSYoungGen", "_from_space")])?;
    let old = fields.word(image, old, [("PSOldGen", "_object_space")])?;
    generations(fields, image, ranges, "Parallel", [eden, from, old], ["MutableSpace", "ImmutableSpace"])
}

fn serial(fields: &Fields, image: &mut dyn Image, ranges: &[(u64, u64)], heap: u64) -> Option<Spaces> {
    let either = |field| [("SerialHeap", field), ("GenCollectedHeap", field)];
    let young = fields.word(image, heap, either("_young_gen"))?;
    let old = fields.word(image, heap, either("_old_gen"))?;
    let eden = fields.word(image, young, [("DefNewGeneration", "_eden_space")])?;
    let from = fields.word(image, young, [("DefNewGeneration", "_from_space")])?;
    let old = fields.word(image, old, [("TenuredGeneration", "_the_space")])?;
    generations(fields, image, ranges, "Serial", [eden, from, old], ["ContiguousSpace", "Space"])
}

fn generations(
    fields: &Fields,
    image: &mut dyn Image,
    ranges: &[(u64, u64)],
    collector: &'static str,
    spaces: [u64; 3],
    classes: [&'static str; 2],
) -> Option<Spaces> {
    let mut parts = Vec::new();
    for space in spaces {
        let bottom = fields.word(image, space, classes.map(|class| (class, "_bottom")))?;
        let top_at = space.checked_add(fields.offset(classes.map(|class| (class, "_top")))?)?;
        let top = image.word(top_at)?;
        let part = Part { bottom, top, top_at };
        if !part.is_in(ranges) {
            return None;
        }
        parts.extend(Some(part).filter(|part| part.bottom < part.top));
    }
    parts.sort_by_key(|part| part.bottom);
    Some(Spaces { collector, region: None, parts })
}

/// The table of regions (heapRegionManager.hpp, g1BiasedArray.hpp).
fn garbage_first(fields: &Fields, image: &mut dyn Image, ranges: &[(u64, u64)], heap: u64) -> Option<Spaces> {
    let size = fields.fixed(image, [("G1HeapRegion", "GrainBytes"), ("HeapRegion", "GrainBytes")])?;
    let managers = [("G1HeapRegionManager", "_regions"), ("HeapRegionManager", "_regions")];
    let table = heap
        .checked_add(fields.offset([("G1CollectedHeap", "_hrm")])?)?
        .checked_add(fields.offset(managers)?)?;
    let base = fields.word(image, table, [("G1HeapRegionTable", "_base")])?;
    let length = fields.word(image, table, [("G1HeapRegionTable", "_length")])?;
    if !size.is_power_of_two() || size < 1 << 20 || !(1..=MOST_REGIONS).contains(&length) {
        return None;
    }
    let mut regions = vec![0; usize::try_from(length).ok()?.checked_mul(8)?];
    // Regions that were never used are in no page yet.
    if !image.read(base, &mut regions) {
        regions = crate::allocator::counters::data::filled(image, base, regions.len());
    }
    let bottom_in =
        fields.offset([("G1HeapRegion", "_bottom"), ("HeapRegion", "_bottom"), ("Space", "_bottom")])?;
    let tops = [("G1HeapRegion", "_top"), ("HeapRegion", "_top"), ("G1ContiguousSpace", "_top")];
    let top_in = fields.offset(tops)?;
    let places: Vec<u64> = regions.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
    let places: Vec<u64> = places.into_iter().filter(|region| *region != 0).collect();
    // Both words at once, of many regions at once.
    let first = bottom_in.min(top_in);
    let span = usize::try_from(bottom_in.max(top_in) - first).ok().filter(|span| *span <= MOST_SPAN)? + 8;
    let [bottom_at, top_at] = [bottom_in, top_in].map(|at| usize::try_from(at - first).unwrap_or(MOST_SPAN));
    let mut parts = Vec::new();
    let mut buffer = vec![0; AT_ONCE * span];
    for batch in places.chunks(AT_ONCE) {
        let starts: Vec<u64> = batch.iter().map(|region| region.saturating_add(first)).collect();
        let read = image.read_each(&starts, span, &mut buffer);
        for ((start, bytes), is_read) in starts.iter().zip(buffer.chunks_exact(span)).zip(read) {
            let (bottom, top) = word(bytes, bottom_at).zip(word(bytes, top_at)).filter(|_| is_read)?;
            let part = Part { bottom, top, top_at: start.checked_add(top_at as u64)? };
            if !part.is_in(ranges) || !bottom.is_multiple_of(size) || top - bottom > size {
                return None;
            }
            parts.extend(Some(part).filter(|part| part.bottom < part.top));
        }
    }
    parts.sort_by_key(|part| part.bottom);
    Some(Spaces { collector: "G1", region: Some(size), parts })
}

impl Part {
    /// Bytes that are filled.
    pub const fn len(&self) -> u64 {
        self.top.saturating_sub(self.bottom)
    }

    fn is_in(&self, ranges: &[(u64, u64)]) -> bool {
        let holds = |address: u64| ranges.iter().any(|(start, end)| (*start..=*end).contains(&address));
        let is_aligned = self.bottom.is_multiple_of(8) && self.top.is_multiple_of(8);
        self.bottom <= self.top && is_aligned && holds(self.bottom) && holds(self.top)
    }
}

/// Of each thread that has room of its own in eden: where it is filled up to, and its end. Behind that a few words are kept
/// for what is put there before a collection (`ThreadLocalAllocBuffer::alignment_reserve`).
pub fn rooms(fields: &Fields, image: &mut dyn Image) -> Option<HashMap<u64, u64>> {
    let list = fields.fixed(image, [("ThreadsSMRSupport", "_java_thread_list")])?;
    let count = fields.word(image, list, [("ThreadsList", "_length")])? & 0xffff_ffff;
    let threads = fields.word(image, list, [("ThreadsList", "_threads")])?;
    let buffer = fields.offset([("Thread", "_tlab")])?;
    let top = usize::try_from(fields.offset([("ThreadLocalAllocBuffer", "_top")])?).ok()?;
    let end = usize::try_from(fields.offset([("ThreadLocalAllocBuffer", "_end")])?).ok()?;
    let words = fields.fixed(image, [("ThreadLocalAllocBuffer", "_reserve_for_allocation_prefetch")]);
    let reserve = (words.unwrap_or(0) & 0xffff).max(2) * 8;
    let mut pointers = vec![0; usize::try_from(count.min(MOST_THREADS)).ok()? * 8];
    if !image.read(threads, &mut pointers) {
        return None;
    }
    let mut rooms = HashMap::new();
    for thread in pointers.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)) {
        let mut bytes = [0; 64];
        if thread.checked_add(buffer).is_some_and(|at| image.read(at, &mut bytes)) {
            let room = word(&bytes, top).zip(word(&bytes, end)).filter(|(top, end)| *top != 0 && top < end);
            rooms.extend(room.and_then(|(top, end)| Some((top, end.checked_add(reserve)?))));
        }
    }
    Some(rooms)
}
