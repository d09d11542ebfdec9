//! `/proc/PID/maps`: the kernel's list of mappings.
//!
//! Input: the file's lines, or a /proc to read them from. Output: [`Region`]s in the kernel's order, without a birth.
//! Accepts any bytes and counts malformed lines. Only this module interprets the names of mappings.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use super::{
    procfs::{Error, Procfs},
    region::{Backing, File, Prot, Region},
    text_file,
};
use crate::units::Bytes;

/// The most memory that [`read`] and [`parse`] fill: some 100,000 usual mappings.
const ROOM: Bytes = Bytes(16 << 20);

/// The contents of a maps file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maps {
    /// The mappings, in the order of the file: by address.
    pub regions: Vec<Region>,
    /// Malformed lines.
    pub malformed: u64,
    /// There were more mappings than memory for them.
    pub is_truncated: bool,
}

impl Maps {
    fn take(&mut self, parser: &mut Parser, line: &[u8]) {
        match parser.region(line) {
            None => self.malformed += 1,
            Some(_) if parser.names_take().0 + size_of_val(&*self.regions) as u64 >= ROOM.0 => {
                self.is_truncated = true;
            }
            Some(region) => self.regions.push(region),
        }
    }
}

/// Reads `/proc/PID/maps`. Mappings may change between two pages of the file, so it is not one consistent snapshot.
///
/// # Errors
/// See [`Error`].
pub fn read(procfs: &Procfs, pid: u32) -> Result<Maps, Error> {
    let (mut maps, mut parser) = (Maps::default(), Parser::default());
    text_file::read(procfs, pid, "maps", |line| maps.take(&mut parser, line))?;
    Ok(maps)
}

/// Reads `/proc/PID/maps`, and gives each mapping to `take`; keeps none.
///
/// # Errors
/// See [`Error`].
pub fn each(procfs: &Procfs, pid: u32, mut take: impl FnMut(Region)) -> Result<(), Error> {
    let mut parser = Parser::default();
    text_file::read(procfs, pid, "maps", |line| {
        if let Some(region) = parser.region(line) {
            take(region);
        }
    })
}

/// Parses the bytes of a maps file.
pub fn parse(bytes: &[u8]) -> Maps {
    let (mut maps, mut parser, mut lines) = (Maps::default(), Parser::default(), text_file::Lines::default());
    lines.feed(bytes, |line| maps.take(&mut parser, line));
    lines.finish(|line| maps.take(&mut parser, line));
    maps
}

/// The most files whose names are kept to be shared.
const MOST_FILES: usize = 256;

/// Parses lines one after the other. Mappings of one file, and neighbours of one name, share it.
#[derive(Debug, Default)]
pub struct Parser {
    files: HashMap<(u64, u64), Arc<File>>,
    name: Option<Arc<[u8]>>,
    names_take: u64,
}

/// The fields of a line before its path.
struct Fields {
    start: u64,
    end: u64,
    prot: Prot,
    is_shared: bool,
    offset: u64,
    device: u64,
    inode: u64,
}

impl Parser {
    /// Memory of all the names so far, in bytes.
    pub const fn names_take(&self) -> Bytes {
        Bytes(self.names_take)
    }

    /// A line; `None` when it is malformed:
    /// `7f57c2e00000-7f57c2e28000 r-xp 00001000 fe:00 1310 /usr/lib/a b (c).so (deleted)`
    pub fn region(&mut self, line: &[u8]) -> Option<Region> {
        let (fields, path) = fields(line)?;
        let (backing, name) = self.backing(&fields, path);
        let has_offset = match &backing {
            Backing::File(_) | Backing::SharedAnonymous | Backing::UnknownFile => true,
            Backing::Anonymous | Backing::Heap | Backing::Stack | Backing::Special(_) => false,
        };
        Some(Region {
            is_shared: fields.is_shared,
            offset: if has_offset { fields.offset } else { 0 },
            name,
            is_hugetlb: path == b"/anon_hugepage (deleted)",
            ..Region::new(fields.start, fields.end, fields.prot, backing)
        })
    }

