//! Searches many strings in a part of a file, in one pass.
//!
//! Input: a file, a range of it, needles. Output: the needles that occur. The file is untrusted: it is read in pieces,
//! up to a limit and a deadline.

use std::{fs::File, os::unix::fs::FileExt as _};

use super::deadline::Deadline;

const STEP: usize = 256 << 10;

/// Needles, by their first byte.
#[derive(Debug)]
pub struct Scanner<'n> {
    needles: &'n [&'n [u8]],
    first: [bool; 256],
    longest: usize,
}

impl<'n> Scanner<'n> {
    /// A scanner for these needles, 64 at most.
    pub fn new(needles: &'n [&'n [u8]]) -> Self {
        let mut first = [false; 256];
        for byte in needles.iter().filter_map(|needle| needle.first()) {
            if let Some(slot) = first.get_mut(usize::from(*byte)) {
                *slot = true;
            }
        }
        let longest = needles.iter().map(|needle| needle.len()).max().unwrap_or(0);
        Self { needles, first, longest }
    }

    /// The needles within `len` bytes of a file from an offset on, as a bit set; `None` when not all could be read.
    pub fn scan(&self, file: &File, offset: u64, len: u64, deadline: Deadline) -> Option<u64> {
        let mut found = 0;
        let mut buffer = vec![0; STEP + self.longest];
        let (mut at, end) = (offset, offset.checked_add(len)?);
        let mut kept = 0;
        while at < end {
            if deadline.is_over() {
                return None;
            }
            let want = usize::try_from(end - at).unwrap_or(STEP).min(STEP);
            let read = file.read_at(buffer.get_mut(kept..kept + want)?, at).ok().filter(|read| *read > 0)?;
            let filled = kept + read;
            found |= self.find(buffer.get(..filled)?);
            // A needle may cross the border between two pieces.
            let keep = filled.min(self.longest.saturating_sub(1));
            buffer.copy_within(filled - keep..filled, 0);
            kept = keep;
            at += read as u64;
        }
        Some(found)
    }

    /// The needles in these bytes, as a bit set.
    pub fn find(&self, bytes: &[u8]) -> u64 {
        let mut found = 0;
        for (at, byte) in bytes.iter().enumerate() {
            if !self.first.get(usize::from(*byte)).is_some_and(|is_first| *is_first) {
                continue;
            }
            let rest = bytes.get(at..).unwrap_or_default();
            for (bit, needle) in self.needles.iter().enumerate().take(64) {
                if rest.starts_with(needle) {
                    found |= 1 << bit;
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, time::Duration};

    use super::*;

    #[test]
    fn a_needle_across_a_border_is_found() {
        let scanner = Scanner::new(&[b"needle", b"absent", b"n"]);
        let mut file = tempfile::tempfile().unwrap();
        let mut bytes = vec![b'x'; STEP * 2];
        bytes[STEP - 3..STEP + 3].copy_from_slice(b"needle");
        file.write_all(&bytes).unwrap();
        let deadline = Deadline::after(Duration::from_secs(120));
        assert_eq!(scanner.scan(&file, 0, bytes.len() as u64, deadline), Some(0b101));
        assert_eq!(scanner.scan(&file, STEP as u64, STEP as u64, deadline), Some(0));
    }

    #[test]
    fn a_range_that_the_file_does_not_have_is_said_so() {
        let scanner = Scanner::new(&[b"needle"]);
        let file = tempfile::tempfile().unwrap();
        let deadline = Deadline::after(Duration::from_secs(120));
        assert_eq!(scanner.scan(&file, u64::MAX, 5, deadline), None);
        assert_eq!(scanner.scan(&file, 0, u64::MAX, deadline), None);
        assert_eq!(scanner.scan(&file, 0, 0, deadline), Some(0));
    }
}
