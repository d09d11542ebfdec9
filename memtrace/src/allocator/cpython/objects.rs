//! What fills obmalloc: bytes and instances of each type, over all of its blocks and not only those that the garbage
//! collector tracks.
//!
//! Input: the arenas of a process. Output: [`Objects`]. Every pool says which of its blocks are in use; the word that a
//! block has as its type says whose it is, if a type is there. Where there is no budget for all pools, an evenly spread
//! part of each size class is read, and the bound is that of the sample. Must not fault in a page, and must not pass on
//! anything but names of types and sums.

mod held;
mod keys;
mod pool;
mod strings;
mod types;

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use self::{
    held::{Held, SMALL},
    types::Types,
};
use super::pools::{self, HEADER, Header, MOST_POOLS, Pools};
use crate::{
    allocator::{
        counters::{Absent, Target, data},
        evidence::{Mark, ProcessEvidence},
        image::Image,
        objects::{
            ObjectReader, Objects,
            tally::{self, Figure, Part, Stratum, Tally, Type},
        },
    },
    mm::region::Region,
    units::{Bytes, Grade},
};

const NAME: &str = "cpython";
/// A count of references above this is none: since 3.12 immortal objects have 2^32 - 1.
const MOST_REFERENCES: u64 = u32::MAX as u64;
/// Where an object can begin in its block: behind nothing, two words of the collector, and two of its attributes.
const BEGINS: [usize; 3] = [0, 16, 32];
/// The type of blocks without one.
const UNTYPED: Type = Type::MAX;
/// Buffers of at most 512 bytes, which are blocks without a type themselves.
const CLAIMED: Type = Type::MAX - 1;
/// All blocks.
const IN_USE: Type = Type::MAX - 2;

/// A larger buffer stands for itself only: the one list of a program must not be taken for one in each pool.
const LARGE: u64 = 128 << 10;
/// The stratum of such buffers.
const LARGE_BUFFERS: u8 = u8::MAX;

/// The reader.
pub struct Cpython;

impl ObjectReader for Cpython {
    fn name(&self) -> &'static str {
        NAME
    }

    fn applies(&self, process: &ProcessEvidence) -> bool {
        process.has(Mark::Cpython)
    }

    fn read(&self, target: &mut Target<'_>) -> Result<Objects, Absent> {
        let absent = |reason: &str| Absent { allocator: NAME.to_owned(), reason: reason.to_owned() };
        let arenas: Vec<(u64, u64)> = target.ranges_of(NAME).map(|owned| (owned.start, owned.end)).collect();
        if arenas.is_empty() {
            return Err(absent(
                "no arena of obmalloc was found: a free-threaded build, or PYTHONMALLOC=malloc, has none",
            ));
        }
        let budget = target.image.left();
        let guessed = Pools::guess(target.image, &arenas);
        let Some(pools) = guessed else { return Err(absent("no known size of pools fits")) };
        let places: Vec<u64> = pools.places().take(MOST_POOLS).collect();
        let headers = pools.headers(target.image, &places, budget / 2);
        let most = target.regions.iter().map(Region::len).fold(0, u64::saturating_add);
        let mut walk = Walk { pools: &pools, regions: target.regions, most, ..Walk::new(&pools) };
        for (at, header) in places.iter().zip(&headers) {
            let Some(header) = header else { continue };
            // The rest is for a second look at the headers.
            if target.image.left() <= budget / 8 || !walk.pool(target.image, *at, *header) {
                break;
            }
        }
        if walk.read == 0 {
            return Err(absent(if headers.len() < places.len() || target.image.is_spent() {
                "the time limit was reached before a pool was read"
            } else {
                "none of its arenas has a pool that could be read"
            }));
        }
        let again = pools.headers(target.image, places.get(..headers.len()).unwrap_or_default(), 0);
        Ok(walk.objects(&headers, &again))
    }
}

