//! An arena: its `malloc_state`, its heaps and its lists.
//!
//! Input: an image and an address. Output: [`Arena`], and the contents of its free lists. Lists are walked as long as
//! they are consistent and time permits.

use super::{
    chunk::{ALIGNMENT, FLAGS, SMALLEST, Span},
    layout::{self, State},
    pages::Pages,
};
use crate::allocator::{
    evidence::content::{HEAP_SIZE, heap_of},
    image::Image,
};

/// The most heaps of one arena: 4 TiB.
const MOST_HEAPS: usize = 1 << 16;
/// The most chunks of one arena's fast bins.
const MOST_FAST: u32 = 1 << 18;

/// The most chunks of one arena's other bins, in case a list never ends.
const MOST_BINNED: u32 = 1 << 18;
/// Free chunks from this size on are in the bins of large ones: `largebin_index` gives 113 for it.
pub const LEAST_LARGE: u64 = 12 << 10;
/// The most large free chunks that are remembered.
const MOST_LARGE: usize = 1 << 14;

/// An arena, as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arena {
    /// Address of its `malloc_state`.
    pub at: u64,
    /// Its layout.
    pub layout: &'static State,
    words: Vec<u64>,
}

/// The contents of lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Bytes of the chunks.
    pub bytes: u64,
    /// The resident part.
    pub resident: u64,
    /// Whether the walk was complete.
    pub is_complete: bool,
}

/// Large free chunks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Large {
    /// Address and bytes of each.
    pub chunks: Vec<(u64, u64)>,
    /// Whether these are all.
    pub is_complete: bool,
}

impl Arena {
    /// Reads an arena.
    pub fn read(pages: &mut Pages<'_>, at: u64, layout: &'static State) -> Option<Self> {
        Some(Self { at, layout, words: pages.words(at, layout.size / 8)? })
    }

    /// An arena from its words.
    pub fn of(at: u64, layout: &'static State, words: &[u64]) -> Option<Self> {
        let words = words.get(..usize::try_from(layout.size / 8).ok()?)?.to_vec();
        Some(Self { at, layout, words })
    }

    fn word(&self, offset: u64) -> u64 {
        let word = usize::try_from(offset / 8).ok().and_then(|at| self.words.get(at));
        word.copied().unwrap_or_default()
    }

    /// The top chunk.
    pub fn top(&self) -> u64 {
        self.word(self.layout.top)
    }

    /// The next arena of the ring.
    pub fn next(&self) -> u64 {
        self.word(self.layout.next)
    }

    /// Obtained from the kernel.
    pub fn system_mem(&self) -> u64 {
        self.word(self.layout.system_mem)
    }

    /// Whether nothing was ever allocated from it: its top is its own first bin.
    pub fn is_unused(&self) -> bool {
        self.top() == self.header(0)
    }

    /// Address of a bin as if it were a chunk.
    fn header(&self, bin: u64) -> u64 {
        self.at.wrapping_add(self.layout.bins).wrapping_add(16 * bin).wrapping_sub(16)
    }

    /// `fd` and `bk` of a bin.
    fn bin(&self, bin: u64) -> (u64, u64) {
        let at = self.layout.bins + 16 * bin;
        (self.word(at), self.word(at + 8))
    }

    /// How many of its bins are empty; `None` when any is broken.
    pub fn empty_bins(&self) -> Option<u64> {
        let mut empty = 0;
        for bin in 0..layout::BINS {
            let (fd, bk) = self.bin(bin);
            if fd == 0 || bk == 0 || fd % 8 != 0 || bk % 8 != 0 {
                return None;
            }
            let header = self.header(bin);
            match (fd == header, bk == header) {
                (true, true) => empty += 1,
                (false, false) => {}
                _ => return None,
            }
        }
        Some(empty)
    }

    /// The first chunk of each bin that is not empty.
    pub fn first_chunks(&self) -> impl Iterator<Item = (u64, u64)> {
        let bins = (0..layout::BINS).map(|bin| (self.header(bin), self.bin(bin).0));
        bins.filter(|(header, first)| header != first)
    }

    /// Size of the top chunk; 0 before there is one.
    pub fn top_size(&self, pages: &mut Pages<'_>) -> Option<u64> {
        if self.is_unused() {
            return Some(0);
        }
        let head = pages.word(self.top().checked_add(8)?)?;
        // The chunk before the top is never free, so PREV_INUSE is set.
        (head & 1 != 0 && head & !FLAGS <= self.system_mem()).then_some(head & !FLAGS)
    }

    /// The heaps of a thread arena, the newest first, with their sizes.
    pub fn heaps(&self, pages: &mut Pages<'_>) -> Option<Vec<(u64, u64)>> {
        let mut heaps: Vec<(u64, u64)> = Vec::new();
        let mut at = heap_of(self.top());
        while at != 0 {
            let words = pages.words(at, layout::HEAP_WORDS)?;
            let [owner, previous, size] = words.as_slice() else { return None };
            let is_heap = *owner == self.at && heap_of(*previous) == *previous && *size <= HEAP_SIZE;
            if !is_heap || heaps.len() >= MOST_HEAPS || heaps.iter().rev().take(64).any(|heap| heap.0 == at) {
                return None;
            }
            heaps.push((at, *size));
            at = *previous;
        }
        heaps.last().is_some_and(|first| first.0 == heap_of(self.at)).then_some(heaps)
    }

