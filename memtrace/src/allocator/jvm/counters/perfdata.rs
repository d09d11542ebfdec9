//! The format of `hsperfdata` files, version 2 (perfMemory.hpp).
//!
//! Input: untrusted bytes. Output: counters by name. Every offset is checked; the number of entries is bounded by their
//! length.

/// The magic number, in this byte order on every machine.
pub(super) const MAGIC: [u8; 4] = [0xca, 0xfe, 0xc0, 0xc0];
const PROLOGUE: usize = 32;
const ENTRY: usize = 20;
/// HotSpot 17 has some 250.
const MOST_ENTRIES: usize = 4096;
const LONG: u8 = b'J';
const BYTE: u8 = b'B';

/// A counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Long(u64),
    Text(Vec<u8>),
}

/// All counters of a virtual machine.
#[derive(Debug)]
pub(super) struct PerfData {
    entries: Vec<(Vec<u8>, Value)>,
}

impl PerfData {
    /// Whether the bytes begin with the magic number.
    pub(super) fn is_one(bytes: &[u8]) -> bool {
        bytes.starts_with(&MAGIC) && bytes.len() > PROLOGUE
    }

    /// All entries.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        if !Self::is_one(bytes) {
            return Err("its performance counters have no valid header");
        }
        let (order, major) = (bytes.get(4).copied(), bytes.get(5).copied());
        if order != Some(u8::from(cfg!(target_endian = "little"))) || major != Some(2) {
            return Err("its performance counters have an unknown version");
        }
        let mut at = number(bytes, 24).ok_or("its performance counters are truncated")?;
        let count = number(bytes, 28).ok_or("its performance counters are truncated")?;
        let mut entries = Vec::new();
        for _ in 0..count.min(MOST_ENTRIES) {
            let len = number(bytes, at).filter(|len| *len >= ENTRY);
            let entry = len.and_then(|len| bytes.get(at..at.checked_add(len)?));
            let entry = entry.ok_or("an entry of its performance counters lies outside the file")?;
            entries.extend(parse_entry(entry));
            at += entry.len();
        }
        Ok(Self { entries })
    }

    /// A number.
    pub(super) fn long(&self, name: &str) -> Option<u64> {
        match self.find(name)? {
            Value::Long(value) => Some(*value),
            Value::Text(_) => None,
        }
    }

    /// A text.
    pub(super) fn text(&self, name: &str) -> Option<&[u8]> {
        match self.find(name)? {
            Value::Text(text) => Some(text),
            Value::Long(_) => None,
        }
    }

    fn find(&self, name: &str) -> Option<&Value> {
        self.entries.iter().find(|(key, _)| key == name.as_bytes()).map(|(_, value)| value)
    }
}

/// entry_length, name_offset, vector_length, type, flags, units, variability, data_offset. Unknown types are skipped,
/// and so are negative numbers, which cannot be sizes.
fn parse_entry(entry: &[u8]) -> Option<(Vec<u8>, Value)> {
    let name = text(entry.get(number(entry, 4)?..)?)?;
    let (len, data) = (number(entry, 8)?, entry.get(number(entry, 16)?..)?);
    let value = match *entry.get(12)? {
        LONG if len == 0 => {
            let value = i64::from_ne_bytes(*data.first_chunk()?);
            Value::Long(u64::try_from(value).ok()?)
        }
        BYTE if len > 0 => {
            let bytes = data.get(..len)?;
            Value::Text(text(bytes).unwrap_or(bytes).to_vec())
        }
        _ => return None,
    };
    Some((name.to_vec(), value))
}

/// Up to the first zero.
fn text(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    bytes.get(..end)
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let number = bytes.get(at..)?.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes))?;
    usize::try_from(number).ok()
}

/// Writes such a file, for tests.
#[cfg(test)]
pub(super) fn written(entries: &[(&str, Value)]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend([u8::from(cfg!(target_endian = "little")), 2, 0, 1]);
    out.resize(PROLOGUE, 0);
    out[24..28].copy_from_slice(&(PROLOGUE as i32).to_ne_bytes());
    out[28..32].copy_from_slice(&(entries.len() as i32).to_ne_bytes());
    for (name, value) in entries {
        let (kind, len, mut bytes) = match value {
            Value::Long(value) => (LONG, 0, value.to_ne_bytes().to_vec()),
            Value::Text(text) => (BYTE, text.len() as i32 + 1, text.clone()),
        };
        bytes.push(0);
        let data = (ENTRY + name.len() + 1).next_multiple_of(8);
        let mut entry = vec![0; (data + bytes.len()).next_multiple_of(8)];
        let words = [(0, entry.len() as i32), (4, ENTRY as i32), (8, len), (16, data as i32)];
        for (at, word) in words {
            entry[at..at + 4].copy_from_slice(&word.to_ne_bytes());
        }
        entry[12] = kind;
        entry[ENTRY..ENTRY + name.len()].copy_from_slice(name.as_bytes());
        entry[data..data + bytes.len()].copy_from_slice(&bytes);
        out.extend(entry);
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_and_texts_are_found_by_name() {
        let bytes = written(&[("a.long", Value::Long(7)), ("a.text", Value::Text(b"G1".to_vec()))]);
        let data = PerfData::parse(&bytes).unwrap();
        assert_eq!((data.long("a.long"), data.text("a.text")), (Some(7), Some(&b"G1"[..])));
        assert_eq!((data.long("a.text"), data.long("none")), (None, None));
    }

    proptest! {
        #[test]
        fn any_file_is_read_to_an_end(mut bytes: Vec<u8>, places in prop::collection::vec((any::<usize>(), any::<u8>()), 0..8)) {
            PerfData::parse(&bytes).ok();
            let good = written(&[("a.long", Value::Long(7)), ("a.text", Value::Text(b"G1".to_vec()))]);
            bytes.splice(0..0, good.iter().copied());
            for (at, byte) in places {
                let at = at % good.len();
                bytes[at] = byte;
            }
            if let Ok(data) = PerfData::parse(&bytes) {
                prop_assert!(data.entries.len() <= bytes.len() / ENTRY);
            }
        }
    }
}
