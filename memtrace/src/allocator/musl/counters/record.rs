//! mallocng's `meta_area` and `meta` (src/malloc/mallocng/meta.h).
//!
//! Input: a page. Output: records of groups, with their slots in use. Pure except for the one read.

use crate::allocator::image::Image;

/// Bytes of an area, for any page size.
pub const AREA: u64 = 4096;
/// `UNIT`: all sizes are multiples of it; also the size of a group's header.
pub const UNIT: u64 = 16;
/// `nslots`: the number of records that fit.
const RECORDS: u64 = 101;
const WORDS: usize = 5;
/// The class of memory with a mapping of its own.
const MAPPED: u64 = 63;

/// `__malloc_size_classes` (malloc.c), in units.
const CLASSES: [u16; 48] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 18, 20, 25, 31, 36, 42, 50, 63, 72, 84, 102, 127, 146, 170, 204,
    255, 292, 340, 409, 511, 584, 682, 818, 1023, 1169, 1364, 1637, 2047, 2340, 2730, 3276, 4095, 4680, 5460,
    6552, 8191,
];

/// A page of metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Area {
    /// Address of the area.
    pub at: u64,
    /// `check`: the same secret in all areas of a process.
    pub check: u64,
    /// `next`; 0 in the last.
    pub next: u64,
    words: Vec<u64>,
}

impl Area {
    /// Reads an area; `None` if there is none at the address.
    pub fn read(image: &mut dyn Image, at: u64) -> Option<Self> {
        let mut bytes = vec![0; AREA as usize];
        if !at.is_multiple_of(AREA) || !image.read(at, &mut bytes) {
            return None;
        }
        let words: Vec<u64> = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
        let [check, next, count, ..] = *words.as_slice() else { return None };
        let is_area = check != 0 && next.is_multiple_of(AREA) && count & 0xffff_ffff == RECORDS;
        is_area.then_some(Self { at, check, next, words })
    }

    /// The records in use, with their addresses.
    pub fn records(&self) -> impl Iterator<Item = (u64, Record)> {
        let records = self.words.get(3..).unwrap_or_default().as_chunks::<WORDS>().0;
        records.iter().enumerate().filter_map(|(at, words)| {
            let address = self.at + 24 + at as u64 * 40;
            Record::of(*words).map(|record| (address, record))
        })
    }
}

/// A group of slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Where the group is.
    pub group: u64,
    free: u32,
    slots: u64,
    /// Bytes of a slot.
    stride: u64,
    /// Whether it is in a slot of another group.
    is_nested: bool,
}

impl Record {
    /// `prev, next, mem, avail_mask | freed_mask, last_idx:5 freeable:1 sizeclass:6 maplen:52`; `None` for a record
    /// that is not in use or inconsistent.
    fn of([_, _, group, masks, bits]: [u64; WORDS]) -> Option<Self> {
        let (last, class, pages) = (bits & 31, bits >> 6 & 63, bits >> 12);
        if group == 0 || !group.is_multiple_of(UNIT) || pages > 1 << 36 || group >> 56 != 0 {
            return None;
        }
        // Available since the group was made, or freed since: 32 bits each.
        let free = (masks | masks >> 32) as u32 & u32::MAX.checked_shr(31 - last as u32)?;
        let units = usize::try_from(class).ok().and_then(|class| CLASSES.get(class));
        // A single slot uses the whole mapping.
        let stride = match units {
            _ if class == MAPPED => pages * AREA,
            Some(_) if last == 0 && pages > 0 => pages * AREA - UNIT,
            Some(units) => u64::from(*units) * UNIT,
            None => return None,
        };
        (class != MAPPED || pages > 0).then_some(Self {
            group,
            free,
            slots: last + 1,
            stride,
            // Memory donated by the loader (`__malloc_donate`) has no mapping either, but is not freeable.
            is_nested: pages == 0 && bits >> 5 & 1 != 0,
        })
    }

    /// Slots in use.
    pub fn live(&self) -> u64 {
        self.slots - self.free_slots()
    }

    /// Slots not in use.
    pub fn free_slots(&self) -> u64 {
        u64::from(self.free.count_ones())
    }

    /// Bytes of a slot.
    pub const fn stride(&self) -> u64 {
        self.stride
    }

    /// Bytes of the group.
    pub fn len(&self) -> u64 {
        UNIT.saturating_add(self.slots.saturating_mul(self.stride))
    }

    /// Bytes of the slot of another group that contains this one (`alloc_group`).
    pub fn nested_in(&self) -> Option<u64> {
        let needed = self.len();
        let units = CLASSES.iter().map(|units| u64::from(*units) * UNIT);
        units.filter(|_| self.is_nested).find(|bytes| *bytes >= needed)
    }

    /// The free slots.
    pub fn each_free(&self) -> impl Iterator<Item = (u64, u64)> {
        let Self { group, free, stride, .. } = *self;
        (0..32_u64).filter(move |slot| free >> slot & 1 != 0).map(move |slot| {
            let start = group.saturating_add(UNIT).saturating_add(slot.saturating_mul(stride));
            (start, start.saturating_add(stride))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_says_what_is_free() {
        // Class 3 is 64 bytes; ten slots, of which two were never used and one was freed.
        let record = Record::of([0, 0, 0x7000_0000, 0b11_0000_0000 | 1 << 32, 9 | 3 << 6 | 1 << 12]).unwrap();
        assert_eq!((record.stride(), record.live(), record.free_slots()), (64, 7, 3));
        let free: Vec<_> = record.each_free().collect();
        assert_eq!(free[0], (0x7000_0010, 0x7000_0050));
        assert_eq!(record.nested_in(), None);
    }

    #[test]
    fn a_nested_group_takes_a_slot_of_another() {
        // 8 slots of 48 bytes and 16 of header: 400 bytes, which just fit into a slot of 25 units.
        let record = Record::of([0, 0, 0x7000_0000, 0, 7 | 1 << 5 | 2 << 6]).unwrap();
        assert_eq!((record.len(), record.nested_in()), (400, Some(400)));
        let given = Record::of([0, 0, 0x7000_0000, 0, 2 << 6]).unwrap();
        assert_eq!(given.nested_in(), None);
    }

    #[test]
    fn memory_of_its_own_is_pages() {
        let record = Record::of([0, 0, 0x7000_0000, 0, 63 << 6 | 48 << 12]).unwrap();
        assert_eq!((record.live(), record.stride()), (1, 48 * 4096));
        assert_eq!(Record::of([0, 0, 0, 0, 63 << 6]), None);
        assert_eq!(Record::of([0, 0, 0x7000_0000, 0, 50 << 6]), None);
    }
}
