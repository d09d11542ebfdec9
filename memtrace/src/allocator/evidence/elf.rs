//! An ELF file's sections, read a little at a time.
//!
//! Input: an open file. Output: segments, sections, bytes of small sections. The file is untrusted: counts, sizes and
//! offsets are checked, nothing large is held.

use std::{fs::File, ops::Range, os::unix::fs::FileExt as _};

use crate::{
    elf::{Head, PT_LOAD},
    units::native::{half, number, word},
};

const MOST_SECTIONS: usize = 8192;
const MOST_NAMES: u64 = 1 << 20;
/// The most bytes of each table of exports.
const MOST_EXPORTS: u64 = 16 << 20;
const SECTION: usize = 64;
const SYMBOL: usize = 24;

/// The tables of a file.
#[derive(Debug)]
pub struct Elf<'f> {
    file: &'f File,
    /// The loaded address range.
    pub loaded: Range<u64>,
    sections: Vec<Section>,
    names: Vec<u8>,
}

/// A section.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    name: u32,
    link: u32,
    /// Address of its first byte, before relocation.
    pub address: u64,
    /// Offset in the file.
    pub offset: u64,
    /// Size in bytes.
    pub size: u64,
}

impl<'f> Elf<'f> {
    /// Reads the tables; `None` when it is not an ELF file.
    pub fn read(file: &'f File) -> Option<Self> {
        let Head { segments, sections } = Head::of(file)?;
        let mut loaded: Option<Range<u64>> = None;
        for segment in segments.iter().filter(|segment| segment.kind == PT_LOAD) {
            let (address, end) = (segment.address, segment.address.saturating_add(segment.len));
            let all = loaded.get_or_insert(address..end);
            *all = all.start.min(address)..all.end.max(end);
        }
        let names_at = sections.names;
        let (entry, count) = (sections.entry, sections.count.min(MOST_SECTIONS));
        let sections = table(file, sections.offset, entry, SECTION, count).unwrap_or_default();
        let sections: Vec<_> = sections.chunks_exact(SECTION).filter_map(section).collect();
        let names = sections.get(names_at).filter(|names| names.size <= MOST_NAMES);
        let names = names.and_then(|names| bytes(file, names.offset, names.size)).unwrap_or_default();
        Some(Self { file, loaded: loaded.unwrap_or_default(), sections, names })
    }

    /// Sections whose name has this prefix.
    pub fn sections(&self, prefix: &[u8]) -> impl Iterator<Item = &Section> {
        self.sections.iter().filter(move |section| self.name(section).starts_with(prefix))
    }

    /// The first section of this name.
    pub fn section(&self, name: &[u8]) -> Option<&Section> {
        self.sections.iter().find(|section| self.name(section) == name)
    }

    /// The contents of a section, if it is within a limit.
    pub fn content(&self, section: &Section, limit: u64) -> Option<Vec<u8>> {
        (section.size <= limit).then(|| bytes(self.file, section.offset, section.size))?
    }

    /// Calls `each` with name and address of every exported symbol.
    pub fn exports(&self, mut each: impl FnMut(&[u8], u64)) {
        let Some(symbols) = self.section(b".dynsym") else { return };
        let names = usize::try_from(symbols.link).ok().and_then(|link| self.sections.get(link));
        let (Some(symbols), Some(names)) =
            (self.content(symbols, MOST_EXPORTS), names.and_then(|names| self.content(names, MOST_EXPORTS)))
        else {
            return;
        };
        for symbol in symbols.chunks_exact(SYMBOL) {
            let is_defined = half(symbol, 6) != Some(0);
            let at = word(symbol, 0).and_then(|at| usize::try_from(at).ok()).filter(|_| is_defined);
            if let (Some(name), Some(address)) = (at.and_then(|at| names.get(at..)), number(symbol, 8)) {
                each(name.split(|byte| *byte == 0).next().unwrap_or_default(), address);
            }
        }
    }

    fn name(&self, section: &Section) -> &[u8] {
        let at = usize::try_from(section.name).unwrap_or(usize::MAX);
        let name = self.names.get(at..).unwrap_or_default();
        name.split(|byte| *byte == 0).next().unwrap_or_default()
    }
}

fn section(bytes: &[u8]) -> Option<Section> {
    Some(Section {
        name: word(bytes, 0)?,
        link: word(bytes, 40)?,
        address: number(bytes, 16)?,
        offset: number(bytes, 24)?,
        size: number(bytes, 32)?,
    })
}

fn table(file: &File, offset: u64, entry: usize, expected: usize, count: usize) -> Option<Vec<u8>> {
    (entry == expected).then(|| bytes(file, offset, (expected * count) as u64))?
}

/// The caller has checked the length.
fn bytes(file: &File, offset: u64, len: u64) -> Option<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(len).ok()?];
    file.read_exact_at(&mut bytes, offset).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn our_own_program_is_read() {
        let file = File::open("/proc/self/exe").unwrap();
        let elf = Elf::read(&file).unwrap();
        assert!(elf.section(b".rodata").is_some());
        assert!(elf.loaded.end > elf.loaded.start);
    }

    /// Truncated at any length, and with any byte of its tables changed.
    #[test]
    fn a_damaged_file_is_survived() {
        let whole = std::fs::read("/proc/self/exe").unwrap();
        for len in [0, 1, 4, 63, 64, 100, 4096] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&whole[..len]).unwrap();
            if let Some(elf) = Elf::read(&file) {
                elf.exports(|_, _| ());
            }
        }
        for at in 16..64 {
            for value in [0, 0x7f, 0xff] {
                let mut head = whole[..8192].to_vec();
                head[at] = value;
                let mut file = tempfile::tempfile().unwrap();
                file.write_all(&head).unwrap();
                if let Some(elf) = Elf::read(&file) {
                    elf.exports(|_, _| ());
                }
            }
        }
    }
}
