//! The total, divided into parts with a remainder.
//!
//! A charge and arena rows -> parts that add up. Pure. The kernel's kinds are the outer parts, because they add up.
//! Owners divide one of these, and their remainder is a part of its own.

use super::{Part, picture::Picture};
use crate::{
    allocator::attribute::Holder,
    cgroup::charge::Charge,
    snapshot::ArenaRow,
    units::{Bytes, Grade},
};

/// Parts with fewer bytes are combined.
const LEAST: u64 = 64 << 10;

const ANONYMOUS: &str = "anonymous memory";
const SHARED: &str = "shared memory, tmpfs";

/// The balance of a subject.
pub(super) struct Balance {
    pub(super) total: Option<Bytes>,
    pub(super) parts: Vec<Part>,
    pub(super) remainder: Option<i64>,
    pub(super) notes: Vec<String>,
}

/// Sums a subject up.
pub(super) fn balance(picture: &Picture<'_>) -> Balance {
    let mut notes = Vec::new();
    let (total, parts) = if picture.is_process {
        let row = picture.processes.first();
        (row.and_then(|row| row.rss_bytes), process(picture))
    } else if let Some(charge) = &picture.charge {
        (charge.usage_bytes, container(picture, charge, &mut notes))
    } else {
        notes.push("failed to read the files of its cgroup: there is no total".to_owned());
        (None, Vec::new())
    };
    let sum = parts.iter().fold(0_u64, |sum, part| sum.saturating_add(part.bytes.0));
    let remainder =
        total.map(|total| i64::try_from(i128::from(total.0) - i128::from(sum)).unwrap_or(i64::MIN));
    Balance { total, parts, remainder, notes }
}

/// Whether a row is anonymous memory, not a file, shared memory or the kernel's.
pub(super) fn is_anonymous(row: &ArenaRow) -> bool {
    Holder::named(&row.allocator).is_none_or(|holder| holder.is_anonymous(&row.kind))
}

/// Parts by allocator, largest first; uses PSS where it is known.
fn owners(picture: &Picture<'_>, is_wanted: fn(&ArenaRow) -> bool) -> Vec<Part> {
    let rows = picture.processes.iter().filter_map(|row| row.memory.as_ref());
    let mut parts: Vec<Part> = Vec::new();
    for row in rows.flat_map(|memory| &memory.arenas).filter(|row| is_wanted(row)) {
        let shared = if picture.is_process { None } else { row.pss_bytes };
        let bytes = shared.unwrap_or(row.resident_bytes);
        let (what, means) = describe(row);
        match parts.iter_mut().find(|part| part.what == what) {
            Some(part) => {
                part.bytes.0 = part.bytes.0.saturating_add(bytes.0);
                part.grade = if part.grade == row.grade { part.grade } else { Grade::Inferred };
            }
            None => parts.push(Part::new(what, means, bytes, row.grade)),
        }
    }
    parts.sort_by(|a, b| (b.bytes, &a.what).cmp(&(a.bytes, &b.what)));
    parts.retain(|part| part.bytes.0 > 0);
    parts
}

fn describe(row: &ArenaRow) -> (String, &'static str) {
    match Holder::named(&row.allocator) {
        Some(Holder::Stack) => ("stacks".to_owned(), "of the threads"),
        Some(Holder::Unattributed) => ("unknown owner".to_owned(), "mapped memory that is not recognised"),
        Some(Holder::Module) => ("programs and libraries".to_owned(), "code and data"),
        Some(Holder::File) => ("mapped files".to_owned(), ""),
        Some(Holder::Shmem) => (row.kind.to_string(), ""),
        Some(Holder::Kernel) => ("pages mapped by the kernel".to_owned(), ""),
        Some(Holder::Allocator(_) | Holder::Heap) | None => (row.allocator.to_string(), "its heap"),
    }
}

fn process(picture: &Picture<'_>) -> Vec<Part> {
    let mut parts = vec![];
    let owned = owners(picture, |row| row.allocator != Holder::Shmem.name());
    let shared = owners(picture, |row| row.allocator == Holder::Shmem.name());
    parts.extend(small_together(owned));
    if !shared.is_empty() {
        let bytes = shared.iter().fold(0, |sum: u64, part| sum.saturating_add(part.bytes.0));
        let mut part =
            Part::new("shared memory", "including mapped tmpfs files", Bytes(bytes), Grade::Measured);
        part.parts = shared;
        parts.push(part);
    }
    parts
}

fn small_together(parts: Vec<Part>) -> Vec<Part> {
    let (mut large, small): (Vec<Part>, Vec<Part>) =
        parts.into_iter().partition(|part| part.bytes.0 >= LEAST);
    let bytes = small.iter().fold(0, |sum: u64, part| sum.saturating_add(part.bytes.0));
    if bytes > 0 {
        let names: Vec<String> = small.into_iter().map(|part| part.what).collect();
        large.push(Part::new("small", names.join(", "), Bytes(bytes), Grade::Measured));
    }
    large
}

