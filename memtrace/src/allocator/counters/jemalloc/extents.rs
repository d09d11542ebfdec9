//! How full the pages in use are, in builds that keep no statistics: by the heads of all extents.
//!
//! Input: the data of jemalloc's module. Output: bytes handed out, by arena. jemalloc keeps a radix tree over addresses
//! whose root lies in its bss; each extent's head says which size its blocks have and how many of them are free. That
//! the extents in use add up to the pages that the arenas count is what confirms it.

use std::collections::{BTreeMap, HashSet};

use super::{
    super::{Image, Target, data, data::Data},
    is_plausible,
    layout::{SMALL, large},
};

/// `LG_PAGE` 12 and `LG_VADDR` 48: two levels of 18 bits. Others are not looked at, and what is found does not add up.
const PAGE_BITS: u32 = 12;
const LEAF_BITS: u32 = 18;
const LEAF: u64 = 8 << LEAF_BITS;
/// `EDATA_ALIGNMENT`, and bits of an address.
const HEAD_MASK: u64 = !0x7f & 0xffff_ffff_ffff;
/// `e_bits`, `e_addr`, `e_size_esn` of `edata_s`.
const HEAD: usize = 24;
/// Extents that are looked at: 20 ms of them.
const MOST_EXTENTS: usize = 1 << 18;
/// Leaves: a GiB of addresses each.
const MOST_LEAVES: usize = 1024;

/// What the extents in use hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Extents {
    /// Their sizes.
    pub(super) bytes: u64,
    /// Blocks handed out, by the index of the arena.
    pub(super) allocated: BTreeMap<u32, u64>,
}

/// Counts them; `None` where no tree is found or it is not read to its end.
pub(super) fn count(target: &mut Target<'_>, data: &[Data]) -> Option<Extents> {
    let mut heads = HashSet::new();
    for leaf in leaves(target, data)? {
        for (_, element) in elements(target.image, leaf, LEAF) {
            // Bits 2 to 4: the state, 0 for in use.
            if element >> 2 & 7 == 0 {
                heads.insert(element & HEAD_MASK);
            }
        }
        if heads.len() > MOST_EXTENTS || target.image.is_spent() {
            return None;
        }
    }
    let mut heads: Vec<u64> = heads.into_iter().collect();
    heads.sort_unstable();
    let mut bytes = vec![0; heads.len() * HEAD];
    let done = target.image.read_each(&heads, HEAD, &mut bytes);
    let mut extents = Extents::default();
    for (head, is_there) in bytes.chunks_exact(HEAD).zip(done) {
        // One that changes right now is left out: its pages are missing in the sum then.
        let head = Head::of(head).filter(|head| is_there && head.is_in_use);
        let Some((head, blocks)) = head.and_then(|head| head.allocated().map(|blocks| (head, blocks))) else {
            continue;
        };
        extents.bytes = extents.bytes.checked_add(head.size)?;
        let sum = extents.allocated.entry(head.arena).or_default();
        *sum = sum.checked_add(blocks)?;
    }
    Some(extents)
}

/// The leaves whose pointers lie in the root: each says by its own contents which GiB it is for, and so where the root
/// begins.
fn leaves(target: &mut Target<'_>, data: &[Data]) -> Option<Vec<u64>> {
    let mut roots: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    let mut seen = HashSet::new();
    for (at, words) in data.iter().flat_map(Data::suffixes) {
        let Some(leaf) = words.first().copied().filter(|leaf| leaf % 64 == 0 && is_plausible(target, *leaf))
        else {
            continue;
        };
        if seen.len() >= super::MOST_FOLLOWED || !seen.insert(leaf) {
            continue;
        }
        if let Some(root) = key(target.image, leaf).and_then(|key| at.checked_sub(key * 8)) {
            roots.entry(root).or_default().push(leaf);
        }
    }
    let leaves = roots.into_values().max_by_key(Vec::len)?;
    (leaves.len() <= MOST_LEAVES).then_some(leaves)
}

