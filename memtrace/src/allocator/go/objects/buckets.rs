//! The buckets of the heap profile: `runtime.mbuckets`, a list of one bucket for each stack and size (`runtime/mprof.go`).
//!
//! Input: a process and the data of its Go modules. Output: buckets. The variable has no name in a stripped program, but
//! nothing else in a program's data points to such a bucket. A list that ends early or runs in a circle is no profile.

use std::collections::HashSet;

use crate::{
    allocator::{
        counters::{
            Target,
            data::{self, Data},
        },
        evidence::Mark,
    },
    mm::region::{Backing, Region},
};

/// `memProfile`.
const MEMORY: u64 = 1;
/// Words of a bucket before its stack: next, allnext, typ, hash, size, nstk.
const HEAD: usize = 6;
/// Words of its record up to 1.26: the published cycle and three to come, each of allocs, frees, and their bytes.
const RECORD: usize = 16;
/// Since 1.27: without the bytes.
const SHORT_RECORD: usize = 8;
/// The most frames of a stack; the runtime keeps 32, since 1.23 up to 1024.
const MOST_FRAMES: u64 = 1024;
/// Those that are kept of it.
const KEPT: usize = 24;
/// The most buckets.
const MOST_BUCKETS: usize = 1 << 15;
/// The most words of data that may be the list.
const MOST_CANDIDATES: usize = 1 << 15;
/// The most that are looked at together.
const AT_ONCE: usize = 1 << 10;

/// One stack and size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bucket {
    /// Size of each object.
    pub(super) size: u64,
    /// Return addresses, innermost first.
    pub(super) stack: Vec<u64>,
    /// Samples that were allocated and freed, as far as published.
    pub(super) allocs: u64,
    pub(super) frees: u64,
    /// Samples that were ever allocated.
    pub(super) allocated: u64,
    /// All that is not published yet.
    later: [u64; 2],
}

impl Bucket {
    /// Samples in use.
    pub(super) const fn in_use(&self) -> u64 {
        self.allocs.saturating_sub(self.frees)
    }
}

/// A heap profile.
#[derive(Debug, Default)]
pub(super) struct Profile {
    pub(super) buckets: Vec<Bucket>,
    /// Buckets that changed while they were read; thrown away.
    pub(super) changed: u64,
    pub(super) read_bytes: u64,
}

/// The start of a bucket.
#[derive(Clone, Copy, Debug)]
struct Head {
    next: u64,
    size: u64,
    frames: u64,
}

impl Head {
    /// `None` when this is no bucket of the heap profile.
    fn of(words: &[u64]) -> Option<Self> {
        let [chain, next, kind, _, size, frames] = *words.first_chunk::<HEAD>()?;
        let is_place = |address: u64| address == 0 || address.is_multiple_of(8) && address >> 47 == 0;
        let fits = kind == MEMORY
            && (1..=MOST_FRAMES).contains(&frames)
            && (1..1 << 46).contains(&size)
            && is_place(chain)
            && is_place(next);
        fits.then_some(Self { next, size, frames })
    }
}

