//! A part of the budget of a reading, so that each reader leaves some to the next ones.
//!
//! Input: an image, and the budget that must be left. Output: an image that stops there.

use super::Image;

pub struct Share<'a> {
    image: &'a mut dyn Image,
    /// The part of the budget that is left to others.
    end: u64,
    is_over: bool,
}

impl<'a> Share<'a> {
    /// The remaining budget except for `end`.
    pub fn new(image: &'a mut dyn Image, end: u64) -> Self {
        Self { image, end, is_over: false }
    }
}

impl Image for Share<'_> {
    fn read(&mut self, address: u64, buffer: &mut [u8]) -> bool {
        // Once exceeded it stays so; checked only for large reads, because reading the clock takes longer than a small
        // read.
        self.is_over |= buffer.len() >= 4096 && self.left() == 0;
        !self.is_over && self.image.read(address, buffer)
    }

    fn page_size(&self) -> u64 {
        self.image.page_size()
    }

    fn left(&self) -> u64 {
        if self.is_over { 0 } else { self.image.left().saturating_sub(self.end) }
    }

    fn is_spent(&self) -> bool {
        self.is_over || self.image.is_spent()
    }

    fn present(&mut self, start: u64, end: u64) -> Vec<(u64, u64)> {
        self.is_over |= self.end > 0 && self.left() == 0;
        if self.is_over { Vec::new() } else { self.image.present(start, end) }
    }

    fn read_each(&mut self, addresses: &[u64], len: usize, buffer: &mut [u8]) -> Vec<bool> {
        self.is_over |= self.left() == 0;
        if self.is_over { vec![false; addresses.len()] } else { self.image.read_each(addresses, len, buffer) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocator::image::fake::Fake;

    #[test]
    fn what_belongs_to_others_is_left() {
        let mut fake = Fake::default().with(0, vec![7; 1 << 20]).slowed(100_000, 0);
        let mut share = Share::new(&mut fake, 60_000);
        let mut page = vec![0; 4096];
        let read = (0..100).filter(|at| share.read(at * 4096, &mut page)).count();
        assert!(share.is_spent() && share.left() == 0 && share.present(0, 4096).is_empty());
        assert_eq!((read, fake.left()), (10, 100_000 - 10 * 4096));
        assert!(fake.read(0, &mut page), "the next one goes on");
    }
}
