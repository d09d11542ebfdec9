//! The only reads of kernel structures, by offsets that the daemon found in this kernel's BTF.
//!
//! Input: pointers from the hooks' arguments. Output: fields of the records. A field that is absent here is left
//! unknown; one that cannot be read is unknown and counted.

pub mod memcg;
pub mod mm;
pub mod regs;
pub mod stack;
pub mod task;

use aya_ebpf::helpers::bpf_probe_read_kernel;
use memtrace_common::{UNKNOWN, config::ABSENT, counter::Counter};

use crate::emit::lost;

/// An address in the kernel; never dereferenced, only given to `bpf_probe_read_kernel`.
pub type Pointer = *const u8;

/// Reads the `T` at `base + offset`. `None` when this kernel has no such field or the read faulted (counted).
#[inline(always)]
pub fn read<T>(base: Pointer, offset: u32, counter: Counter) -> Option<T> {
    if offset == ABSENT || base.is_null() {
        return None;
    }
    // SAFETY: the helper checks the address and returns an error for one that cannot be read.
    match unsafe { bpf_probe_read_kernel(base.wrapping_add(offset as usize).cast::<T>()) } {
        Ok(value) => Some(value),
        Err(_) => {
            lost(counter);
            None
        }
    }
}

/// Reads a pointer field; null counts as absent.
#[inline(always)]
pub fn read_pointer(base: Pointer, offset: u32, counter: Counter) -> Option<Pointer> {
    read::<Pointer>(base, offset, counter).filter(|pointer| !pointer.is_null())
}

/// Reads a `long` or `u64` field, or [`UNKNOWN`].
#[inline(always)]
pub fn read_u64(base: Pointer, offset: u32, counter: Counter) -> u64 {
    read(base, offset, counter).unwrap_or(UNKNOWN)
}

/// `offset + index * stride`, keeping [`ABSENT`].
#[inline(always)]
pub fn element(offset: u32, index: u32, stride: u32) -> u32 {
    if offset == ABSENT || index == ABSENT || stride == ABSENT {
        ABSENT
    } else {
        offset.wrapping_add(index.wrapping_mul(stride))
    }
}
