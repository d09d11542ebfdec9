//! Memory that the kernel can reclaim, and memory that it cannot.
//!
//! A charge, arena rows and holdings -> two lists. Pure. The kernel reclaims pages by kind: it does not know which
//! pages of a heap are free.

use super::{Holding, Part, balance::is_anonymous, picture::Picture};
use crate::{
    allocator::attribute::Holder,
    units::{Bytes, Grade},
};

/// Reclaimable parts, and firm ones; empty ones left out.
pub(super) fn under_pressure(picture: &Picture<'_>, holdings: &[Holding]) -> (Vec<Part>, Vec<Part>) {
    let charge = picture.charge.clone().unwrap_or_default();
    let lazy: u64 = rows_sum(picture, |row| row.lazy_free_bytes.0);
    let sum = |of: fn(&Holding) -> Option<Bytes>| {
        Some(Bytes(holdings.iter().filter_map(of).fold(0, |sum: u64, bytes| sum.saturating_add(bytes.0))))
    };
    let slab = charge.slab_reclaimable_bytes;
    let (inactive, active) =
        if picture.is_process {
            let mapped = rows_sum(picture, |row| {
                if row.allocator == Holder::File.name() { row.resident_bytes.0 } else { 0 }
            });
            (None, Some(Bytes(mapped)))
        } else {
            (charge.inactive_file_bytes, charge.active_file_bytes)
        };
    let kernel = charge.kernel().map(|kernel| Bytes(kernel.0.saturating_sub(slab.unwrap_or_default().0)));
    let free = sum(|holding| holding.free_resident_bytes).unwrap_or_default();
    let anonymous = charge.anon_bytes.unwrap_or_else(|| {
        Bytes(rows_sum(picture, |row| if is_anonymous(row) { row.resident_bytes.0 } else { 0 }))
    });
    let fill = sum(|holding| holding.huge_fill_bytes).unwrap_or_default();
    let in_use = Bytes(anonymous.0.saturating_sub(free.0).saturating_sub(lazy).saturating_sub(fill.0));
    let back = [
        ("file cache, inactive", "read again from disk when needed", inactive),
        ("file cache, active", "reclaimed after the inactive part", active),
        ("freed lazily", "MADV_FREE: not needed by the program", Some(Bytes(lazy))),
        ("slab, reclaimable", "cached file names and inodes", slab),
    ];
    let stays = [
        ("heaps and stacks in use", "needed by the program", Some(in_use)),
        ("filled by huge pages, at most", "gaps around memory in use", Some(fill)),
        ("free inside allocators", "looks used to the kernel", Some(free.min(anonymous))),
        ("shared memory, tmpfs", "until its files are deleted", charge.shmem_bytes),
        ("kernel memory", "open files, threads, page tables", kernel),
    ];
    (parts(back), parts(stays))
}

fn parts<const N: usize>(all: [(&str, &str, Option<Bytes>); N]) -> Vec<Part> {
    let part = |(what, means, bytes): (&str, &str, Option<Bytes>)| {
        Some(Part::new(what, means, bytes.filter(|bytes| bytes.0 > 0)?, Grade::Inferred))
    };
    all.into_iter().filter_map(part).collect()
}

fn rows_sum(picture: &Picture<'_>, of: fn(&crate::snapshot::ArenaRow) -> u64) -> u64 {
    let rows =
        picture.processes.iter().filter_map(|row| row.memory.as_ref()).flat_map(|memory| &memory.arenas);
    rows.map(of).fold(0, u64::saturating_add)
}