/// A walk through pools.
struct Walk<'a> {
    pools: &'a Pools,
    regions: &'a [Region],
    /// The largest buffer that the process can have.
    most: u64,
    types: Types,
    tally: Tally,
    /// Sizes of blocks by pool.
    sizes: HashMap<u64, u64>,
    /// Large buffers of the pool that is read.
    large: Vec<(Type, u64)>,
    read: u64,
    changed: u64,
}

impl<'a> Walk<'a> {
    fn new(pools: &'a Pools) -> Self {
        Self {
            pools,
            regions: &[],
            most: 0,
            types: Types::default(),
            tally: Tally::default(),
            sizes: HashMap::new(),
            large: Vec::new(),
            read: 0,
            changed: 0,
        }
    }

    /// Reads a pool, which had this header. False when the budget is spent.
    fn pool(&mut self, image: &mut dyn Image, at: u64, before: Header) -> bool {
        let len = usize::try_from(self.pools.size).unwrap_or_default();
        // Once more if it changed meanwhile.
        for _ in 0..2 {
            let bytes = data::filled(image, at, len);
            if image.is_spent() {
                return false;
            }
            let Some(header) = bytes.first_chunk::<HEADER>().map(pools::words) else { continue };
            let is_same = pool::block_size(header) == pool::block_size(before);
            let header = self.pools.used(at, header).filter(|_| is_same).map(|_| header);
            let Some(used) = header.and_then(|header| pool::used(&bytes, at, header)) else { continue };
            let piece = self.piece(image, at, &bytes, &used);
            if image.is_spent() {
                return false;
            }
            for (of, held) in self.large.drain(..) {
                let buffer = HashMap::from([(of, Part { held, ..Part::default() })]);
                self.tally.add(LARGE_BUFFERS, &buffer);
            }
            self.tally.add(class(before), &piece);
            self.read += 1;
            return true;
        }
        self.changed += 1;
        true
    }

    /// What the blocks of a pool are.
    fn piece(
        &mut self,
        image: &mut dyn Image,
        at: u64,
        bytes: &[u8],
        used: &pool::Used,
    ) -> HashMap<Type, Part> {
        let mut piece: HashMap<Type, Part> = HashMap::new();
        let mut held = Held::default();
        let size = used.size as u64;
        for offset in &used.blocks {
            let Some(block) = bytes.get(*offset..).and_then(|rest| rest.get(..used.size)) else { continue };
            let of = self.classify(image, block);
            if let Some((of, found)) = of.and_then(|of| Some((of, self.types.get(of)?))) {
                held.add(of, found, block, at + *offset as u64, self.most);
            }
            for of in [of.unwrap_or(UNTYPED), IN_USE] {
                let part = piece.entry(of).or_default();
                part.bytes += size;
                part.count += 1;
            }
        }
        held.ask(image, self.pools, &mut self.sizes, self.most);
        for (of, bytes) in held.buffers {
            if bytes >= LARGE {
                self.large.push((of, bytes));
                continue;
            }
            let part = piece.entry(of).or_default();
            part.held = part.held.saturating_add(bytes);
            if bytes <= SMALL {
                piece.entry(CLAIMED).or_default().held += bytes;
            }
        }
        piece
    }

    /// The type of a block, if it is an object.
    fn classify(&mut self, image: &mut dyn Image, block: &[u8]) -> Option<Type> {
        BEGINS.into_iter().find_map(|begin| {
            let references = data::word(block, begin)?;
            if references == 0 || references > MOST_REFERENCES {
                return None;
            }
            let of = self.types.find(image, self.regions, data::word(block, begin + 8)?)?;
            let found = self.types.get(of)?;
            (found.before == begin && found.basic <= block.len() - begin).then_some(of)
        })
    }

