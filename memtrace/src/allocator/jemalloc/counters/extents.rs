//! Bytes in use in builds without statistics, from the heads of all extents.
//!
//! Input: the data of jemalloc's module. Output: bytes handed out, by arena. jemalloc keeps a radix tree over addresses
//! with the root in its bss. The head of each extent has the size of its blocks and the number of free ones. The result
//! is accepted if the extents in use add up to the pages that the arenas count.

use std::collections::{BTreeMap, HashSet};

use super::{
    is_plausible,
    layout::{SMALL, large},
};
use crate::allocator::{
    counters::{Target, data, data::Data, sampling, sampling::Parts},
    image::Image,
};

/// `LG_PAGE`. With another page size the extents do not add up, and are rejected.
const PAGE_BITS: u32 = 12;

/// The shape of the tree. It depends on `LG_VADDR` of the build machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tree {
    /// Bits of an address that a leaf covers, and that a node above it covers.
    bits: u32,
    /// Bytes of a leaf's element: one word for all, or one for the head and one for the rest.
    element: u64,
    /// Whether there are nodes between the root and the leaves.
    has_nodes: bool,
}

/// 48 bits of address, and 57.
const TREES: [Tree; 2] =
    [Tree { bits: 18, element: 8, has_nodes: false }, Tree { bits: 15, element: 16, has_nodes: true }];

/// A non-empty element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Element {
    at: u64,
    head: u64,
    class: u64,
    is_in_use: bool,
}

impl Tree {
    /// Bytes of a leaf.
    const fn leaf(self) -> u64 {
        self.element << self.bits
    }

    /// Bytes of a node.
    const fn node(self) -> u64 {
        8 << self.bits
    }

    const fn mask(self) -> u64 {
        (1 << self.bits) - 1
    }

    /// From bit 0 on: slab, head, state 3 (0 for in use), class; in the one-word form the head's address is in the
    /// middle.
    fn element(self, at: u64, words: &[u64]) -> Option<Element> {
        let (head, state, class) = match *words {
            [word] => (word & HEAD_MASK, word >> 2 & 7, word >> 48),
            [head, rest] => (head & HEAD_MASK, rest >> 2 & 7, rest >> 5),
            _ => return None,
        };
        (head != 0).then_some(Element { at, head, class, is_in_use: state == 0 })
    }
}

/// `EDATA_ALIGNMENT`, and bits of an address.
const HEAD_MASK: u64 = !0x7f & 0xffff_ffff_ffff;
/// `e_bits`, `e_addr`, `e_size_esn` of `edata_s`.
const HEAD: usize = 24;
/// Heads are read by blocks of this many bytes (no head crosses blocks), and this many blocks at once.
const BLOCK: u64 = 4096;
const AT_ONCE: usize = 64;
/// The most extents that are read.
const MOST_EXTENTS: usize = 1 << 18;
/// The most leaves: each covers 1 GiB of addresses, or 128 MiB.
const MOST_LEAVES: usize = 4096;

/// Bytes of a leaf that are read at once.
const PART: u64 = 64 << 10;

/// The sums over extents in use.
#[derive(Clone, Debug, Default)]
pub(super) struct Extents {
    /// The sum of their sizes; an estimate if sampled.
    pub(super) bytes: u64,
    /// Bytes of blocks handed out, by the index of the arena.
    pub(super) allocated: BTreeMap<u32, u64>,
    /// Bytes of blocks handed out and sizes, by page of heads, if sampled for lack of time.
    pub(super) sampled: Option<Parts>,
}

/// Counts extents, as far as time permits; `None` when no tree is found.
pub(super) fn count(target: &mut Target<'_>, data: &[Data]) -> Option<Extents> {
    TREES.into_iter().find_map(|tree| count_in(target, data, tree))
}