impl Profile {
    /// Finds and reads it.
    ///
    /// # Errors
    /// When it is not there, or not whole.
    pub(super) fn read(target: &mut Target<'_>, data: &[Data]) -> Result<Self, &'static str> {
        let heads = heads(target, data);
        let Some(longest) = heads.into_iter().map(|head| Self::walk(target, head)).max_by_key(length) else {
            return Err(
                "it keeps no heap profile: the linker leaves it out of programs without runtime/pprof, or MemProfileRate is 0",
            );
        };
        let mut profile = longest?;
        profile.publish();
        Ok(profile)
    }

    /// Without a garbage collection nothing is published, and pprof takes what there is.
    pub(super) fn publish(&mut self) {
        if self.buckets.iter().all(|bucket| bucket.allocs == 0 && bucket.frees == 0) {
            for bucket in &mut self.buckets {
                [bucket.allocs, bucket.frees] = bucket.later;
            }
        }
    }

    /// Reads the list that begins with this bucket.
    pub(super) fn walk(target: &mut Target<'_>, first: u64) -> Result<Self, &'static str> {
        let (mut raw, mut seen, mut at) = (Vec::new(), HashSet::new(), first);
        while at != 0 {
            if !seen.insert(at) {
                return Err("the list of its heap profile is a circle");
            }
            if seen.len() > MOST_BUCKETS {
                return Err("its heap profile has too many stacks");
            }
            let Some(head) = words(target, at, HEAD).and_then(|words| Head::of(&words)) else {
                return Err(match target.image.is_spent() {
                    true => "its heap profile does not fit the budget",
                    false => "the list of its heap profile is broken",
                });
            };
            let rest = at.saturating_add(8 * HEAD as u64);
            let frames = head.frames as usize;
            // The last bucket before a page that is not there may be a short one.
            let read =
                words(target, rest, frames + RECORD).or_else(|| words(target, rest, frames + SHORT_RECORD));
            let Some(bucket) = read.and_then(|words| Raw::of(head.size, frames, &words)) else {
                return Err("a stack of its heap profile could not be read");
            };
            raw.push(bucket);
            at = head.next;
        }
        Ok(Self::of(&raw))
    }

    /// Buckets of whichever layout fits most of them.
    fn of(raw: &[Raw]) -> Self {
        let (fitting, all) =
            raw.iter().map(Raw::votes).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let is_long = fitting * 2 >= all;
        let read = raw.iter().map(|raw| (HEAD + RECORD + raw.stack.len()) * 8).sum::<usize>();
        let buckets: Vec<Bucket> = raw.iter().filter_map(|raw| raw.bucket(is_long)).collect();
        let changed = (raw.len() - buckets.len()) as u64;
        Self { buckets, changed, read_bytes: read as u64 }
    }
}

/// A bucket whose layout is not known yet.
#[derive(Clone, Debug)]
struct Raw {
    size: u64,
    stack: Vec<u64>,
    record: [u64; RECORD],
}

impl Raw {
    fn of(size: u64, frames: usize, words: &[u64]) -> Option<Self> {
        let (stack, rest) = words.split_at_checked(frames)?;
        let mut record = [0; RECORD];
        record.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        Some(Self { size, stack: stack.iter().take(KEPT).copied().collect(), record })
    }

    /// How many of its cycles that are not empty have the bytes that a long record has, and how many there are.
    fn votes(&self) -> (usize, usize) {
        let cycles = self.record.as_chunks::<4>().0.iter().filter(|cycle| cycle.first() != Some(&0));
        let has_bytes = |[allocs, _, bytes, _]: &&[u64; 4]| allocs.checked_mul(self.size) == Some(*bytes);
        (cycles.clone().filter(has_bytes).count(), cycles.count())
    }

    /// The bucket; `None` when its sums contradict each other.
    fn bucket(&self, is_long: bool) -> Option<Bucket> {
        let cycles: Vec<[u64; 2]> = if is_long {
            self.record.as_chunks::<4>().0.iter().map(|[allocs, frees, ..]| [*allocs, *frees]).collect()
        } else {
            self.record.as_chunks::<2>().0.iter().take(SHORT_RECORD / 2).copied().collect()
        };
        let [allocs, frees] = *cycles.first()?;
        // A flush of the runtime adds the words one after the other.
        let [_, _, alloc_bytes, free_bytes] = *self.record.first_chunk::<4>()?;
        let has_bytes = allocs.checked_mul(self.size) == Some(alloc_bytes)
            && frees.checked_mul(self.size) == Some(free_bytes);
        let sum = |at: usize| {
            let all = cycles.iter().filter_map(|cycle| cycle.get(at));
            all.fold(0, |sum: u64, part| sum.saturating_add(*part))
        };
        let (all, freed) = (sum(0), sum(1));
        (frees <= allocs && all < 1 << 40 && (has_bytes || !is_long)).then(|| Bucket {
            size: self.size,
            stack: self.stack.clone(),
            allocs,
            frees,
            allocated: all,
            later: [all, freed.min(all)],
        })
    }
}

fn length(profile: &Result<Profile, &'static str>) -> usize {
    profile.as_ref().map_or(0, |profile| profile.buckets.len() + 1)
}

/// The words of data that point to a bucket.
fn heads(target: &mut Target<'_>, data: &[Data]) -> Vec<u64> {
    let heap: Vec<(u64, u64)> = target
        .owned
        .iter()
        .filter(|owned| owned.owner.allocator == super::NAME && owned.owner.kind == "heap")
        .map(|owned| (owned.start, owned.end))
        .collect();
    let is_in_heap = |address: u64| {
        let after = heap.partition_point(|(start, _)| *start <= address);
        after.checked_sub(1).and_then(|at| heap.get(at)).is_some_and(|(_, end)| address < *end)
    };
    let all = data.iter().flat_map(|data| &data.words).copied();
    let likely = all.filter(|word| word.is_multiple_of(8) && *word >= 1 << 16 && *word >> 47 == 0);
    let mut places: Vec<u64> =
        likely.filter(|word| !is_in_heap(*word) && target.region(*word).is_some_and(is_plain)).collect();
    places.sort_unstable();
    places.dedup();
    places.truncate(MOST_CANDIDATES);
    let mut found = Vec::new();
    let mut buffer = vec![0; AT_ONCE * HEAD * 8];
    for some in places.chunks(AT_ONCE) {
        let read = target.image.read_each(some, HEAD * 8, &mut buffer);
        for ((place, is_read), bytes) in some.iter().zip(read).zip(buffer.chunks_exact(HEAD * 8)) {
            let words = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
            if is_read && Head::of(&words.collect::<Vec<_>>()).is_some() {
                found.push(*place);
            }
        }
    }
    found.retain(|place| {
        let first = target.image.word(place.saturating_add(8 * HEAD as u64));
        let module = first.and_then(|pc| target.process.module_of_code(pc));
        module.is_some_and(|module| module.marks.has(Mark::Go))
    });
    found
}

fn is_plain(region: &Region) -> bool {
    region.prot.is_writable()
        && !region.is_shared
        && matches!(region.backing, Backing::Anonymous | Backing::Heap)
}

fn words(target: &mut Target<'_>, at: u64, count: usize) -> Option<Vec<u64>> {
    let mut bytes = vec![0; 8 * count];
    target
        .image
        .read(at, &mut bytes)
        .then(|| (0..count).filter_map(|at| data::word(&bytes, 8 * at)).collect())
}

/// A bucket of which all is published.
#[cfg(test)]
pub(super) const fn made(size: u64, allocs: u64, frees: u64) -> Bucket {
    Bucket { size, stack: Vec::new(), allocs, frees, allocated: allocs, later: [allocs, frees] }
}
