//! The charge of the owner of the limit, by kind, with a remainder that closes the sum.
//!
//! [`Composition`] -> parts, and a block of them.

use crate::{
    cgroup::charge::Charge,
    oom::record::{OomRecord, circumstances::Composition},
    reader::tmpfs::Tmpfs,
    report::{
        describe::{figure, percent, span},
        document::{Block, Cell, Column, Figure, Fit, Table},
    },
    units::Bytes,
};

/// A kind of charged memory; the parts of a charge add up to its usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::report) struct Part {
    pub(in crate::report) name: &'static str,
    /// Its class in style sheets.
    pub(in crate::report) key: &'static str,
    pub(in crate::report) bytes: Option<Bytes>,
}

/// The kinds, and the remainder.
pub(in crate::report) fn parts(charge: &Charge) -> [Part; 6] {
    let part = |name, key, bytes| Part { name, key, bytes };
    [
        part("anonymous memory", "anon", charge.anon_bytes),
        part("files, active", "active", charge.active_file_bytes),
        part("files, inactive", "inactive", charge.inactive_file_bytes),
        part("shared memory, tmpfs", "shmem", charge.shmem_bytes),
        part("kernel memory", "kernel", charge.kernel()),
        part("other", "rest", charge.remainder()),
    ]
}

/// Kinds of kernel memory, as far as known.
fn kernel_parts(charge: &Charge) -> [(&'static str, Option<Bytes>); 7] {
    [
        ("kernel stacks", charge.kernel_stack_bytes),
        ("page tables", charge.page_tables_bytes),
        ("slab, reclaimable", charge.slab_reclaimable_bytes),
        ("slab, unreclaimable", charge.slab_unreclaimable_bytes),
        ("socket buffers", charge.sock_bytes),
        ("per-CPU", charge.percpu_bytes),
        ("vmalloc", charge.vmalloc_bytes),
    ]
}

pub(super) fn composition(record: &OomRecord) -> Option<Block> {
    let Composition { charge, tmpfs, tmpfs_not_read, grade, age_seconds } =
        record.circumstances.composition.as_ref()?;
    let mut block = Block::drawn("Memory charged to the cgroup whose limit was hit", Figure::Composition);
    let mut table = Table::new(vec![
        Column::left("", Fit::Whole),
        Column::right(""),
        Column::right(""),
        Column::left("", Fit::Whole),
    ]);
    let share = |bytes: Option<Bytes>| percent(bytes?, charge.usage_bytes?);
    let mut absent = Vec::new();
    let mut row = |name: String, bytes: Option<Bytes>, with_bar: bool| {
        if bytes == Some(Bytes(0)) {
            absent.push(name);
            return;
        }
        let share = share(bytes);
        let text = share.map(|share| format!("{share} %")).unwrap_or_default();
        let bar = share.filter(|_| with_bar).map_or_else(|| "".into(), Cell::Bar);
        table.row(vec![name.into(), figure(bytes).into(), text.into(), bar]);
    };
    for Part { name, key, bytes } in parts(charge) {
        row(name.to_owned(), bytes, true);
        if key == "kernel" {
            for (name, bytes) in kernel_parts(charge) {
                if bytes.is_some_and(|bytes| bytes.0 > 0) {
                    row(format!("- {name}"), bytes, false);
                }
            }
        }
    }
    row("total".to_owned(), charge.usage_bytes, false);
    block.table(table);
    block.absent(&absent);
    let age = if *age_seconds < 0.0 {
        format!("{} after the kill", span(-age_seconds))
    } else {
        format!("{} before the kill", span(*age_seconds))
    };
    block.field("known by", format!("{grade}, {age}"));
    for Tmpfs { mount, used_bytes } in tmpfs {
        block.field("tmpfs", format!("{used_bytes} in {mount}; a restart of the program does not free it"));
    }
    if let Some(why) = tmpfs_not_read {
        block.field("tmpfs", format!("mounts not read: {why}"));
    }
    Some(block)
}

#[cfg(test)]
mod tests {
    use super::parts;
    use crate::store::fixture::full;

    #[test]
    fn the_parts_add_up_to_the_usage() {
        let charge = full::record().circumstances.composition.unwrap().charge;
        let sum: u64 = parts(&charge).iter().map(|part| part.bytes.unwrap().0).sum();
        assert_eq!(sum, charge.usage_bytes.unwrap().0);
    }
}
