//! The only reads of kernel structures, by offsets that the daemon found in this kernel's BTF.
//!
//! Input: pointers from the hooks' arguments. Output: fields of the records. A field that this kernel does not have is
//! unknown; a field that cannot be read is unknown and counted.

pub mod memcg;
pub mod mm;
pub mod regs;
pub mod stack;
pub mod task;

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use memtrace_common::{UNKNOWN, config::ABSENT, counter::Counter};

use crate::emit::lost;

/// An address in the kernel; never dereferenced, only passed to `bpf_probe_read_kernel`. Null means unknown.
pub type Pointer = *const u8;

/// Reads the `T` at `base + offset`; `unknown` when this kernel has no such field, `base` is null, or the read faulted
/// (counted).
///
/// Not an `Option`: the compiler moves the unset payload of a `None` around, and verifiers before 6.3 refuse to load
/// a program that reads a stack slot that was never written.
#[inline(always)]
pub fn read<T: Copy>(base: Pointer, offset: u32, counter: Counter, unknown: T) -> T {
    if offset == ABSENT || base.is_null() {
        return unknown;
    }
    let mut value = unknown;
    let source = base.wrapping_add(offset as usize);
    // SAFETY: the helper checks the address, and writes no more than the size of `value`.
    let error =
        unsafe { bpf_probe_read_kernel((&raw mut value).cast(), size_of::<T>() as u32, source.cast()) };
    if error != 0 {
        lost(counter);
        return unknown;
    }
    value
}

/// Reads a pointer field, or null.
#[inline(always)]
pub fn read_pointer(base: Pointer, offset: u32, counter: Counter) -> Pointer {
    read(base, offset, counter, core::ptr::null())
}

/// Reads a `long` or `u64` field, or [`UNKNOWN`].
#[inline(always)]
pub fn read_u64(base: Pointer, offset: u32, counter: Counter) -> u64 {
    read(base, offset, counter, UNKNOWN)
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