    /// The figures, from what was read of the pools with these headers, and the headers after that.
    fn objects(self, headers: &[Option<Header>], again: &[Option<Header>]) -> Objects {
        let mut strata: HashMap<u8, u64> = HashMap::new();
        for header in headers.iter().flatten() {
            *strata.entry(class(*header)).or_default() += 1;
        }
        // Where not all headers were read, the rest is like them.
        let all = |seen: u64| {
            let all = u128::from(seen) * u128::from(self.pools.count) / headers.len().max(1) as u128;
            u64::try_from(all).unwrap_or(u64::MAX)
        };
        let (moved, is_at_rest) = moved(headers, again);
        let large = Stratum { pieces: self.tally.read(LARGE_BUFFERS), ..Stratum::default() };
        let stratum = |class: u8| {
            if class == LARGE_BUFFERS {
                return large;
            }
            let size = (u64::from(class) + 1) * 16;
            let count = self.pools.size.saturating_sub(HEADER as u64) / size;
            let blocks = all(moved.get(&class).copied().unwrap_or_default());
            Stratum {
                pieces: all(strata.get(&class).copied().unwrap_or_default()),
                most: Part { bytes: count * size, held: 0, count },
                moved: Part { bytes: blocks.saturating_mul(size), held: 0, count: blocks },
            }
        };
        let mut sums = self.tally.sums(stratum, is_at_rest);
        let mut sum = |of: Type| sums.remove(&of).unwrap_or_default();
        let ([in_use, ..], [untyped, ..], [_, claimed, _]) = (sum(IN_USE), sum(UNTYPED), sum(CLAIMED));
        let named =
            sums.into_iter().filter_map(|(of, figures)| Some((self.types.get(of)?.name.clone(), figures)));
        let (rows, others) = tally::rows(named);
        let pieces = all(headers.iter().flatten().count() as u64);
        let Figure { sum: heap, off } = in_use;
        let mut missing = vec![
            "objects of more than 512 bytes: they come from malloc; of these only the buffers of lists, dicts, sets and \
             bytearrays are told, with their owners"
                .to_owned(),
        ];
        if self.read < pieces {
            missing.push("buffers of 128 KiB and more whose owner is in a pool that was not read".to_owned());
        }
        Objects {
            runtime: NAME.to_owned(),
            rows,
            others,
            untyped_bytes: Bytes(untyped.sum.saturating_sub(claimed.sum)),
            heap_bytes: Bytes(heap),
            error_bytes: Bytes(off),
            read_bytes: Bytes(self.read * self.pools.size),
            pieces,
            pieces_read: self.read,
            pieces_changed: self.changed,
            grade: if self.read == pieces { Grade::Read } else { Grade::Sampled },
            missing,
        }
    }
}

/// How many blocks of each size class were allocated or freed between two looks at the headers of the same pools, twice to
/// be safe; and whether that is none.
fn moved(first: &[Option<Header>], again: &[Option<Header>]) -> (HashMap<u8, u64>, bool) {
    let mut moved: HashMap<u8, u64> = HashMap::new();
    let mut is_at_rest = again.len() == first.len();
    for (first, again) in first.iter().zip(again) {
        // The links to other pools are not what is in this one.
        let own = |header: &Header| [0, 1, 4, 5].map(|at| header.get(at).copied());
        if first.as_ref().map(own) == again.as_ref().map(own) {
            continue;
        }
        is_at_rest = false;
        let count = |header: Option<Header>, of: u8| match header {
            Some(header @ [count, ..]) if class(header) == of => count & 0xffff_ffff,
            _ => 0,
        };
        let [old, new] = [*first, *again].map(|header| header.map(class));
        let classes = [old, new.filter(|new| Some(*new) != old)];
        for of in classes.into_iter().flatten() {
            let [was, is] = [*first, *again].map(|header| count(header, of));
            // Another block may have been put in the place of one that was freed.
            *moved.entry(of).or_default() += 2 * was.abs_diff(is).max(1);
        }
    }
    for blocks in moved.values_mut() {
        *blocks = blocks.saturating_mul(first.len() as u64) / again.len().max(1) as u64;
    }
    (moved, is_at_rest)
}

/// The size class of a pool with this header.
fn class([.., index, _]: Header) -> u8 {
    u8::try_from((index >> 32).min(63)).unwrap_or(63)
}