fn count_in(target: &mut Target<'_>, data: &[Data], tree: Tree) -> Option<Extents> {
    // Leave time to check figures against the page tables.
    let left = target.image.left();
    let end = left / 2;
    let leaves = leaves(target, data, tree)?;
    let (heads, leaf_parts) = heads(target.image, tree, &leaves, left / 4 * 3)?;
    let pages: Vec<&[u64]> = heads.chunk_by(|one, next| one / BLOCK == next / BLOCK).collect();
    let order: Vec<usize> =
        sampling::order(pages.len() as u64).filter_map(|at| usize::try_from(at).ok()).collect();
    let (mut extents, mut parts, mut read) = (Extents::default(), Parts::default(), 0_u64);
    let mut bytes = vec![0; AT_ONCE * BLOCK as usize];
    for batch in order.chunks(AT_ONCE) {
        if target.image.left() <= end {
            break;
        }
        let mut batch: Vec<&[u64]> = batch.iter().filter_map(|at| pages.get(*at).copied()).collect();
        batch.sort_unstable();
        let starts: Vec<u64> =
            batch.iter().filter_map(|heads| Some(heads.first()? / BLOCK * BLOCK)).collect();
        let done = target.image.read_each(&starts, BLOCK as usize, &mut bytes);
        if target.image.is_spent() {
            break;
        }
        for ((heads, page), is_there) in batch.iter().zip(bytes.chunks_exact(BLOCK as usize)).zip(done) {
            read += 1;
            let page = page_of(heads, page, &mut extents.allocated).filter(|_| is_there);
            let Some((size, blocks)) = page else { continue };
            extents.bytes = extents.bytes.checked_add(size)?;
            parts.add(blocks, size);
        }
    }
    let [leaf_parts, all_leaf_parts] = leaf_parts;
    if read < pages.len() as u64 || leaf_parts < all_leaf_parts {
        let scaled = extents.bytes as f64 * pages.len() as f64 / read.max(1) as f64;
        extents.bytes = (scaled * all_leaf_parts as f64 / leaf_parts.max(1) as f64) as u64;
        extents.sampled = (read > 0).then_some(parts);
        extents.sampled.as_ref()?;
    }
    Some(extents)
}

/// Sizes and blocks of the extents whose heads are in one page.
fn page_of(heads: &[u64], page: &[u8], allocated: &mut BTreeMap<u32, u64>) -> Option<(u64, u64)> {
    let (mut sizes, mut all) = (0_u64, 0_u64);
    for head in heads {
        let Some(bytes) = page.get((head % BLOCK) as usize..) else { continue };
        // A head that is being changed is skipped, so its pages are missing in the sum.
        let Some(head) = Head::of(bytes).filter(|head| head.is_in_use) else { continue };
        let Some(blocks) = head.allocated() else { continue };
        sizes = sizes.checked_add(head.size)?;
        all = all.checked_add(blocks)?;
        let sum = allocated.entry(head.arena).or_default();
        *sum = sum.checked_add(blocks)?;
    }
    Some((sizes, all))
}

/// The sorted addresses of the heads of extents in use, and the number of parts of leaves that were read, of how many.
/// Stops when only `end` of the budget is left.
fn heads(image: &mut dyn Image, tree: Tree, leaves: &[u64], end: u64) -> Option<(Vec<u64>, [u64; 2])> {
    let each = tree.leaf().div_ceil(PART);
    let all = each.saturating_mul(leaves.len() as u64);
    let (mut heads, mut read) = (Vec::new(), 0);
    for number in sampling::order(all) {
        if image.left() <= end {
            break;
        }
        let leaf = usize::try_from(number / each).ok().and_then(|at| leaves.get(at));
        let start = leaf.and_then(|leaf| leaf.checked_add(number % each * PART));
        let elements = elements(image, tree, start?, PART);
        let before = heads.len();
        heads.extend(elements.iter().filter(|element| element.is_in_use).map(|element| element.head));
        if image.is_spent() {
            heads.truncate(before);
            break;
        }
        read += 1;
        // All pages of a slab have the same head.
        heads.dedup();
        if heads.len() > MOST_EXTENTS {
            break;
        }
    }
    heads.sort_unstable();
    heads.dedup();
    (read > 0).then_some((heads, [read, all]))
}

/// The leaves that the root points to, directly or through a node. The contents of a leaf show which addresses it
/// covers, and thus where the root begins.
fn leaves(target: &mut Target<'_>, data: &[Data], tree: Tree) -> Option<Vec<u64>> {
    let mut roots: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    let mut seen = HashSet::new();
    for (at, words) in data.iter().flat_map(Data::suffixes) {
        let Some(below) =
            words.first().copied().filter(|below| below % 64 == 0 && is_plausible(target, *below))
        else {
            continue;
        };
        if seen.len() >= super::MOST_FOLLOWED || !seen.insert(below) {
            continue;
        }
        let found = if tree.has_nodes {
            node(target, tree, below)
        } else {
            key(target.image, tree, below).map(|key| (key, vec![below]))
        };
        if let Some((key, leaves)) = found
            && let Some(root) = at.checked_sub(key * 8)
        {
            roots.entry(root).or_default().extend(leaves);
        }
    }
    let leaves = roots.into_values().max_by_key(Vec::len)?;
    (leaves.len() <= MOST_LEAVES).then_some(leaves)
}

