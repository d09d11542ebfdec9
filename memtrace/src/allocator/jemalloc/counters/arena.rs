//! Recognises an `arena_s` and reads its counters.
//!
//! Input: an address and a layout. Output: pages by state, or `None`. The process controls every word.

use super::layout::{Blocks, Extents, LARGE_CLASSES, Layout, Place, SMALL, large};
use crate::{
    allocator::{counters::data, image::Image},
    units::Bytes,
};

/// The end of user addresses.
const TOP: u64 = 1 << 47;
/// More than any arena holds.
const MOST_BYTES: u64 = 1 << 46;

/// The counters of an arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arena {
    /// Pages handed out, in bytes.
    pub active: u64,
    /// Free and not given back.
    pub dirty: u64,
    /// Given back with `MADV_FREE`.
    pub muzzy: u64,
    /// Mapped and given back.
    pub retained: u64,
    /// Blocks handed out, in bytes; `None` when this build does not count them.
    pub allocated: Option<u64>,
    /// Metadata in bytes; `None` when this build does not count it.
    pub metadata: Option<u64>,
    /// Milliseconds after which dirty and muzzy pages are given back.
    pub decay: [i64; 2],
}

/// The layout that fits an arena with this index at an address.
pub fn layout_at(
    image: &mut dyn Image,
    layouts: &[&'static Layout],
    at: u64,
    index: u32,
) -> Option<&'static Layout> {
    layouts.iter().copied().find(|layout| is_arena(image, layout, at, index))
}

/// Whether there is an arena with this index at an address.
pub fn is_arena(image: &mut dyn Image, layout: &Layout, at: u64, index: u32) -> bool {
    check(image, layout, at, index).is_some()
}

fn check(image: &mut dyn Image, layout: &Layout, at: u64, index: u32) -> Option<()> {
    if !at.is_multiple_of(16) || at == 0 || at >= TOP {
        return None;
    }
    for (state, extents) in (1..).zip(&layout.extents) {
        let words = image.word(at + extents.state)?.to_le_bytes();
        let is_index = data::half(&words, 4) == Some(index);
        // Since 5.3 the index of the arena follows.
        if data::half(&words, 0) != Some(state) || extents.guarded.is_some() && !is_index {
            return None;
        }
    }
    let base = match layout.place {
        Place::Own { index: own, base, shard_base } => {
            let word = image.word(at + own)?;
            let base = image.word(at + base)?;
            (word as u32 == index && base == image.word(at + shard_base)?).then_some(base)?
        }
        Place::Base(base) => {
            let base = image.word(at + base)?;
            (image.word(base)? as u32 == index).then_some(base)?
        }
    };
    (base != 0 && base < TOP && base.is_multiple_of(16)).then_some(())
}

impl Arena {
    /// Reads the counters of an arena.
    pub fn read(image: &mut dyn Image, layout: &Layout, at: u64) -> Option<Self> {
        let mut pages = |pages: u64| image.word(at + pages)?.checked_mul(layout.page);
        let active = pages(layout.active)?;
        let [dirty, muzzy, retained] = &layout.extents;
        let mut sum = |extents: &Extents| {
            let guarded = extents.guarded.map_or(Some(0), &mut pages)?;
            pages(extents.pages)?.checked_add(guarded)
        };
        let (dirty, muzzy, retained) = (sum(dirty)?, sum(muzzy)?, sum(retained)?);
        if [active, dirty, muzzy, retained].iter().any(|bytes| *bytes > MOST_BYTES) {
            return None;
        }
        let decay = [layout.decay[0], layout.decay[1]];
        let decay = [image.word(at + decay[0])? as i64, image.word(at + decay[1])? as i64];
        if decay.iter().any(|time| *time < -1) {
            return None;
        }
        let base = match layout.place {
            Place::Own { base, .. } | Place::Base(base) => image.word(at + base)?,
        };
        // Blocks of metadata are never empty, so 0 bytes means that this build does not count.
        let metadata = image.word(base.checked_add(layout.base_resident)?).filter(|bytes| *bytes != 0);
        let blocks = layout.blocks.as_ref().filter(|_| metadata.is_some());
        let allocated = blocks
            .and_then(|blocks| allocated(image, blocks, at))
            // Blocks are in active pages, so they cannot exceed them.
            .filter(|allocated| *allocated <= active.saturating_add(active / 50).saturating_add(1 << 20));
        Some(Self { active, dirty, muzzy, retained, allocated, metadata, decay })
    }

    /// All pages except those given back.
    pub const fn system(&self) -> Bytes {
        Bytes(self.active.saturating_add(self.dirty).saturating_add(self.muzzy))
    }
}

fn allocated(image: &mut dyn Image, blocks: &Blocks, at: u64) -> Option<u64> {
    let mut sum = 0_u64;
    let small: Vec<u64> =
        (0..SMALL.len() as u64).map(|bin| at + blocks.small + bin * blocks.small_stride).collect();
    let mut words = vec![0; small.len() * 8];
    // Bins that were never used can be in a page that is not resident.
    let done = image.read_each(&small, 8, &mut words);
    for ((word, size), is_there) in words.as_chunks::<8>().0.iter().zip(SMALL).zip(done) {
        if is_there {
            sum = sum.checked_add(u64::from_le_bytes(*word).checked_mul(size)?)?;
        }
    }
    let len = (u64::from(LARGE_CLASSES) * blocks.large_stride) as usize;
    let classes = data::filled(image, at + blocks.large, len);
    for (class, stats) in (0..).zip(classes.chunks_exact(blocks.large_stride as usize)) {
        let bytes = match blocks.active_bytes {
            Some(at) => data::word(stats, at as usize)?,
            None => {
                let count = data::word(stats, 0)?.checked_sub(data::word(stats, 8)?)?;
                if count == 0 { 0 } else { count.checked_mul(large(class))? }
            }
        };
        sum = sum.checked_add(bytes)?;
    }
    Some(sum)
}
