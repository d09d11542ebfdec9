//! A piece of memory that is shared with the kernel.
//!
//! A map's descriptor -> bounds-checked reads of words and bytes. Must not know what they mean.
#![expect(unsafe_code, reason = "memory that the kernel writes has no safe form")]

use std::{
    io,
    os::fd::BorrowedFd,
    ptr::{NonNull, null_mut},
    sync::atomic::{AtomicU32, AtomicUsize},
};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// Mapped memory, unmapped when dropped.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the memory belongs to no thread, and it is accessed only by atomic operations and by copying committed bytes.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `len` bytes of a descriptor from `offset` on.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn new(fd: BorrowedFd<'_>, offset: usize, len: usize, is_writable: bool) -> io::Result<Self> {
        let access = if is_writable { ProtFlags::READ | ProtFlags::WRITE } else { ProtFlags::READ };
        // SAFETY: the kernel chooses the address, so no other memory is replaced.
        let start = unsafe { mmap(null_mut(), len, access, MapFlags::SHARED, fd, offset as u64) }?;
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mapped at address 0"))?;
        Ok(Self { start, len })
    }

    /// How many bytes it has.
    pub fn size(&self) -> usize {
        self.len
    }

    /// The position at an offset. It may be stored to only if the mapping is writable.
    pub fn position(&self, offset: usize) -> Option<&AtomicUsize> {
        let at = self.aligned::<AtomicUsize>(offset)?;
        // SAFETY: in bounds and aligned; the kernel accesses it atomically as well.
        Some(unsafe { at.as_ref() })
    }

    /// The 32-bit word at an offset; only to be loaded.
    pub fn word(&self, offset: usize) -> Option<&AtomicU32> {
        let at = self.aligned::<AtomicU32>(offset)?;
        // SAFETY: in bounds and aligned; the kernel accesses it atomically as well.
        Some(unsafe { at.as_ref() })
    }

    /// Appends a copy of the bytes at an offset to `out`; false when they are out of bounds.
    pub fn copy(&self, offset: usize, len: usize, out: &mut Vec<u8>) -> bool {
        let Some(from) = self.at(offset, len) else { return false };
        out.reserve(len);
        // SAFETY: the source is in bounds, the destination has room for `len` bytes, and they do not overlap. The kernel
        // does not write to a committed record before it is consumed. Every bit pattern is a byte.
        unsafe {
            from.copy_to_nonoverlapping(NonNull::from(out.spare_capacity_mut()).cast(), len);
            out.set_len(out.len() + len);
        }
        true
    }

    fn aligned<T>(&self, offset: usize) -> Option<NonNull<T>> {
        Some(self.at(offset, size_of::<T>())?.cast::<T>()).filter(|at| at.is_aligned())
    }

    fn at(&self, offset: usize, len: usize) -> Option<NonNull<u8>> {
        let is_inside = offset.checked_add(len).is_some_and(|end| end <= self.len);
        // SAFETY: inside the mapping.
        is_inside.then(|| unsafe { self.start.add(offset) })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and nothing borrows from it any more. A failure leaves it mapped.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
    }
}
