//! The blocks of one pool that are in use.
//!
//! Input: the bytes of a pool. Output: the offsets of its blocks in use; nothing if the pool does not agree with itself,
//! because it changed while it was read. Pure. Every offset and every link is checked.

use crate::allocator::{
    counters::data::word,
    cpython::pools::{HEADER, Header},
};

/// The largest pool, 16 KiB, in blocks of 16 bytes.
const MOST_BLOCKS: usize = 1024;

/// The blocks in use of one pool.
#[derive(Debug, PartialEq, Eq)]
pub struct Used {
    /// Bytes of a block.
    pub size: usize,
    /// Offsets in the pool.
    pub blocks: Vec<usize>,
}

/// The size of the blocks of a pool with this (valid) header.
pub fn block_size([.., index, _]: Header) -> usize {
    usize::try_from((index >> 32).min(63) + 1).unwrap_or(1) * 16
}

/// The blocks in use. `at` is the address of the pool, whose header is valid.
pub fn used(bytes: &[u8], at: u64, header: Header) -> Option<Used> {
    let [count, mut free, _, _, _, offsets] = header;
    let (count, size) = (usize::try_from(count & 0xffff_ffff).ok()?, block_size(header));
    let end = usize::try_from(offsets & 0xffff_ffff).ok()?.min(bytes.len());
    let carved = end.checked_sub(HEADER)? / size;
    let mut is_free = [0_u64; MOST_BLOCKS / 64];
    // Each block is free at most once: a list that is longer, or turns back, is torn.
    for _ in 0..=carved {
        if free == 0 {
            break;
        }
        let offset = usize::try_from(free.checked_sub(at)?).ok()?;
        let block = offset.checked_sub(HEADER)?;
        let (block, is_whole) = (block / size, block.is_multiple_of(size));
        let bits = is_free.get_mut(block / 64).filter(|_| is_whole && block < carved)?;
        if *bits >> (block % 64) & 1 != 0 {
            return None;
        }
        *bits |= 1 << (block % 64);
        free = word(bytes, offset)?;
    }
    let is_used = |block: &usize| is_free.get(block / 64).is_some_and(|bits| bits >> (block % 64) & 1 == 0);
    let blocks: Vec<usize> = (0..carved).filter(is_used).map(|block| HEADER + block * size).collect();
    (free == 0 && blocks.len() == count).then_some(Used { size, blocks })
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: u64 = 0x7f00_0000_0000;
    const POOL: usize = 4096;

    /// A pool of 32-byte blocks, of which so many are carved, and these are free.
    fn pool(carved: usize, free: &[usize]) -> (Vec<u8>, Header) {
        let mut bytes = vec![0; POOL];
        let place = |block: usize| HEADER + block * 32;
        for (at, block) in free.iter().enumerate() {
            let next = free.get(at + 1).map_or(0, |next| AT + place(*next) as u64);
            bytes[place(*block)..][..8].copy_from_slice(&next.to_le_bytes());
        }
        let first = free.first().map_or(0, |first| AT + place(*first) as u64);
        let count = (carved - free.len()) as u64;
        (bytes, [count, first, AT, AT, 1 << 32, (4096 - 32) << 32 | place(carved) as u64])
    }

    #[test]
    fn what_is_carved_and_not_free_is_in_use() {
        let (bytes, header) = pool(5, &[3, 0]);
        let used = used(&bytes, AT, header).unwrap();
        assert_eq!((used.size, used.blocks), (32, vec![80, 112, 176]));
    }

    #[test]
    fn a_torn_pool_is_no_pool() {
        let (mut bytes, header) = pool(5, &[3, 0]);
        let [count, rest @ ..] = header;
        let torn = |count| [count, rest[0], rest[1], rest[2], rest[3], rest[4]];
        assert_eq!(used(&bytes, AT, torn(count + 1)), None, "another count");
        // The list turns back.
        bytes[HEADER..][..8].copy_from_slice(&(AT + 48 + 96).to_le_bytes());
        assert_eq!(used(&bytes, AT, header), None);
        bytes[HEADER..][..8].copy_from_slice(&(AT + 50).to_le_bytes());
        assert_eq!(used(&bytes, AT, header), None, "between blocks");
        bytes[HEADER..][..8].copy_from_slice(&(AT + 48 + 5 * 32).to_le_bytes());
        assert_eq!(used(&bytes, AT, header), None, "not carved yet");
        bytes[HEADER..][..8].copy_from_slice(&7_u64.to_le_bytes());
        assert_eq!(used(&bytes, AT, header), None, "elsewhere");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_walked_to_an_end(bytes: Vec<u8>, header: [u64; 6], at: u64) {
            if let Some(used) = used(&bytes, at, header) {
                assert!(used.blocks.iter().all(|offset| offset + used.size <= bytes.len()));
            }
        }
    }
}
