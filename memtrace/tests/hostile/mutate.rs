//! Bytes like those of a corpus, and not the same.
//!
//! A seed -> inputs, the same for the same seed.

/// splitmix64.
pub struct Random(u64);

impl Random {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, most: usize) -> usize {
        (self.next() % most.max(1) as u64) as usize
    }

    /// One of the corpus, changed in a few places; every eighth is made up.
    pub fn changed(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        if self.below(8) == 0 {
            let len = 1 << self.below(13);
            return (0..len).map(|_| self.next() as u8).collect();
        }
        let which = self.below(corpus.len());
        let mut bytes = corpus.get(which).cloned().unwrap_or_default();
        for _ in 0..=self.below(8) {
            self.change(&mut bytes, corpus);
        }
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        /// Numbers at the edges of what fits.
        const EDGES: [u64; 8] =
            [0, 1, 0x7f, 0x7fff_ffff, u64::MAX, 1 << 47, i64::MAX as u64, 0xffff_ffff_ffff_f000];
        let at = self.below(bytes.len());
        match self.below(7) {
            0 | 1 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << self.below(8)),
            2 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = self.next() as u8),
            3 => {
                let edge = EDGES.get(self.below(EDGES.len())).copied().unwrap_or(0).to_le_bytes();
                let width = 1 << self.below(4);
                bytes.iter_mut().skip(at).zip(edge).take(width).for_each(|(byte, edge)| *byte = edge);
            }
            4 => bytes.truncate(at),
            5 => {
                let end = (at + self.below(64)).min(bytes.len());
                let part = bytes.get(at..end).unwrap_or_default().to_vec();
                let to = self.below(bytes.len());
                bytes.splice(to..to, part);
            }
            _ => {
                let other = corpus.get(self.below(corpus.len())).map_or(&[][..], Vec::as_slice);
                let from = self.below(other.len());
                let len = self.below(256);
                bytes.splice(at..at, other.iter().skip(from).take(len).copied());
            }
        }
        bytes.truncate(1 << 16);
    }
}