    /// The chunks of a thread arena's heaps.
    pub fn spans(&self, heaps: &[(u64, u64)]) -> Vec<Span> {
        let own = heap_of(self.at);
        let header = self.at - own;
        let span = |(at, (heap, size)): (usize, &(u64, u64))| {
            let first = if *heap == own { header + self.layout.size } else { header };
            let start = heap + first_chunk(first);
            let has_top = at == 0;
            Span { start, end: if has_top { self.top() } else { heap + size }, has_top }
        };
        heaps.iter().enumerate().map(span).filter(|span| span.start <= span.end).collect()
    }

    /// The contents of the fast bins. Stops when only `end` of the budget is left. A list that is broken, because the
    /// process changes it, is counted up to the break.
    pub fn fast(&self, image: &mut dyn Image, end: u64) -> Held {
        let mut held = Held { is_complete: true, ..Held::default() };
        let Some(fastbins) = self.layout.fastbins else { return held };
        let mut left = MOST_FAST;
        for bin in 0..layout::FASTBINS {
            let (size, mut chunk) = (layout::size_of_bin(bin), self.word(fastbins + 8 * bin));
            while chunk != 0 {
                left = left.saturating_sub(1);
                if left == 0 || image.left() <= end {
                    held.is_complete = false;
                    return held;
                }
                let next = heads::<2>(image, chunk)
                    .filter(|[head, _]| head & !FLAGS == size)
                    .and_then(|[_, link]| revealed(chunk.checked_add(16)?, link));
                let Some(next) = next else { break };
                held.bytes += size;
                held.resident += size;
                chunk = next;
            }
        }
        held
    }

    /// The free chunks of the largest bins, from 10.5 KiB on, the largest first. Incomplete when only `end` of the budget
    /// is left.
    pub fn large(&self, image: &mut dyn Image, end: u64) -> Large {
        /// `largebin_index` of 10.5 KiB.
        const FIRST: u64 = 112;
        let mut large = Large { chunks: Vec::new(), is_complete: true };
        for bin in (FIRST - 1..layout::BINS).rev() {
            let (header, mut chunk) = (self.header(bin), self.bin(bin).0);
            while chunk != header {
                let is_time = large.chunks.len() < MOST_LARGE && image.left() > end;
                let Some([head, next]) = heads(image, chunk).filter(|_| is_time) else {
                    large.is_complete = false;
                    break;
                };
                large.chunks.push((chunk, head & !FLAGS));
                chunk = next;
            }
        }
        large
    }

    /// The contents of the other bins, chunk by chunk. Stops when only `end` of the budget is left.
    pub fn binned(&self, image: &mut dyn Image, end: u64) -> Held {
        let mut held = Held { is_complete: true, ..Held::default() };
        let mut left = MOST_BINNED;
        for bin in 0..layout::BINS {
            let header = self.header(bin);
            let (mut last, mut chunk) = (header, self.bin(bin).0);
            while chunk != header {
                left = left.saturating_sub(1);
                let is_time = left > 0 && image.left() > end;
                let Some([head, fd, bk]) = heads(image, chunk).filter(|_| is_time) else {
                    held.is_complete = false;
                    return held;
                };
                let size = head & !FLAGS;
                if bk != last || size < SMALLEST || size > self.system_mem() {
                    held.is_complete = false;
                    return held;
                }
                held.bytes += size;
                held.resident += image.resident(chunk, chunk.saturating_add(size));
                (last, chunk) = (chunk, fd);
            }
        }
        held
    }
}

/// The first words of a chunk, from its size on: one small read, because lists jump about.
fn heads<const N: usize>(image: &mut dyn Image, chunk: u64) -> Option<[u64; N]> {
    let mut bytes = [0; 32];
    let bytes = bytes.get_mut(..N * 8)?;
    if !chunk.is_multiple_of(8) || !image.read(chunk.checked_add(8)?, bytes) {
        return None;
    }
    let mut words = [0; N];
    words
        .iter_mut()
        .zip(bytes.as_chunks::<8>().0)
        .for_each(|(word, bytes)| *word = u64::from_le_bytes(*bytes));
    Some(words)
}

/// Offset of the first chunk after `bytes` bytes of header: the memory it hands out is aligned, not the chunk itself.
pub const fn first_chunk(bytes: u64) -> u64 {
    (bytes + 16).next_multiple_of(ALIGNMENT) - 16
}

/// A link of a singly linked list, demangled: since 2.32 it is XORed with its own address.
pub fn revealed(at: u64, link: u64) -> Option<u64> {
    let mangled = at >> 12 ^ link;
    let is_aligned = |next: &u64| next.is_multiple_of(ALIGNMENT);
    // A plain link has the same high bits as its own address, a mangled one does not.
    let is_near = |next: &u64| *next == 0 || is_aligned(next) && next >> 28 == at >> 28;
    [link, mangled].into_iter().find(is_near).or_else(|| Some(mangled).filter(is_aligned))
}
