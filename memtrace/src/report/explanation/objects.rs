//! What fills the heaps of processes, by type, as text.
//!
//! [`Filled`] -> a table for each heap. Must not add information.

use crate::{
    allocator::objects::{Objects, Others, Row},
    explain::Filled,
    report::{page::Page, style::Paint},
    text::{Align, columns, keep_start, pad, printable},
    units::Bytes,
};

/// The most types of a heap; the JSON form has more.
const MOST_LISTED: usize = 20;
/// The widest name of a type.
const NAME: usize = 40;
const ALIGNS: [Align; 5] = [Align::Left, Align::Right, Align::Right, Align::Right, Align::Right];

/// Adds the heaps of a process.
pub(super) fn objects(page: &mut Page, filled: &Filled) {
    let Filled { pid, comm, time, heaps, absent } = filled;
    let whose = format!("{} ({pid})", printable(comm));
    let at = time.map_or_else(String::new, |time| time.strftime(", at %H:%M:%S UTC").to_string());
    for heap in heaps {
        page.line(&format!("{whose}, {}: {}{at}", printable(&heap.runtime), coverage(heap)), Paint::Heading);
        table(page, heap);
        for missing in &heap.missing {
            page.bullet("  not in it:", missing, Paint::Doubt);
        }
    }
    for absent in absent {
        page.bullet(&format!("{whose}, {}:", printable(&absent.allocator)), &absent.reason, Paint::Doubt);
    }
}

/// How much is in use, and how much of that was read.
fn coverage(heap: &Objects) -> String {
    let Objects { heap_bytes, error_bytes, pieces, pieces_read, pieces_changed, .. } = heap;
    let read = if pieces_read == pieces {
        "all of it read".to_owned()
    } else {
        format!("{pieces_read} of {pieces} pieces read")
    };
    let changed = match pieces_changed {
        0 => String::new(),
        changed => format!(", {changed} changed meanwhile and were left out"),
    };
    format!("{heap_bytes}{} in use, {read}{changed}", plus_minus(*error_bytes))
}

fn plus_minus(error: Bytes) -> String {
    if error.0 == 0 { String::new() } else { format!(" ± {error}") }
}

fn table(page: &mut Page, heap: &Objects) {
    let heading = ["type", "bytes", "error", "in buffers", "count"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.extend(heap.rows.iter().take(MOST_LISTED).map(row));
    let rest = heap.rows.iter().skip(MOST_LISTED).fold(heap.others, |sum, row| Others {
        types: sum.types.saturating_add(1),
        bytes: Bytes(sum.bytes.0.saturating_add(row.bytes.0)),
        count: sum.count.saturating_add(row.count),
    });
    let more = |name: String, bytes: Bytes, count: Option<u64>| {
        let count = count.map_or_else(String::new, |count| count.to_string());
        vec![name, bytes.to_string(), String::new(), String::new(), count]
    };
    if rest.types > 0 {
        rows.push(more(format!("{} more types", rest.types), rest.bytes, Some(rest.count)));
    }
    rows.push(more("of no known type".to_owned(), heap.untyped_bytes, None));
    for (at, line) in columns(&ALIGNS, &rows).iter().enumerate() {
        let paint = if at == 0 { Paint::Heading } else { Paint::Plain };
        page.line(&format!("  {line}"), paint);
    }
}

fn row(row: &Row) -> Vec<String> {
    let Row { name, bytes, held_bytes, error_bytes, count, error_count, growth: _ } = row;
    let error = if error_bytes.0 == 0 { "-".to_owned() } else { format!("± {error_bytes}") };
    let held = if held_bytes.0 == 0 { String::new() } else { held_bytes.to_string() };
    let about = if *error_count == 0 { "" } else { "~" };
    vec![
        pad(&keep_start(&printable(name), NAME, "..."), 12, Align::Left),
        bytes.to_string(),
        error,
        held,
        format!("{about}{count}"),
    ]
}
