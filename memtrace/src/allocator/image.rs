//! Bytes of a process: its memory and the files of its root, as far as they can be read without changing the process.
//!
//! Input: addresses and paths. Output: bytes, or that they are not available. Must not interpret them.

#[doc(hidden)]
pub mod fake;
pub mod process;
pub mod root;

use crate::mm::region::File;

/// Files of a process's own root.
pub trait Files {
    /// The start of a regular file, `most` bytes at most; `None` when it is not a regular file or cannot be read.
    fn read(&self, path: &[u8], most: usize) -> Option<Vec<u8>>;

    /// So many bytes of a mapped file from an offset on; `None` when that file is no longer there, or shorter.
    fn read_at(&self, _file: &File, _offset: u64, _length: usize) -> Option<Vec<u8>> {
        None
    }
}

/// The resident memory of a process.
pub trait Image {
    /// Fills the buffer from an address. False when not all of it could be read: a page is not resident, the address is
    /// not mapped, or the budget of this reading is spent.
    fn read(&mut self, address: u64, buffer: &mut [u8]) -> bool;

    /// Bytes of a page.
    fn page_size(&self) -> u64;

    /// The remaining budget in bytes. It also falls with time: half of it remains when half of the time is over.
    fn left(&self) -> u64;

    /// True once the budget of bytes or time is spent: every further read fails.
    fn is_spent(&self) -> bool;

    /// The ranges of `start..end` whose pages are present, in order.
    fn present(&mut self, start: u64, end: u64) -> Vec<(u64, u64)>;

    /// Fills one slot of `len` bytes of the buffer from each address, with few system calls. Returns which slots were
    /// filled; addresses beyond the buffer's room are not.
    fn read_each(&mut self, addresses: &[u64], len: usize, buffer: &mut [u8]) -> Vec<bool> {
        let mut slots = buffer.chunks_exact_mut(len.max(1));
        addresses.iter().map(|address| slots.next().is_some_and(|slot| self.read(*address, slot))).collect()
    }

    /// Bytes of `start..end` whose pages are present.
    fn resident(&mut self, start: u64, end: u64) -> u64 {
        self.present(start, end).iter().map(|(start, end)| end.saturating_sub(*start)).sum()
    }

    /// A little-endian word.
    fn word(&mut self, address: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        self.read(address, &mut bytes).then(|| u64::from_le_bytes(bytes))
    }
}
