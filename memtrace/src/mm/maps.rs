//! `/proc/PID/maps`: the kernel's list of mappings.
//!
//! Input: the file's bytes, or a /proc to read it from. Output: [`Region`]s in the kernel's order, without a birth.
//! Accepts any bytes and counts malformed lines. Only this module interprets the names of mappings.

use std::sync::Arc;

use super::{
    procfs::{Error, Procfs},
    region::{Backing, File, Prot, Region},
    text_file::read_file,
};

/// The most bytes of a file that are read: about 600,000 usual lines. A limit is needed because the process chooses the
/// paths.
const LIMIT: u64 = 64 << 20;

/// The contents of a maps file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maps {
    /// The mappings, in the order of the file: by address.
    pub regions: Vec<Region>,
    /// Malformed lines.
    pub malformed: u64,
    /// The file was longer than the limit.
    pub is_truncated: bool,
}

/// Reads `/proc/PID/maps`. Mappings may change between two pages of the file, so it is not one consistent snapshot.
///
/// # Errors
/// See [`Error`].
pub fn read(procfs: &Procfs, pid: u32) -> Result<Maps, Error> {
    let (bytes, is_truncated) = read_file(procfs, pid, "maps", LIMIT)?;
    Ok(Maps { is_truncated, ..parse(&bytes) })
}

/// Parses the bytes of a maps file.
pub fn parse(bytes: &[u8]) -> Maps {
    // A line without a path has some 50 bytes, one with a path some 90.
    let mut maps = Maps { regions: Vec::with_capacity(bytes.len() / 80), ..Maps::default() };
    let mut lines = Lines::default();
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match lines.region(line) {
            Some(region) => maps.regions.push(region),
            None => maps.malformed += 1,
        }
    }
    maps
}

/// Parses lines one after the other. Neighbours often have the same file or name, which is then allocated once.
#[derive(Debug, Default)]
pub(super) struct Lines {
    file: Option<Arc<File>>,
    name: Option<Arc<[u8]>>,
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

impl Lines {
    /// `7f57c2e00000-7f57c2e28000 r-xp 00001000 fe:00 1310 /usr/lib/a b (c).so (deleted)`
    pub(super) fn region(&mut self, line: &[u8]) -> Option<Region> {
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
        Arc::clone(self.name.insert(Arc::from(name)))
    }

    fn file(&mut self, fields: &Fields, path: &[u8]) -> Arc<File> {
        let is_escaped = path.windows(NEWLINE.len()).any(|part| part == NEWLINE);
        let last = self.file.as_ref().filter(|last| {
            !is_escaped && (last.inode, last.device) == (fields.inode, fields.device) && last.path == path
        });
        if let Some(last) = last {
            return Arc::clone(last);
        }
        let path = if is_escaped { unescape(path) } else { path.to_vec() };
        let file = File { device: fields.device, inode: fields.inode, path };
        Arc::clone(self.file.insert(Arc::new(file)))
    }
}

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
