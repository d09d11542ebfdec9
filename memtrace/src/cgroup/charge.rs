//! The kernel's charge of a memory cgroup, by kind, in one type for v1 and v2.
//!
//! Plain values with a JSON form; values that the kernel does not provide are `None`. `memcg` reads the files.

use serde::{Deserialize, Serialize};

use crate::units::Bytes;

/// The charge of a cgroup, descendants included.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Charge {
    /// The total: `memory.current`, `memory.usage_in_bytes`.
    pub usage_bytes: Option<Bytes>,
    /// Usage minus inactive file pages, as the kubelet computes it.
    pub working_set_bytes: Option<Bytes>,
    /// Highest usage that the kernel remembers.
    pub peak_bytes: Option<Bytes>,
    /// Swap used; on v1 the difference of memory-and-swap and memory usage.
    pub swap_bytes: Option<Bytes>,
    /// Anonymous memory: heaps, stacks. Without shared memory.
    pub anon_bytes: Option<Bytes>,
    /// Page cache of files, active.
    pub active_file_bytes: Option<Bytes>,
    /// Page cache of files, inactive: reclaimed first.
    pub inactive_file_bytes: Option<Bytes>,
    /// Page cache that must be written to disk before it can be reclaimed; part of the files.
    pub dirty_bytes: Option<Bytes>,
    /// Page cache that is being written; part of the files.
    pub writeback_bytes: Option<Bytes>,
    /// Shared memory and tmpfs.
    pub shmem_bytes: Option<Bytes>,
    /// All kernel memory, if the kernel counts it.
    pub kernel_bytes: Option<Bytes>,
    /// Kernel stacks.
    pub kernel_stack_bytes: Option<Bytes>,
    /// Page tables.
    pub page_tables_bytes: Option<Bytes>,
    /// Reclaimable slab.
    pub slab_reclaimable_bytes: Option<Bytes>,
    /// Unreclaimable slab.
    pub slab_unreclaimable_bytes: Option<Bytes>,
    /// Socket buffers.
    pub sock_bytes: Option<Bytes>,
    /// Per-CPU memory.
    pub percpu_bytes: Option<Bytes>,
    /// vmalloc memory.
    pub vmalloc_bytes: Option<Bytes>,
    /// Pages of files that were read again soon after they were reclaimed, since the group's beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_refaults: Option<u64>,
    /// How often the limit was hit.
    pub max_events: Option<u64>,
    /// How often `memory.high` was exceeded.
    pub high_events: Option<u64>,
    /// How often the group ran out of memory.
    pub oom_events: Option<u64>,
    /// How many of its processes the OOM killer killed.
    pub oom_kills: Option<u64>,
    /// Share of the last ten seconds in which some task waited for memory, 0 to 1 (PSI `some avg10`).
    pub pressure_some10: Option<f64>,
    /// The same for all tasks at once (PSI `full avg10`).
    pub pressure_full10: Option<f64>,
}

impl Charge {
    /// The figure that a line of `memory.stat` gives, by the kernel's name for it; `None` for a name that is not used.
    /// v1 prints a group's own figures first, and then with `total_` those with descendants, which count.
    pub fn by_kind(&mut self, name: &[u8]) -> Option<&mut Option<Bytes>> {
        Some(match name {
            b"anon" | b"total_rss" => &mut self.anon_bytes,
            b"active_file" | b"total_active_file" => &mut self.active_file_bytes,
            b"inactive_file" | b"total_inactive_file" => &mut self.inactive_file_bytes,
            b"file_dirty" | b"total_dirty" => &mut self.dirty_bytes,
            b"file_writeback" | b"total_writeback" => &mut self.writeback_bytes,
            b"shmem" | b"total_shmem" => &mut self.shmem_bytes,
            b"total_swap" => &mut self.swap_bytes,
            b"kernel" => &mut self.kernel_bytes,
            b"kernel_stack" => &mut self.kernel_stack_bytes,
            b"pagetables" => &mut self.page_tables_bytes,
            b"slab_reclaimable" => &mut self.slab_reclaimable_bytes,
            b"slab_unreclaimable" => &mut self.slab_unreclaimable_bytes,
            b"sock" => &mut self.sock_bytes,
            b"percpu" => &mut self.percpu_bytes,
            b"vmalloc" => &mut self.vmalloc_bytes,
            _ => return None,
        })
    }

    /// Usage minus the sum of the kinds. `None` when the usage or all kinds are unknown; 0 when the kinds, which are
    /// read one after the other, add up to more.
    pub fn remainder(&self) -> Option<Bytes> {
        let sum = [self.anon_bytes, self.active_file_bytes, self.inactive_file_bytes, self.shmem_bytes]
            .into_iter()
            .chain([self.kernel()])
            .flatten()
            .map(|Bytes(bytes)| bytes)
            .reduce(u64::saturating_add)?;
        Some(Bytes(self.usage_bytes?.0.saturating_sub(sum)))
    }

    /// Page cache of files, active and inactive; `None` when neither is known.
    pub fn file(&self) -> Option<Bytes> {
        let lists = [self.active_file_bytes, self.inactive_file_bytes];
        lists.into_iter().flatten().map(|Bytes(bytes)| bytes).reduce(u64::saturating_add).map(Bytes)
    }

    /// Firm memory: the usage without page cache and reclaimable slab, which the kernel can reclaim. `None` when usage or
    /// page cache are not known.
    pub fn firm(&self) -> Option<Bytes> {
        self.firm_of(self.usage_bytes?)
    }

    /// Firm memory of another, newer usage.
    pub fn firm_of(&self, usage: Bytes) -> Option<Bytes> {
        let reclaimable = self.file()?.0.saturating_add(self.slab_reclaimable_bytes.unwrap_or_default().0);
        Some(Bytes(usage.0.saturating_sub(reclaimable)))
    }

    /// Kernel memory: the kernel's own sum, or the sum of the known kinds.
    pub fn kernel(&self) -> Option<Bytes> {
        let kinds = [
            self.kernel_stack_bytes,
            self.page_tables_bytes,
            self.slab_reclaimable_bytes,
            self.slab_unreclaimable_bytes,
            self.percpu_bytes,
            self.vmalloc_bytes,
        ];
        let sum = || kinds.into_iter().flatten().map(|Bytes(bytes)| bytes).reduce(u64::saturating_add);
        // `kernel` of memory.stat excludes socket buffers (cgroup-v2.rst).
        let kernel = self.kernel_bytes.map(|Bytes(bytes)| bytes).or_else(sum);
        match (kernel, self.sock_bytes) {
            (None, None) => None,
            (kernel, sock) => {
                Some(Bytes(kernel.unwrap_or_default().saturating_add(sock.unwrap_or_default().0)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Charge};

    #[test]
    fn the_sum_closes_with_a_remainder() {
        let charge = Charge {
            usage_bytes: Some(Bytes(100)),
            anon_bytes: Some(Bytes(40)),
            inactive_file_bytes: Some(Bytes(20)),
            slab_reclaimable_bytes: Some(Bytes(5)),
            sock_bytes: Some(Bytes(7)),
            ..Charge::default()
        };
        assert_eq!((charge.kernel(), charge.remainder()), (Some(Bytes(12)), Some(Bytes(28))));
        assert_eq!(Charge::default().remainder(), None);
        let own = Charge { kernel_bytes: Some(Bytes(9)), ..charge };
        assert_eq!(own.kernel(), Some(Bytes(16)));
    }
}