    fn backing(&mut self, fields: &Fields, path: &[u8]) -> (Backing, Option<Arc<[u8]>>) {
        let inner = |prefix: &[u8]| path.strip_prefix(prefix)?.strip_suffix(b"]");
        let anonymous = if fields.is_shared { Backing::SharedAnonymous } else { Backing::Anonymous };
        let backing = match path {
            b"" if fields.inode == 0 => anonymous,
            b"[heap]" => Backing::Heap,
            b"[stack]" => Backing::Stack,
            // A shared mapping without a file descriptor. A mapping of a descriptor of /dev/zero has no "(deleted)".
            b"/dev/zero (deleted)" | b"/anon_hugepage (deleted)" => anonymous,
            [b'[', ..] => {
                if let Some(name) = inner(b"[anon:") {
                    return (Backing::Anonymous, Some(self.name(name)));
                }
                if let Some(name) = inner(b"[anon_shmem:") {
                    return (Backing::SharedAnonymous, Some(self.name(name)));
                }
                // Kernels before 4.5 also name thread stacks.
                match path.starts_with(b"[stack:") {
                    true => Backing::Anonymous,
                    false => Backing::Special(self.name(path)),
                }
            }
            _ => Backing::File(self.file(fields, path)),
        };
        (backing, None)
    }

    fn name(&mut self, name: &[u8]) -> Arc<[u8]> {
        if let Some(last) = self.name.as_ref().filter(|last| ***last == *name) {
            return Arc::clone(last);
        }
        self.names_take += (name.len() + COUNTS) as u64;
        Arc::clone(self.name.insert(Arc::from(name)))
    }

    fn file(&mut self, fields: &Fields, path: &[u8]) -> Arc<File> {
        if self.files.len() >= MOST_FILES {
            self.files.clear();
        }
        let (device, inode) = (fields.device, fields.inode);
        let is_escaped = path.windows(NEWLINE.len()).any(|part| part == NEWLINE);
        let mut new = || {
            let path = if is_escaped { unescape(path) } else { path.to_vec() };
            self.names_take += (path.len() + COUNTS + size_of::<File>()) as u64;
            Arc::new(File { device, inode, path })
        };
        match self.files.entry((device, inode)) {
            Entry::Vacant(vacant) => Arc::clone(vacant.insert(new())),
            // A file may have several names.
            Entry::Occupied(mut known) => {
                if is_escaped || known.get().path != path {
                    known.insert(new());
                }
                Arc::clone(known.get())
            }
        }
    }
}

/// Bytes of the counts in an [`Arc`].
const COUNTS: usize = 2 * size_of::<usize>();

/// How the kernel prints a newline in a path; nothing else is escaped, not even the backslash.
const NEWLINE: &[u8] = b"\\012";

fn unescape(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((first, tail)) = rest.split_first() {
        match rest.strip_prefix(NEWLINE) {
            Some(behind) => {
                out.push(b'\n');
                rest = behind;
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

fn fields(line: &[u8]) -> Option<(Fields, &[u8])> {
    let (start, rest) = hex(line, b'-')?;
    let (end, rest) = hex(rest, b' ')?;
    let ([read, write, execute, share, b' '], rest) = rest.split_first_chunk::<5>()? else { return None };
    let prot =
        bit(*read, b'r', Prot::READ)? | bit(*write, b'w', Prot::WRITE)? | bit(*execute, b'x', Prot::EXEC)?;
    let is_shared = match share {
        b's' => true,
        b'p' => false,
        _ => return None,
    };
    let (offset, rest) = hex(rest, b' ')?;
    let (major, rest) = hex(rest, b':')?;
    let (minor, rest) = hex(rest, b' ')?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (inode, path) = rest.split_at_checked(digits)?;
    let inode = decimal(inode)?;
    // Blanks up to column 73, then the path; a path begins with `/`, `[` or a letter, so no blank of its own is lost.
    let blanks = path.iter().take_while(|byte| **byte == b' ').count();
    let path = path.get(blanks..)?;
    let device = u64::from(u32::try_from(major).ok()?) << 32 | u64::from(u32::try_from(minor).ok()?);
    let fields = Fields { start, end, prot: Prot(prot), is_shared, offset, device, inode };
    (start < end && (blanks > 0 || path.is_empty())).then_some((fields, path))
}

fn bit(letter: u8, set: u8, bit: u8) -> Option<u8> {
    match letter {
        b'-' => Some(0),
        letter if letter == set => Some(bit),
        _ => None,
    }
}

/// Parses 1 to 16 lower-case hexadecimal digits up to the byte `end`. Returns the number and the rest after `end`.
fn hex(bytes: &[u8], end: u8) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (at, byte) in bytes.iter().enumerate().take(17) {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ if *byte == end && at > 0 => return Some((value, bytes.get(at + 1..)?)),
            _ => return None,
        };
        if at == 16 {
            return None;
        }
        value = value << 4 | u64::from(digit);
    }
    None
}

/// Decimal digits, at least one.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for byte in digits {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    (!digits.is_empty()).then_some(value)
}

#[cfg(test)]
#[path = "maps_tests.rs"]
mod tests;
