//! Data of programs and structures in memory, as words.
//!
//! Input: a target, and a mark of the modules. Output: their resident writable data; bytes of a structure, with zeros
//! for pages that are not resident. Every length is bounded, every offset checked.

use super::Target;
use crate::{
    allocator::evidence::Mark,
    allocator::image::Image,
    mm::region::{Backing, Prot},
};

/// The most bytes of data that are searched: a static program has the data of all its libraries there.
const MOST_DATA: u64 = 16 << 20;

/// A run of words of data.
pub struct Data {
    /// Address of the first word.
    pub start: u64,
    /// The words.
    pub words: Vec<u64>,
}

impl Data {
    /// The address of each word, with the slice from that word on.
    pub fn suffixes(&self) -> impl Iterator<Item = (u64, &[u64])> {
        (self.start..).step_by(8).zip((0..self.words.len()).filter_map(|at| self.words.get(at..)))
    }
}

/// Data and bss of the modules with this mark.
pub fn of(target: &mut Target<'_>, mark: Mark) -> Vec<Data> {
    let mut data = Vec::new();
    let mut left = MOST_DATA;
    for region in target.regions {
        let is_writable = region.prot.0 & !Prot::EXEC == Prot::READ | Prot::WRITE && !region.is_shared;
        let is_data = matches!(region.backing, Backing::File(_) | Backing::Anonymous | Backing::Heap);
        if !is_writable || !is_data {
            continue;
        }
        let images = target.process.images_in(region.start, region.end);
        let ours = images.filter(|(_, module)| module.marks.has(mark));
        for (image, _) in ours.collect::<Vec<_>>() {
            // Bss can share its region with memory after it.
            let (start, end) = (region.start.max(image.start), region.end.min(image.end));
            for (start, end) in target.image.present(start, end) {
                let end = end.min(start.saturating_add(left));
                left -= end - start;
                let mut bytes = vec![0; usize::try_from(end - start).unwrap_or(0)];
                if target.image.read(start, &mut bytes) {
                    let words = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
                    data.push(Data { start, words: words.collect() });
                }
            }
        }
    }
    data
}

/// Bytes from an address on, zeros for pages that are not resident.
pub fn filled(image: &mut dyn Image, start: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let end = start.saturating_add(len as u64);
    for (from, to) in image.present(start, end) {
        let range = from.saturating_sub(start) as usize..to.saturating_sub(start) as usize;
        let Some(part) = bytes.get_mut(range) else { continue };
        if !image.read(from, part) {
            part.fill(0);
        }
    }
    bytes
}

/// The word at an offset.
pub fn word(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

/// The 32-bit word at an offset.
pub fn half(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

/// The 16-bit word at an offset.
pub fn quarter(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocator::image::fake::Fake;

    #[test]
    fn what_is_not_there_is_zero() {
        let mut fake = Fake::default().with_words(0x1000, &[7]).with_words(0x1010, &[9]);
        let bytes = filled(&mut fake, 0x1000, 32);
        let words = [0, 8, 16, 24, 32].map(|at| word(&bytes, at));
        assert_eq!(words, [Some(7), Some(0), Some(9), Some(0), None]);
        assert_eq!((half(&bytes, 16), quarter(&bytes, 31)), (Some(9), None));
    }
}
