//! The stored form of a region: 64 bytes, because a process may have more than 60,000 of them.
//!
//! Attributes that many regions have in common are stored once and shared: [`Traits`], from a [`Pool`].

use std::{collections::HashSet, sync::Arc};

use crate::mm::{
    region::{Backing, Born, File, Prot, Region, VmFlags},
    residency::Held,
};

/// All of a region except its range and its residency.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Traits {
    pub(super) prot: Prot,
    pub(super) is_shared: bool,
    pub(super) is_hugetlb: bool,
    /// Whether `flags` is complete, or contains only flags that calls set.
    pub(super) has_flags: bool,
    pub(super) flags: VmFlags,
    pub(super) backing: Backing,
    pub(super) name: Option<Arc<[u8]>>,
    pub(super) call: Option<Call>,
}

/// The part of [`Born`] that many calls have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Call {
    pub(super) prot: Prot,
    pub(super) flags: u32,
    pub(super) caller: u64,
}

impl Traits {
    /// The traits of a [`Region`].
    pub(super) fn of(region: &Region) -> Self {
        let call =
            region.born.map(|Born { prot, flags, caller, addr: _, len: _ }| Call { prot, flags, caller });
        Self {
            prot: region.prot,
            is_shared: region.is_shared,
            is_hugetlb: region.is_hugetlb,
            has_flags: region.vm_flags.is_some(),
            flags: region.vm_flags.unwrap_or_default(),
            backing: region.backing.clone(),
            name: region.name.clone(),
            call,
        }
    }

    /// Whether it maps an object with offsets, so that its parts differ by offset.
    pub(super) const fn has_offset(&self) -> bool {
        match self.backing {
            Backing::File(_) | Backing::UnknownFile | Backing::SharedAnonymous => true,
            Backing::Anonymous | Backing::Heap | Backing::Stack | Backing::Special(_) => false,
        }
    }

    /// Whether its pages are anonymous: other processes map them only after a fork.
    pub(super) const fn is_anonymous(&self) -> bool {
        match self.backing {
            Backing::Anonymous | Backing::Heap | Backing::Stack => !self.is_shared,
            Backing::File(_) | Backing::UnknownFile | Backing::SharedAnonymous | Backing::Special(_) => false,
        }
    }
}

/// A region without its start, which is its key.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) end: u64,
    pub(super) offset: u64,
    pub(super) born_addr: u64,
    pub(super) born_len: u64,
    pub(super) traits: Arc<Traits>,
    pub(super) held: Held,
}

impl Span {
    /// The public form of the region.
    pub(super) fn region(&self, start: u64) -> Region {
        let Traits { prot, is_shared, is_hugetlb, has_flags, flags, backing, name, call } = &*self.traits;
        let born = call.map(|Call { prot, flags, caller }| Born {
            addr: self.born_addr,
            len: self.born_len,
            prot,
            flags,
            caller,
        });
        Region {
            start,
            end: self.end,
            prot: *prot,
            is_shared: *is_shared,
            backing: backing.clone(),
            offset: self.offset,
            born,
            vm_flags: has_flags.then_some(*flags),
            name: name.clone(),
            is_hugetlb: *is_hugetlb,
        }
    }

    /// Splits off the part from `at` on; `at` lies inside.
    pub(super) fn split(&mut self, start: u64, at: u64, page: u64) -> Self {
        let pages = |bytes: u64| bytes.checked_div(page).unwrap_or(0);
        let (left, all) = (at.saturating_sub(start), self.end.saturating_sub(start));
        let mut right = self.clone();
        right.held = self.held.split(pages(left), pages(all));
        right.offset = self.offset_at(start, at);
        self.end = at;
        right
    }

    /// The file offset of an address.
    pub(super) fn offset_at(&self, start: u64, at: u64) -> u64 {
        if self.traits.has_offset() { self.offset.wrapping_add(at.wrapping_sub(start)) } else { 0 }
    }

    /// Whether `next`, which begins where this ends, continues it with the same attributes.
    pub(super) fn continues_in(&self, start: u64, next: &Self) -> bool {
        // Equal traits are nearly always the same allocation, and `Arc` compares pointers first.
        self.traits == next.traits
            && (self.born_addr, self.born_len) == (next.born_addr, next.born_len)
            && self.offset_at(start, self.end) == next.offset
    }
}

/// The distinct traits of an address space's regions, and the distinct files in them.
#[derive(Clone, Debug, Default)]
pub(super) struct Pool {
    all: HashSet<Arc<Traits>>,
    files: HashSet<Arc<File>>,
    last: Option<Arc<Traits>>,
    sweep_at: usize,
    /// Bytes of the paths of `files`, and of the names in `all`.
    names: usize,
}

impl Pool {
    const SMALL: usize = 64;

    /// The shared copy of some traits.
    pub(super) fn share(&mut self, mut traits: Traits) -> Arc<Traits> {
        if let Some(last) = self.last.as_ref().filter(|last| ***last == traits) {
            return Arc::clone(last);
        }
        let shared = match self.all.get(&traits) {
            Some(known) => Arc::clone(known),
            None => {
                if self.all.len() >= self.sweep_at.max(Self::SMALL) {
                    self.sweep();
                }
                // A later list of mappings has the same files as new allocations.
                if let Backing::File(file) = &mut traits.backing {
                    *file = self.file(file);
                }
                self.names += name_of(&traits);
                let new = Arc::new(traits);
                self.all.insert(Arc::clone(&new));
                new
            }
        };
        self.last = Some(Arc::clone(&shared));
        shared
    }

    fn file(&mut self, file: &Arc<File>) -> Arc<File> {
        if let Some(known) = self.files.get(file) {
            return Arc::clone(known);
        }
        self.names += file.path.len();
        self.files.insert(Arc::clone(file));
        Arc::clone(file)
    }

    fn sweep(&mut self) {
        self.all.retain(|known| Arc::strong_count(known) > 1);
        let used: HashSet<*const File> = self.all.iter().filter_map(|traits| file_of(traits)).collect();
        self.files.retain(|file| used.contains(&Arc::as_ptr(file)));
        self.sweep_at = self.all.len().saturating_mul(2);
        let paths: usize = self.files.iter().map(|file| file.path.len()).sum();
        self.names = paths + self.all.iter().map(|traits| name_of(traits)).sum::<usize>();
    }

    /// Bytes of memory that it uses, from counts.
    pub(super) fn footprint(&self) -> u64 {
        let shared = 2 * size_of::<usize>();
        let traits =
            self.all.len() * (size_of::<Traits>() + shared) + table::<Arc<Traits>>(self.all.capacity());
        let files =
            self.files.len() * (size_of::<File>() + shared) + table::<Arc<File>>(self.files.capacity());
        (traits + files + self.names) as u64
    }
}

/// Bytes of a hash table with room for so many entries: an eighth of its slots stays free, and each has a control byte.
const fn table<T>(capacity: usize) -> usize {
    (capacity + capacity / 7) * (size_of::<T>() + 1)
}

fn file_of(traits: &Traits) -> Option<*const File> {
    if let Backing::File(file) = &traits.backing { Some(Arc::as_ptr(file)) } else { None }
}

fn name_of(traits: &Traits) -> usize {
    let special = if let Backing::Special(name) = &traits.backing { name.len() } else { 0 };
    special + traits.name.as_ref().map_or(0, |name| name.len())
}
