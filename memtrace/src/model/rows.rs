//! Makes the rows of a snapshot from the model's rows.
//!
//! Input: the arenas of a process; the processes of a cgroup. Output: `snapshot` types. Pure.

use std::borrow::Cow;

use super::{
    arenas::{Arenas, Row},
    peaks::ticks::Now,
};
use crate::{
    mm::{address_space::AddressSpace, growth::Window, region::Backing},
    snapshot::{ArenaRow, GrowthStack, Memory, UserFrame},
    text::name,
    units::{Bytes, Grade},
};

/// The most call stacks shown for a process.
const STACKS: usize = 3;

/// The memory of a process, as a snapshot shows it.
pub fn memory(arenas: &Arenas<'_>, both: Now) -> Memory {
    let now = both.ktime;
    let Arenas { rows, closing, stale, unfinished, scanned_at, sampled, gauges, stacks, space, reading } =
        arenas;
    let is_shown = |row: &&Row| row.resident.0 > 0 || row.swapped.0 > 0;
    let mut arenas = Vec::with_capacity(rows.iter().filter(is_shown).count());
    arenas.extend(rows.iter().filter(is_shown).map(|row| {
        let gauge = gauges.iter().find(|(of, _)| *of == (row.allocator, row.kind));
        arena(row, Window::ALL.map(|window| Some(gauge?.1.change(window)?.by)))
    }));
    Memory {
        arenas,
        unaccounted_bytes: closing.unattributed,
        excess_bytes: closing.excess,
        stale: stale.map(|reason| format!("{reason:?}").to_lowercase()),
        unfinished: unfinished.map(str::to_owned),
        scanned: scanned_at.map(|at| both.wall(at)),
        samples: Some(*sampled),
        growth_stacks: stacks
            .top(Window::Minutes10, now, STACKS)
            .into_iter()
            .map(|(stack, walked_by, _)| GrowthStack {
                walked_by,
                bytes: Window::ALL.map(|window| Bytes(stacks.of(stack, window, now))),
                frames: stack
                    .iter()
                    .enumerate()
                    .map(|(index, address)| frame(space, *address, index > 0))
                    .collect(),
            })
            .collect(),
        counters: reading.map_or(Vec::new(), |reading| reading.counters.clone()),
        without_counters: reading.map_or(Vec::new(), |reading| reading.absent.clone()),
        counters_read: reading.map(|reading| both.wall(reading.at)),
    }
}

fn arena(row: &Row, growth_bytes: [Option<i64>; 3]) -> ArenaRow {
    let Row { allocator, kind, arenas, mapped, resident, lazy_free, swapped, pss, grade } = row;
    ArenaRow {
        // Borrowed, to avoid allocations: a node has tens of thousands of these rows.
        allocator: Cow::Borrowed(allocator),
        kind: Cow::Borrowed(kind),
        arenas: *arenas,
        mapped_bytes: *mapped,
        resident_bytes: *resident,
        lazy_free_bytes: *lazy_free,
        swapped_bytes: *swapped,
        pss_bytes: *pss,
        grade: *grade,
        growth_bytes,
    }
}

/// A frame with the file of its code. A return address points after the call, so all frames except the innermost are
/// looked up one byte before.
fn frame(space: &AddressSpace, address: u64, is_return: bool) -> UserFrame {
    let at = address.saturating_sub(u64::from(is_return));
    let (module, file_offset, inode) = match space.at(at) {
        Some((region, _)) => match &region.backing {
            Backing::File(file) => {
                let offset = region.offset.saturating_add(at.saturating_sub(region.start));
                (Some(name(&file.path)), Some(offset), Some(file.inode))
            }
            Backing::Special(special) => (Some(name(special)), None, None),
            Backing::Anonymous
            | Backing::SharedAnonymous
            | Backing::UnknownFile
            | Backing::Heap
            | Backing::Stack => (None, None, None),
        },
        None => (None, None, None),
    };
    UserFrame { address: format!("{address:#x}"), module, file_offset, symbol: None, inode }
}

/// Largest first.
pub fn sort(arenas: &mut [ArenaRow]) {
    arenas.sort_by(|a, b| {
        (b.resident_bytes, &a.allocator, &a.kind).cmp(&(a.resident_bytes, &b.allocator, &b.kind))
    });
}

/// Adds a process's row to its container's. Uses PSS where it is known, so that shared pages count once.
pub fn add(sums: &mut Vec<ArenaRow>, arena: &ArenaRow) {
    let resident = arena.pss_bytes.unwrap_or(arena.resident_bytes);
    let Some(sum) = sums.iter_mut().find(|sum| sum.allocator == arena.allocator && sum.kind == arena.kind)
    else {
        sums.push(ArenaRow { resident_bytes: resident, ..arena.clone() });
        return;
    };
    sum.arenas += arena.arenas;
    sum.mapped_bytes.0 += arena.mapped_bytes.0;
    sum.resident_bytes.0 += resident.0;
    sum.lazy_free_bytes.0 += arena.lazy_free_bytes.0;
    sum.swapped_bytes.0 += arena.swapped_bytes.0;
    sum.pss_bytes = sum.pss_bytes.zip(arena.pss_bytes).map(|(sum, more)| Bytes(sum.0 + more.0));
    sum.grade = if sum.grade == arena.grade { sum.grade } else { Grade::Inferred };
    for (sum, more) in sum.growth_bytes.iter_mut().zip(arena.growth_bytes) {
        *sum = sum.zip(more).map(|(sum, more)| sum.saturating_add(more));
    }
}