/// The addresses that a node covers, and its leaves. It is accepted if a leaf is at the index of its own addresses.
fn node(target: &mut Target<'_>, tree: Tree, node: u64) -> Option<(u64, Vec<u64>)> {
    let (mut leaves, mut own) = (Vec::new(), None);
    for (from, to) in target.image.present(node, node.checked_add(tree.node())?) {
        let mut bytes = vec![0; usize::try_from(to - from).unwrap_or(0)];
        if !target.image.read(from, &mut bytes) {
            continue;
        }
        for (at, word) in (from..).step_by(8).zip(bytes.as_chunks::<8>().0) {
            let leaf = u64::from_le_bytes(*word);
            if leaf == 0 || leaf % 64 != 0 || !is_plausible(target, leaf) {
                continue;
            }
            if own.is_none() {
                let place = (at - node) / 8;
                // Otherwise it is no node: its first pointer does not fit its index.
                let key = key(target.image, tree, leaf).filter(|key| key & tree.mask() == place)?;
                own = Some(key >> tree.bits);
            }
            if leaves.len() > MOST_LEAVES {
                return None;
            }
            leaves.push(leaf);
        }
    }
    Some((own?, leaves))
}

/// The addresses that a leaf covers, from the extent whose first page an element stands for. The first elements may
/// belong to an extent that starts in the previous leaf, or that no longer has a head.
fn key(image: &mut dyn Image, tree: Tree, leaf: u64) -> Option<u64> {
    let mut last = 0;
    for Element { at, head: place, class, .. } in first(image, tree, leaf) {
        let mut head = [0; HEAD];
        if std::mem::replace(&mut last, place) == place || !image.read(place, &mut head) {
            continue;
        }
        let address = data::word(&head, 8)?;
        let size = data::word(&head, 16)? >> PAGE_BITS << PAGE_BITS;
        let szind = data::word(&head, 0)? >> 20 & 0xff;
        let page = (at - leaf) / tree.element;
        let is_first = address >> PAGE_BITS & tree.mask() == page;
        if is_first && size > 0 && szind == class {
            return Some(address >> (PAGE_BITS + tree.bits));
        }
    }
    None
}

/// The first page with non-empty elements. A leaf may begin anywhere in a page, and other data may have made that page
/// resident.
fn first(image: &mut dyn Image, tree: Tree, leaf: u64) -> Vec<Element> {
    let page = image.page_size().max(1);
    let end = leaf.checked_add(tree.leaf());
    for (start, end) in end.map(|end| image.present(leaf, end)).unwrap_or_default() {
        let mut at = start;
        while at < end {
            let next = (at / page + 1).saturating_mul(page).min(end);
            let found = elements(image, tree, at, next - at);
            if !found.is_empty() {
                return found;
            }
            at = next;
        }
    }
    Vec::new()
}

/// The elements in a range that point to a head. A merge of two extents leaves elements with a class and no head
/// (`emap_merge_commit`).
fn elements(image: &mut dyn Image, tree: Tree, start: u64, len: u64) -> Vec<Element> {
    let mut found = Vec::new();
    for (from, to) in image.present(start, start.saturating_add(len)) {
        let mut bytes = vec![0; usize::try_from(to - from).unwrap_or(0)];
        if image.read(from, &mut bytes) {
            let words: Vec<u64> =
                bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
            let each = words.chunks_exact(usize::try_from(tree.element / 8).unwrap_or(1));
            let places = (from..).step_by(usize::try_from(tree.element).unwrap_or(8));
            found.extend(places.zip(each).filter_map(|(at, words)| tree.element(at, words)));
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

    /// Bytes of blocks handed out.
    fn allocated(&self) -> Option<u64> {
        let class = self.class as usize;
        match (self.is_slab, SMALL.get(class)) {
            (true, Some(block)) => (self.size / block).checked_sub(self.free)?.checked_mul(*block),
            (true, None) => None,
            // A sampled allocation of the heap profiler: one small block in pages of its own.
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

    #[test]
    fn an_element_is_one_word_or_two() {
        let head = 0x7f12_3456_7880;
        let [narrow, wide] = TREES;
        let element = |is_in_use| Some(Element { at: 8, head, class: 33, is_in_use });
        assert_eq!(narrow.element(8, &[33 << 48 | head | 3]), element(true));
        assert_eq!(narrow.element(8, &[33 << 48 | head | 1 << 2]), element(false));
        assert_eq!(wide.element(8, &[head, 33 << 5 | 3]), element(true));
        assert_eq!(wide.element(8, &[head, 33 << 5 | 2 << 2]), element(false));
        assert_eq!((narrow.element(8, &[33 << 48]), wide.element(8, &[0, 33 << 5])), (None, None));
    }
}
