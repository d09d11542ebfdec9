//! The unwind tables of a program: `.eh_frame`, found by its index, which `strip` does not remove.
//!
//! Input: an open ELF file. Output: [`Tables`], the row for an address. The file is untrusted: sizes and the work for
//! one address are bounded. A file without an index (`PT_GNU_EH_FRAME`) has no tables here.

use std::{fs, os::unix::fs::FileExt as _};

use gimli::{
    BaseAddresses, EhFrame, EhFrameHdr, NativeEndian, UnwindContext, UnwindSection as _, UnwindTableRow,
};

use super::{Stack, expression::Slice, frame::Frame};
use crate::{
    elf::{Head, PT_GNU_EH_FRAME},
    units::native::word,
};

/// Longer tables are not read; those of a browser are about as long.
const MOST_BYTES: u64 = 12 << 20;
/// The longest entry of a table; large functions have some hundred bytes, so longer ones are rejected.
const MOST_ENTRY: usize = 32 << 10;

/// Bytes of a program, with their address.
#[derive(Debug)]
struct Part {
    bytes: Box<[u8]>,
    address: u64,
}

/// The unwind tables of a program.
#[derive(Debug)]
pub struct Tables {
    head: Head,
    index: Part,
    frames: Part,
}

/// The result of a step by tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The caller, and whether the frame is a signal frame, so that the caller was interrupted and made no call.
    Caller(Frame, bool),
    /// The frame is the outermost, or its caller cannot be determined.
    End,
    /// No function of the table contains the address.
    Nothing,
}

impl Tables {
    /// Reads the tables; `None` for a file without tables, or with too long ones.
    pub fn read(file: &fs::File) -> Option<Self> {
        let read = |offset: u64, len: u64| {
            let mut bytes = vec![0; usize::try_from(len).ok().filter(|_| len <= MOST_BYTES)?];
            file.read_exact_at(&mut bytes, offset).ok()?;
            Some(bytes.into_boxed_slice())
        };
        Self::read_by(read)
    }

    /// Parses the tables from the bytes of a file.
    pub fn of_bytes(bytes: &[u8]) -> Option<Self> {
        Self::read_by(|offset, len| {
            let rest = bytes.get(usize::try_from(offset).ok()?..)?;
            Some(rest.get(..usize::try_from(len).ok()?)?.into())
        })
    }

    fn read_by(read: impl Fn(u64, u64) -> Option<Box<[u8]>>) -> Option<Self> {
        let head = Head::read(&read)?;
        let index = head.of_kind(PT_GNU_EH_FRAME).next()?;
        let index = Part { bytes: read(index.offset, index.file_len)?, address: index.address };
        let start = EhFrameHdr::new(&index.bytes, NativeEndian).parse(&bases(&index, 0), 8).ok()?;
        let start = start.eh_frame_ptr().direct().ok()?;
        let (offset, rest) = head.place(start)?;
        // Up to the end of the last entry in the index, because section headers may be stripped.
        let last = last_entry(&index, start)?.checked_sub(start)?;
        let length = word(&read(offset.checked_add(last)?, 4)?, 0)?;
        let len = last.checked_add(4)?.checked_add(length.into())?.min(rest);
        let frames = Part { bytes: read(offset, len)?, address: start };
        Some(Self { head, index, frames })
    }

    /// The address of a file offset, if it is loaded.
    pub fn address(&self, offset: u64) -> Option<u64> {
        self.head.address(offset)
    }

    /// Steps from a frame, whose code is at this address in the program, to its caller.
    pub fn step(
        &self,
        context: &mut UnwindContext<usize>,
        address: u64,
        frame: &Frame,
        stack: &Stack<'_>,
    ) -> Step {
        match self.row(context, address) {
            Some((row, frames, is_signal)) => {
                frame.caller(row, &frames, stack).map_or(Step::End, |caller| Step::Caller(caller, is_signal))
            }
            None => Step::Nothing,
        }
    }

    fn row<'c>(
        &self,
        context: &'c mut UnwindContext<usize>,
        address: u64,
    ) -> Option<(&'c UnwindTableRow<usize>, EhFrame<Slice<'_>>, bool)> {
        let bases = bases(&self.index, self.frames.address);
        let index = EhFrameHdr::new(&self.index.bytes, NativeEndian).parse(&bases, 8).ok()?;
        let frames = EhFrame::new(&self.frames.bytes, NativeEndian);
        // Not `fde_for_address`, which trusts that the index points after the start of the table.
        let entry = index.table()?.lookup(address, &bases).ok()?.direct().ok()?;
        let entry = usize::try_from(entry.checked_sub(self.frames.address)?).ok()?;
        let entry = frames.fde_from_offset(&bases, entry.into(), EhFrame::cie_from_offset).ok()?;
        if !entry.contains(address) {
            return None;
        }
        if entry.entry_len() > MOST_ENTRY || entry.cie().entry_len() > MOST_ENTRY {
            return None;
        }
        let row = entry.unwind_info_for_address(&frames, &bases, context, address).ok()?;
        Some((row, frames, entry.is_signal_trampoline()))
    }

    /// Addresses of the functions in the index.
    #[cfg(test)]
    pub fn functions(&self) -> Vec<u64> {
        let bases = bases(&self.index, self.frames.address);
        let header = EhFrameHdr::new(&self.index.bytes, NativeEndian).parse(&bases, 8).unwrap();
        let table = header.table().unwrap();
        let entries = table.iter(&bases);
        entries.map(|entry| entry.unwrap().0.direct().unwrap()).collect()
    }

    /// Whether there is a row for an address.
    #[cfg(test)]
    pub fn has_row(&self, context: &mut UnwindContext<usize>, address: u64) -> bool {
        self.row(context, address).is_some()
    }

    /// Size of the tables in bytes.
    pub fn len(&self) -> usize {
        self.index.bytes.len() + self.frames.bytes.len()
    }

    /// Whether the tables are empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Address of the last entry in an index.
fn last_entry(index: &Part, frames: u64) -> Option<u64> {
    let bases = bases(index, frames);
    let header = EhFrameHdr::new(&index.bytes, NativeEndian).parse(&bases, 8).ok()?;
    let table = header.table()?;
    let mut entries = table.iter(&bases);
    let mut last = None;
    while let Some((_, entry)) = entries.next().ok()? {
        last = last.max(entry.direct().ok());
    }
    last
}

fn bases(index: &Part, frames: u64) -> BaseAddresses {
    BaseAddresses::default().set_eh_frame_hdr(index.address).set_eh_frame(frames)
}