/// Which GiB a leaf is for: what the extent says whose first page an element is for. The first elements may be those of
/// an extent that reaches in from the GiB before, or of one that has no head any more.
fn key(image: &mut dyn Image, leaf: u64) -> Option<u64> {
    let mut last = 0;
    for (at, element) in first(image, leaf) {
        let mut head = [0; HEAD];
        if std::mem::replace(&mut last, element) == element || !image.read(element & HEAD_MASK, &mut head) {
            continue;
        }
        let address = data::word(&head, 8)?;
        let size = data::word(&head, 16)? >> PAGE_BITS << PAGE_BITS;
        let szind = data::word(&head, 0)? >> 20 & 0xff;
        let page = (at - leaf) / 8;
        let is_first = address >> PAGE_BITS & ((1 << LEAF_BITS) - 1) == page;
        if is_first && size > 0 && szind == element >> 48 {
            return Some(address >> (PAGE_BITS + LEAF_BITS));
        }
    }
    None
}

/// The first page of elements that are set. A leaf begins anywhere in a page, which what lies before it made present.
fn first(image: &mut dyn Image, leaf: u64) -> Vec<(u64, u64)> {
    let page = image.page_size().max(1);
    for (start, end) in leaf.checked_add(LEAF).map(|end| image.present(leaf, end)).unwrap_or_default() {
        let mut at = start;
        while at < end {
            let next = (at / page + 1).saturating_mul(page).min(end);
            let found = elements(image, at, next - at);
            if !found.is_empty() {
                return found;
            }
            at = next;
        }
    }
    Vec::new()
}

/// The words of a stretch that point to a head, with their addresses. Where two extents became one a class without a
/// head is left (`emap_merge_commit`).
fn elements(image: &mut dyn Image, start: u64, len: u64) -> Vec<(u64, u64)> {
    let mut found = Vec::new();
    for (from, to) in image.present(start, start.saturating_add(len)) {
        let mut bytes = vec![0; usize::try_from(to - from).unwrap_or(0)];
        if image.read(from, &mut bytes) {
            let words = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
            found.extend((from..).step_by(8).zip(words).filter(|(_, word)| word & HEAD_MASK != 0));
        }
    }
    found
}

/// `edata_s`.
struct Head {
    arena: u32,
    is_slab: bool,
    is_in_use: bool,
    class: u32,
    free: u64,
    size: u64,
}

impl Head {
    /// From 0 on: arena 12 bits, slab, committed, pai, zeroed, guarded, state 3, szind 8, nfree 10.
    fn of(bytes: &[u8]) -> Option<Self> {
        let (bits, size) = (data::word(bytes, 0)?, data::word(bytes, 16)?);
        Some(Self {
            arena: (bits & 0xfff) as u32,
            is_slab: bits >> 12 & 1 != 0,
            is_in_use: bits >> 17 & 7 == 0,
            class: (bits >> 20 & 0xff) as u32,
            free: bits >> 28 & 0x3ff,
            size: size >> PAGE_BITS << PAGE_BITS,
        })
    }

    /// Blocks that are handed out.
    fn allocated(&self) -> Option<u64> {
        let class = self.class as usize;
        match (self.is_slab, SMALL.get(class)) {
            (true, Some(block)) => (self.size / block).checked_sub(self.free)?.checked_mul(*block),
            (true, None) => None,
            // A sample of the heap profiler: one small block in pages of its own.
            (false, Some(block)) => Some(*block),
            (false, None) => Some(large(self.class - SMALL.len() as u32)).filter(|bytes| *bytes <= self.size),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(bits: u64, size: u64) -> Head {
        let words = [bits, 0, size | 5];
        Head::of(&words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn a_slab_has_what_is_not_free_and_a_large_extent_its_class() {
        let slab = head(3 | 1 << 12 | 4 << 20 | 10 << 28, 4096);
        assert_eq!((slab.arena, slab.is_in_use, slab.allocated()), (3, true, Some(54 * 64)));
        let large = head(37 << 20, 24 << 10);
        assert_eq!((large.size, large.allocated()), (24 << 10, Some(20 << 10)));
        assert!(!head(2 << 17, 4096).is_in_use);
        assert_eq!(head(1 << 12 | 4 << 20 | 0x3ff << 28, 4096).allocated(), None);
        assert_eq!(head(60 << 20, 4096).allocated(), None);
    }
}
