//! An entry of unwind tables: how the callers of one function are found.
//!
//! Input: the bytes of the entry and of the part that it shares with others, from an untrusted file. Output: a step to
//! the caller. Pure. Holds a copy of some hundred bytes and no other part of the file.

use std::ops::Range;

use gimli::{BaseAddresses, EhFrame, NativeEndian, UnwindContext, UnwindSection as _, UnwindTableRow};

use super::{Stack, expression::Slice, frame::Frame};

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

/// An entry.
#[derive(Debug)]
pub struct Entry {
    /// The shared part, then the entry.
    bytes: Box<[u8]>,
    /// Where the entry begins in them.
    at: usize,
    /// The address of the first byte if the shared part were right before the entry.
    base: u64,
    /// The address of the index.
    index: u64,
    range: Range<u64>,
}

impl Entry {
    /// From the bytes of the shared part and of the entry, the address of the entry, and that of the index; `None` if
    /// they are invalid.
    pub fn new(common: &[u8], entry: &[u8], address: u64, index: u64) -> Option<Self> {
        let at = common.len();
        let mut bytes = [common, entry].concat().into_boxed_slice();
        // The second word is the distance to the shared part, which is elsewhere in the file.
        let link = bytes.get_mut(at.checked_add(4)?..)?.first_chunk_mut()?;
        *link = u32::try_from(at.checked_add(4)?).ok()?.to_ne_bytes();
        let base = address.wrapping_sub(at as u64);
        let mut entry = Self { bytes, at, base, index, range: 0..0 };
        entry.range = {
            let (frames, bases) = entry.frames();
            let parsed = frames.fde_from_offset(&bases, at.into(), EhFrame::cie_from_offset).ok()?;
            parsed.initial_address()..parsed.end_address()
        };
        Some(entry)
    }

    /// The addresses of its function.
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
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
        let (frames, bases) = self.frames();
        let entry = frames.fde_from_offset(&bases, self.at.into(), EhFrame::cie_from_offset).ok()?;
        if !entry.contains(address) {
            return None;
        }
        let row = entry.unwind_info_for_address(&frames, &bases, context, address).ok()?;
        Some((row, frames, entry.is_signal_trampoline()))
    }

    /// Whether there is a row for an address.
    #[cfg(test)]
    pub fn has_row(&self, context: &mut UnwindContext<usize>, address: u64) -> bool {
        self.row(context, address).is_some()
    }

    fn frames(&self) -> (EhFrame<Slice<'_>>, BaseAddresses) {
        let bases = BaseAddresses::default().set_eh_frame_hdr(self.index).set_eh_frame(self.base);
        (EhFrame::new(&self.bytes, NativeEndian), bases)
    }

    /// Its size in bytes.
    pub fn footprint(&self) -> usize {
        size_of::<Self>() + self.bytes.len()
    }
}