fn container(picture: &Picture<'_>, charge: &Charge, notes: &mut Vec<String>) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut push = |what: &str, means: &str, bytes: Option<Bytes>, inner: Vec<Part>| match bytes {
        Some(bytes) => {
            let mut part = Part::new(what, means, bytes, Grade::Read);
            part.parts = close(inner, bytes, what, notes);
            parts.push(part);
        }
        None => notes.push(format!("{what}: this kernel does not report it for this cgroup")),
    };
    let anonymous = small_together(owners(picture, is_anonymous));
    push(ANONYMOUS, "heaps and stacks: what programs ask for", charge.anon_bytes, anonymous);
    push("file cache, active", "file pages used more than once", charge.active_file_bytes, Vec::new());
    push(
        "file cache, inactive",
        "file pages used once; reclaimed first",
        charge.inactive_file_bytes,
        Vec::new(),
    );
    let shared = owners(picture, |row| row.allocator == Holder::Shmem.name());
    push(SHARED, "files in memory; only swap takes them", charge.shmem_bytes, shared);
    push("kernel memory", "kernel objects of its processes", charge.kernel(), kernel(charge));
    for mount in &picture.facts.tmpfs {
        notes.push(format!("tmpfs {}: {} used, by all cgroups together", mount.mount, mount.used_bytes));
    }
    if let Some(why) = &picture.facts.not_read {
        notes.push(format!("mounts and threads were not all read: {why}"));
    }
    parts
}

fn kernel(charge: &Charge) -> Vec<Part> {
    let kinds = [
        ("kernel stacks", "one per thread", charge.kernel_stack_bytes),
        ("page tables", "to map its memory", charge.page_tables_bytes),
        ("slab, reclaimable", "cached file names and inodes", charge.slab_reclaimable_bytes),
        ("slab, unreclaimable", "open files, tasks and similar", charge.slab_unreclaimable_bytes),
        ("socket buffers", "", charge.sock_bytes),
        ("per CPU", "", charge.percpu_bytes),
        ("vmalloc", "", charge.vmalloc_bytes),
    ];
    let part = |(what, means, bytes): (&str, &str, Option<Bytes>)| {
        Some(Part::new(what, means, bytes.filter(|bytes| bytes.0 > 0)?, Grade::Read))
    };
    kinds.into_iter().filter_map(part).collect()
}

/// Makes inner parts add up to the outer one: adds a remainder, or scales them down if they exceed it.
fn close(mut inner: Vec<Part>, outer: Bytes, what: &str, notes: &mut Vec<String>) -> Vec<Part> {
    if inner.is_empty() {
        return inner;
    }
    let sum = inner.iter().fold(0_u64, |sum, part| sum.saturating_add(part.bytes.0));
    if sum > outer.0 {
        let more = Bytes(sum - outer.0);
        if more.0 > LEAST.max(outer.0 / 100) {
            notes.push(format!(
                "{what}: its owners hold {more} more than is charged; they were read at another time, or the rest is \
                 charged to another cgroup"
            ));
        }
        // Scale in proportion, so that the sum is right.
        let scaled = |bytes: u64| {
            u64::try_from(u128::from(bytes) * u128::from(outer.0) / u128::from(sum.max(1))).unwrap_or(bytes)
        };
        inner.iter_mut().for_each(|part| part.bytes = Bytes(scaled(part.bytes.0)));
    }
    let sum = inner.iter().fold(0_u64, |sum, part| sum.saturating_add(part.bytes.0));
    let rest = outer.0.saturating_sub(sum);
    let inner_count = inner.len() as u64;
    if let Some(first) = inner.first_mut().filter(|_| rest < inner_count) {
        // Add the rounding error to the first part.
        first.bytes.0 = first.bytes.0.saturating_add(rest);
    } else if rest > 0 {
        let (name, means) = if what == ANONYMOUS {
            ("else", "changed data of programs; processes not read")
        } else if what == SHARED {
            ("not mapped", "tmpfs files that no process maps")
        } else {
            ("else", "of a kind that the kernel does not report")
        };
        inner.push(Part::new(name, means, Bytes(rest), Grade::Inferred));
    }
    inner
}

/// The sum of two charges; a value is unknown if it is unknown in one of them.
pub(super) fn add(one: &Charge, two: &Charge) -> Charge {
    let sum = |of: fn(&Charge) -> Option<Bytes>| Some(Bytes(of(one)?.0.saturating_add(of(two)?.0)));
    Charge {
        usage_bytes: sum(|charge| charge.usage_bytes),
        working_set_bytes: sum(|charge| charge.working_set_bytes),
        swap_bytes: sum(|charge| charge.swap_bytes),
        anon_bytes: sum(|charge| charge.anon_bytes),
        active_file_bytes: sum(|charge| charge.active_file_bytes),
        inactive_file_bytes: sum(|charge| charge.inactive_file_bytes),
        dirty_bytes: sum(|charge| charge.dirty_bytes),
        writeback_bytes: sum(|charge| charge.writeback_bytes),
        shmem_bytes: sum(|charge| charge.shmem_bytes),
        kernel_bytes: sum(|charge| charge.kernel_bytes),
        kernel_stack_bytes: sum(|charge| charge.kernel_stack_bytes),
        page_tables_bytes: sum(|charge| charge.page_tables_bytes),
        slab_reclaimable_bytes: sum(|charge| charge.slab_reclaimable_bytes),
        slab_unreclaimable_bytes: sum(|charge| charge.slab_unreclaimable_bytes),
        sock_bytes: sum(|charge| charge.sock_bytes),
        percpu_bytes: sum(|charge| charge.percpu_bytes),
        vmalloc_bytes: sum(|charge| charge.vmalloc_bytes),
        ..Charge::default()
    }
}
