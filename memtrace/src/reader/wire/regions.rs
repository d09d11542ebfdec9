//! Regions as they are sent: each file and name once.
//!
//! [`Region`]s <-> [`Regions`]. Unpacking rejects empty ranges, ranges behind the end of addresses and places outside of
//! the tables.

use std::{collections::HashMap, hash::Hash, ptr, sync::Arc};

use serde::{Deserialize, Serialize};

use super::bytes;
use crate::mm::region::{Backing, Born, File, Prot, Region, VmFlags};

/// Values without repetitions, each with a place.
#[derive(Debug)]
pub(super) struct Table<'a, T: ?Sized> {
    places: HashMap<&'a T, u32>,
    pub(super) all: Vec<&'a T>,
    /// Neighbours often share a value.
    last: Option<(&'a T, u32)>,
}

impl<T: ?Sized> Default for Table<'_, T> {
    fn default() -> Self {
        Self { places: HashMap::new(), all: Vec::new(), last: None }
    }
}

impl<'a, T: Hash + Eq + ?Sized> Table<'a, T> {
    /// The place of a value, which is added if it is new.
    pub(super) fn place(&mut self, value: &'a T) -> u32 {
        if let Some((last, place)) = self.last
            && ptr::eq(last, value)
        {
            return place;
        }
        let Self { places, all, .. } = self;
        let place = *places.entry(value).or_insert_with(|| {
            all.push(value);
            u32::try_from(all.len() - 1).unwrap_or(u32::MAX)
        });
        self.last = Some((value, place));
        place
    }
}

/// A [`File`], with its path in one piece.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PackedFile {
    device: u64,
    inode: u64,
    #[serde(with = "bytes")]
    path: Vec<u8>,
}

/// The files of a frame.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Files(Vec<PackedFile>);

impl Files {
    pub(super) fn pack(files: &Table<'_, File>) -> Self {
        let pack =
            |file: &&File| PackedFile { device: file.device, inode: file.inode, path: file.path.clone() };
        Self(files.all.iter().map(pack).collect())
    }

    pub(super) fn unpack(self) -> Vec<Arc<File>> {
        let unpack = |PackedFile { device, inode, path }| Arc::new(File { device, inode, path });
        self.0.into_iter().map(unpack).collect()
    }
}

/// A name in one piece.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Name(#[serde(with = "bytes")] Vec<u8>);

/// [`Backing`], with places in the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum PackedBacking {
    Anonymous,
    SharedAnonymous,
    File(u32),
    UnknownFile,
    Heap,
    Stack,
    Special(u32),
}

/// A [`Region`], with places in the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PackedRegion {
    /// From the end of the previous one.
    gap: u64,
    len: u64,
    prot: Prot,
    is_shared: bool,
    is_hugetlb: bool,
    backing: PackedBacking,
    offset: u64,
    born: Option<Born>,
    vm_flags: Option<VmFlags>,
    name: Option<u32>,
}

/// Regions, with tables of their files and names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Regions {
    files: Files,
    names: Vec<Name>,
    regions: Vec<PackedRegion>,
}

impl Regions {
    /// Packs regions, usually sorted by address.
    pub fn pack<'a>(regions: impl IntoIterator<Item = &'a Region>) -> Self {
        let (mut files, mut names) = (Table::<File>::default(), Table::<[u8]>::default());
        let mut distance = Distance::default();
        let pack = |region: &'a Region| {
            let (gap, len) = distance.pack(region.start, region.end);
            let backing = match &region.backing {
                Backing::Anonymous => PackedBacking::Anonymous,
                Backing::SharedAnonymous => PackedBacking::SharedAnonymous,
                Backing::File(file) => PackedBacking::File(files.place(file)),
                Backing::UnknownFile => PackedBacking::UnknownFile,
                Backing::Heap => PackedBacking::Heap,
                Backing::Stack => PackedBacking::Stack,
                Backing::Special(name) => PackedBacking::Special(names.place(name)),
            };
            PackedRegion {
                gap,
                len,
                prot: region.prot,
                is_shared: region.is_shared,
                is_hugetlb: region.is_hugetlb,
                backing,
                offset: region.offset,
                born: region.born,
                vm_flags: region.vm_flags,
                name: region.name.as_deref().map(|name| names.place(name)),
            }
        };
        let regions = regions.into_iter().map(pack).collect();
        let names = names.all.iter().map(|name| Name(name.to_vec())).collect();
        Self { files: Files::pack(&files), names, regions }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.regions.len()
    }

    /// The regions; `None` when one is invalid.
    pub fn unpack(self) -> Option<Vec<Region>> {
        let files = self.files.unpack();
        let names: Vec<Arc<[u8]>> = self.names.into_iter().map(|Name(name)| name.into()).collect();
        let name = |place: u32| names.get(usize::try_from(place).ok()?).map(Arc::clone);
        let mut distance = Distance::default();
        let unpack = |packed: PackedRegion| {
            let (start, end) = distance.unpack(packed.gap, packed.len)?;
            let backing = match packed.backing {
                PackedBacking::Anonymous => Backing::Anonymous,
                PackedBacking::SharedAnonymous => Backing::SharedAnonymous,
                PackedBacking::File(place) => {
                    Backing::File(Arc::clone(files.get(usize::try_from(place).ok()?)?))
                }
                PackedBacking::UnknownFile => Backing::UnknownFile,
                PackedBacking::Heap => Backing::Heap,
                PackedBacking::Stack => Backing::Stack,
                PackedBacking::Special(place) => Backing::Special(name(place)?),
            };
            Some(Region {
                start,
                end,
                prot: packed.prot,
                is_shared: packed.is_shared,
                backing,
                offset: packed.offset,
                born: packed.born,
                vm_flags: packed.vm_flags,
                name: match packed.name {
                    Some(place) => Some(name(place)?),
                    None => None,
                },
                is_hugetlb: packed.is_hugetlb,
            })
        };
        self.regions.into_iter().map(unpack).collect()
    }
}

/// The end of the previous range: ranges are sent as their distance from it and their length, which are short numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Distance(u64);

impl Distance {
    /// Distance and length of a range. The distance wraps for one that is not in order.
    pub(super) const fn pack(&mut self, start: u64, end: u64) -> (u64, u64) {
        let gap = start.wrapping_sub(self.0);
        self.0 = end;
        (gap, end.wrapping_sub(start))
    }

    /// Start and end; `None` for an empty range, and for one that is behind the end of all addresses.
    pub(super) fn unpack(&mut self, gap: u64, len: u64) -> Option<(u64, u64)> {
        let start = self.0.wrapping_add(gap);
        let end = start.checked_add(len).filter(|end| *end > start)?;
        self.0 = end;
        Some((start, end))
    }

    /// The same, for ranges that must be in order.
    pub(super) fn unpack_sorted(&mut self, gap: u64, len: u64) -> Option<(u64, u64)> {
        self.0.checked_add(gap)?;
        self.unpack(gap, len)
    }
}
