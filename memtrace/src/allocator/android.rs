//! Android: its malloc, loader and runtime label their own memory.
//!
//! Input: none. Output: labels. There is no other knowledge about them here.

use super::{Allocator, AllocatorId, attribute::label::Label};

/// Scudo, the malloc of Android.
pub struct Scudo;

impl Allocator for Scudo {
    fn labels(&self) -> &'static [Label] {
        const { &[Label::of(b"scudo:", AllocatorId::Scudo, "heap")] }
    }
}

/// bionic: the allocator of its loader, and stacks.
pub struct Bionic;

impl Allocator for Bionic {
    fn labels(&self) -> &'static [Label] {
        const {
            &[
                Label::of(b"bionic_alloc", AllocatorId::Bionic, "loader"),
                Label::stack(b"stack_and_tls:", "thread stack"),
            ]
        }
    }
}

/// Android's runtime.
pub struct Art;

impl Allocator for Art {
    fn labels(&self) -> &'static [Label] {
        const { &[Label::of(b"dalvik-", AllocatorId::Art, "java heap")] }
    }
}
