//! Words of an image with a page cache, for walks that jump.
//!
//! Input: an image. Output: words. Caches pages up to a limit.

use std::collections::HashMap;

use crate::allocator::image::Image;

const BLOCK: u64 = 4096;
const MOST_BLOCKS: usize = 4096;

/// A cache of pages.
pub struct Pages<'i> {
    /// The image.
    pub image: &'i mut dyn Image,
    blocks: HashMap<u64, Option<Box<[u8]>>>,
}

impl<'i> Pages<'i> {
    /// An empty cache.
    pub fn new(image: &'i mut dyn Image) -> Self {
        Self { image, blocks: HashMap::new() }
    }

    /// Clears the cache.
    pub fn forget(&mut self) {
        self.blocks.clear();
    }

    /// The aligned word at an address; `None` when it cannot be read.
    pub fn word(&mut self, address: u64) -> Option<u64> {
        if !address.is_multiple_of(8) {
            return None;
        }
        let block = address / BLOCK;
        if self.blocks.len() >= MOST_BLOCKS {
            self.blocks.clear();
        }
        let image = &mut self.image;
        let bytes = self.blocks.entry(block).or_insert_with(|| {
            let mut bytes = vec![0; BLOCK as usize].into_boxed_slice();
            image.read(block * BLOCK, &mut bytes).then_some(bytes)
        });
        let at = usize::try_from(address % BLOCK).ok()?;
        let word = bytes.as_ref()?.get(at..at + 8)?.first_chunk::<8>()?;
        Some(u64::from_le_bytes(*word))
    }

    /// `count` words from an address on.
    pub fn words(&mut self, address: u64, count: u64) -> Option<Vec<u64>> {
        (0..count).map(|at| self.word(address.checked_add(at * 8)?)).collect()
    }
}
