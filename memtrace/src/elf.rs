//! ELF headers: which parts of a file are loaded, and at which address.
//!
//! Input: a way to read the file. Output: [`Head`]. The file is untrusted: counts and sizes are bounded, and only the
//! header tables are held. 64-bit files of this machine's byte order only (gABI, "Object Files").

use std::{fs::File, os::unix::fs::FileExt as _};

use crate::units::native::{half, number, word};

/// Loaded into memory.
pub const PT_LOAD: u32 = 1;
/// The index of the unwind tables (LSB).
pub const PT_GNU_EH_FRAME: u32 = 0x6474_e550;

const MAGIC: [u8; 5] = *b"\x7fELF\x02";
const DATA: u8 = if cfg!(target_endian = "little") { 1 } else { 2 };
const HEADER: u64 = 64;
const SEGMENT: usize = 56;
const MOST_SEGMENTS: usize = 256;

/// A program header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its type, such as [`PT_LOAD`].
    pub kind: u32,
    /// Offset in the file.
    pub offset: u64,
    /// Bytes in the file.
    pub file_len: u64,
    /// Virtual address of its first byte, before relocation.
    pub address: u64,
    /// Bytes in memory.
    pub len: u64,
}

/// Location of the section table, which is not read here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SectionTable {
    /// Offset in the file.
    pub offset: u64,
    /// Bytes of an entry.
    pub entry: usize,
    /// Entries.
    pub count: usize,
    /// Index of the section with the names.
    pub names: usize,
}

/// The head of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// In the file's order, the first `MOST_SEGMENTS`.
    pub segments: Vec<Segment>,
    /// The section table.
    pub sections: SectionTable,
}

impl Head {
    /// Reads the headers through a function from offset and length to exactly those bytes. `None` when it is not such a
    /// file.
    pub fn read<B: AsRef<[u8]>>(read: impl Fn(u64, u64) -> Option<B>) -> Option<Self> {
        let header = read(0, HEADER)?;
        let header = header.as_ref();
        if !header.starts_with(&MAGIC) || header.get(5) != Some(&DATA) {
            return None;
        }
        let count = |at: usize| half(header, at).map(usize::from);
        let sections = SectionTable {
            offset: number(header, 40)?,
            entry: count(58)?,
            count: count(60)?,
            names: count(62)?,
        };
        let entries = count(56)?.min(MOST_SEGMENTS);
        if entries > 0 && count(54)? != SEGMENT {
            return None;
        }
        let table = read(number(header, 32)?, (entries * SEGMENT) as u64)?;
        let segments = table.as_ref().chunks_exact(SEGMENT).filter_map(segment).collect();
        Some(Self { segments, sections })
    }

    /// Reads the headers of an open file.
    pub fn of(file: &File) -> Option<Self> {
        Self::read(|offset, len| {
            let mut bytes = vec![0; usize::try_from(len).ok()?];
            file.read_exact_at(&mut bytes, offset).ok()?;
            Some(bytes)
        })
    }

    /// Segments of a kind.
    pub fn of_kind(&self, kind: u32) -> impl Iterator<Item = &Segment> {
        self.segments.iter().filter(move |segment| segment.kind == kind)
    }

    /// The address of a file offset, if it is loaded.
    pub fn address(&self, offset: u64) -> Option<u64> {
        self.of_kind(PT_LOAD).find_map(|segment| {
            let within = offset.checked_sub(segment.offset)?;
            (within < segment.file_len).then(|| segment.address.checked_add(within))?
        })
    }

    /// The file offset of an address, and the number of bytes from there to the end of the segment.
    pub fn place(&self, address: u64) -> Option<(u64, u64)> {
        self.of_kind(PT_LOAD).find_map(|segment| {
            let within = address.checked_sub(segment.address)?;
            let rest = segment.file_len.checked_sub(within).filter(|rest| *rest > 0)?;
            Some((segment.offset.checked_add(within)?, rest))
        })
    }
}

fn segment(bytes: &[u8]) -> Option<Segment> {
    Some(Segment {
        kind: word(bytes, 0)?,
        offset: number(bytes, 8)?,
        address: number(bytes, 16)?,
        file_len: number(bytes, 32)?,
        len: number(bytes, 40)?,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use object::read::elf::{FileHeader as _, ProgramHeader as _};

    use super::{File, HEADER, Head, PT_LOAD, SEGMENT};

    /// Another reader of the same file.
    #[test]
    fn our_own_program_is_loaded_as_others_read_it() {
        let bytes = fs::read("/proc/self/exe").unwrap();
        let header = object::elf::FileHeader64::<object::Endianness>::parse(&*bytes).unwrap();
        let endian = header.endian().unwrap();
        let others = header.program_headers(endian, &*bytes).unwrap();
        let head = Head::of(&File::open("/proc/self/exe").unwrap()).unwrap();
        assert_eq!(head.segments.len(), others.len());
        for (ours, other) in head.segments.iter().zip(others) {
            let other = (other.p_offset(endian), other.p_vaddr(endian), other.p_filesz(endian));
            assert_eq!((ours.offset, ours.address, ours.file_len), other);
        }
        for segment in head.of_kind(PT_LOAD).filter(|segment| segment.file_len > 0) {
            let (first, last) = (segment.offset, segment.offset + segment.file_len - 1);
            assert_eq!(head.address(first), Some(segment.address));
            assert_eq!(head.place(segment.address), Some((first, segment.file_len)));
            assert_eq!(head.place(segment.address + segment.file_len - 1), Some((last, 1)));
        }
    }

    #[test]
    fn what_is_cut_off_or_not_one_has_no_head() {
        let bytes = fs::read("/proc/self/exe").unwrap();
        let read = |bytes: &[u8]| {
            Head::read(|offset, len| {
                bytes.get(usize::try_from(offset).ok()?..)?.get(..len as usize).map(<[u8]>::to_vec)
            })
        };
        assert!(read(&bytes).is_some());
        for len in [0, 1, HEADER as usize - 1, HEADER as usize + SEGMENT - 1] {
            assert_eq!(read(&bytes[..len]), None, "{len}");
        }
        // 32 bits; the other order of bytes; an entry of another size.
        for (at, value) in [(4, 1), (5, 2), (54, 32)] {
            let mut other = bytes.clone();
            other[at] = value;
            assert_eq!(read(&other), None, "{at}");
        }
    }
}
