//! fork.

use super::{AddressSpace, span::Span};
use crate::mm::{
    region::{Backing, VmFlags},
    residency::Held,
};

impl AddressSpace {
    /// The space of a child with a copied address space (not for vfork or `CLONE_VM`). Pages that only the parent
    /// mapped are now mapped by both.
    ///
    /// Source: `dup_mmap` and `vma_needs_copy`: page tables of files and shared memory are not copied, the child
    /// faults its own in.
    pub fn fork(&mut self) -> Self {
        let mut child = Self { moved: 0, ..Self::new(self.geometry) };
        for (start, span) in &mut self.spans {
            if span.traits.flags.has(VmFlags::DONT_COPY) {
                continue;
            }
            let is_wiped = span.traits.flags.has(VmFlags::WIPE_ON_FORK);
            let is_copied = match span.traits.backing {
                Backing::Anonymous | Backing::Heap | Backing::Stack => !span.traits.is_shared,
                // Page tables are copied if some pages were written; assume so if the mapping is writable.
                Backing::File(_) | Backing::UnknownFile => {
                    !span.traits.is_shared && span.traits.prot.is_writable()
                }
                Backing::SharedAnonymous | Backing::Special(_) => false,
            };
            let held = if is_copied && !is_wiped {
                span.held.forget_pss();
                let mut held = span.held;
                held.doubt();
                held
            } else {
                Held::EMPTY
            };
            child.put(*start, Span { held, ..span.clone() });
        }
        // As in a resync: nodes filled in ascending order are half empty.
        child.spans = std::mem::take(&mut child.spans).into_iter().collect();
        (child.packed, child.inserted) = (child.spans.len(), 0);
        child.pool = self.pool.clone();
        child.brk = self.brk;
        child.stale = self.stale;
        child.many = self.many;
        child
    }
}
