//! The unwind tables of a program: `.eh_frame`, found by its index, which `strip` does not remove.
//!
//! Input: a way to read an ELF file. Output: the entry for an address. Only the entry is read, by a search in the index:
//! the tables of a compiler or a browser have tens of MiB, and a stack needs a few hundred bytes of them. The file is
//! untrusted: sizes and the work for one address are bounded. A file without an index (`PT_GNU_EH_FRAME`), or with one of
//! another form than all linkers make (LSB, ".eh_frame_hdr": offsets of four bytes, sorted), has no tables here.

use std::{fs, ops::Range, os::unix::fs::FileExt as _};

use gimli::{BaseAddresses, EhFrameHdr, NativeEndian};

use super::entry::Entry;
use crate::{
    elf::{Head, PT_GNU_EH_FRAME},
    units::native::word,
};

/// The longest entry of a table; large functions have some hundred bytes, so longer ones are rejected.
const MOST_ENTRY: usize = 32 << 10;
/// What is read of an entry at first: most are shorter.
const LIKELY: u64 = 256;
/// The header of the index: version, three encodings, address of the tables, number of rows.
const HEADER: u64 = 12;
/// `DW_EH_PE_udata4`, of the number of rows; `DW_EH_PE_datarel | DW_EH_PE_sdata4`, of the rows.
const ENCODINGS: [u8; 2] = [0x03, 0x3b];
/// Bytes of a row: the offsets of a function and of its entry from the index.
const ROW: u64 = 8;
/// Rows that are read at once, at the end of a search: a page.
const AT_ONCE: u64 = 512;

/// Reads exactly so many bytes at an offset of a file.
pub type Read<'a> = dyn Fn(u64, u64) -> Option<Vec<u8>> + 'a;

/// A way to read an open file.
pub fn of_file(file: &fs::File) -> impl Fn(u64, u64) -> Option<Vec<u8>> {
    |offset, len| {
        let mut bytes = vec![0; usize::try_from(len).ok()?];
        file.read_exact_at(&mut bytes, offset).ok()?;
        Some(bytes)
    }
}

/// A way to read the bytes of a file.
pub fn of_bytes(bytes: &[u8]) -> impl Fn(u64, u64) -> Option<Vec<u8>> {
    |offset, len| {
        let rest = bytes.get(usize::try_from(offset).ok()?..)?;
        Some(rest.get(..usize::try_from(len).ok()?)?.into())
    }
}

/// Where the unwind tables of a program are.
#[derive(Debug)]
pub struct Tables {
    head: Head,
    /// Address of the index.
    index: u64,
    /// Offset of its rows in the file, and their number.
    rows: u64,
    count: u64,
    /// Address of the first entry.
    frames: u64,
}

impl Tables {
    /// Finds the tables; `None` for a file without tables.
    pub fn find(read: &Read<'_>) -> Option<Self> {
        let head = Head::read(read)?;
        let index = *head.of_kind(PT_GNU_EH_FRAME).next()?;
        let header = read(index.offset, HEADER)?;
        let bases = BaseAddresses::default().set_eh_frame_hdr(index.address);
        let start = EhFrameHdr::new(&header, NativeEndian).parse(&bases, 8).ok()?;
        let frames = start.eh_frame_ptr().direct().ok()?;
        // Other encodings of the address would move the number.
        let is_usual =
            matches!(*header.first_chunk()?, [_, 0x1b | 0x3b, count, row] if [count, row] == ENCODINGS);
        let count = u64::from(word(&header, 8).filter(|_| is_usual)?);
        let count = count.min(index.file_len.saturating_sub(HEADER) / ROW);
        let rows = index.offset.checked_add(HEADER)?;
        Some(Self { head, index: index.address, rows, count, frames })
    }

    /// The address of a file offset, if it is loaded.
    pub fn address(&self, offset: u64) -> Option<u64> {
        self.head.address(offset)
    }

    /// The entry of the function at an address. Without one, the range around the address that has none.
    pub fn entry(&self, read: &Read<'_>, address: u64) -> Result<Entry, Range<u64>> {
        let here = address..address.saturating_add(1);
        let (place, next) = self.search(read, address).ok_or_else(|| here.clone())?;
        let entry = place.and_then(|place| self.load(read, place));
        entry.filter(|entry| entry.range().contains(&address)).ok_or(if next > address {
            address..next
        } else {
            here
        })
    }

    /// The address of the entry of the last function that begins at or before an address, and where the next function
    /// begins. Half of the rows are passed over at each step, so even an index that lies costs some reads only.
    fn search(&self, read: &Read<'_>, address: u64) -> Option<(Option<u64>, u64)> {
        let (mut low, mut high, mut next) = (0, self.count, u64::MAX);
        while high - low > AT_ONCE {
            let middle = low + (high - low) / 2;
            let function = self.row(&self.rows(read, middle, 1)?, 0)?.0;
            if function <= address {
                low = middle;
            } else {
                (high, next) = (middle, function);
            }
        }
        let rows = self.rows(read, low, high - low)?;
        let mut place = None;
        for (function, entry) in (0..).map_while(|at| self.row(&rows, at)) {
            if function > address {
                next = function;
                break;
            }
            place = Some(entry);
        }
        Some((place, next))
    }

    fn rows(&self, read: &Read<'_>, from: u64, count: u64) -> Option<Vec<u8>> {
        read(self.rows.checked_add(from.checked_mul(ROW)?)?, count.checked_mul(ROW)?)
    }

    /// The address of a row's function, and of its entry.
    fn row(&self, rows: &[u8], at: usize) -> Option<(u64, u64)> {
        let at = at.checked_mul(ROW as usize)?;
        let address = |at: usize| {
            let offset = i64::from(word(rows, at)?.cast_signed());
            Some(self.index.wrapping_add_signed(offset))
        };
        Some((address(at)?, address(at.checked_add(4)?)?))
    }

    /// Reads an entry and the part that it shares with others.
    fn load(&self, read: &Read<'_>, place: u64) -> Option<Entry> {
        let entry = self.record(read, place)?;
        let back = u64::from(word(&entry, 4)?);
        let common = place.checked_add(4)?.checked_sub(back).filter(|common| *common >= self.frames)?;
        Entry::new(&self.record(read, common)?, &entry, place, self.index)
    }

    /// A record of the tables: its length, and so many bytes.
    fn record(&self, read: &Read<'_>, address: u64) -> Option<Vec<u8>> {
        let (offset, rest) = self.head.place(address)?;
        let mut bytes = read(offset, rest.min(LIKELY))?;
        let len = usize::try_from(word(&bytes, 0)?).ok()?;
        let all = len.checked_add(4).filter(|_| (1..=MOST_ENTRY).contains(&len))?;
        if all > bytes.len() {
            bytes = read(offset, (all as u64).min(rest))?;
        }
        bytes.truncate(all);
        (bytes.len() == all).then_some(bytes)
    }

    /// Addresses of the functions in the index.
    #[cfg(test)]
    pub fn functions(&self, read: &Read<'_>) -> Vec<u64> {
        let rows = self.rows(read, 0, self.count).unwrap();
        (0..).map_while(|at| self.row(&rows, at)).map(|(function, _)| function).collect()
    }

    /// Its size in bytes.
    pub fn footprint(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.head.segments)
    }
}
