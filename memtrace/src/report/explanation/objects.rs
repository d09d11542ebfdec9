//! What fills the heaps of processes, by type, as text.
//!
//! [`Filled`] -> a table for each heap. Must not add information.

use crate::{
    allocator::objects::{Objects, Others, Row, growth::by_growth},
    explain::Filled,
    report::{
        describe::change,
        heap::{coverage, error},
        page::Page,
        style::Paint,
    },
    text::{Align, columns, keep_start, pad, printable},
    units::Bytes,
};

/// The most types of a heap; the JSON form has more.
const MOST_LISTED: usize = 20;
/// The widest name of a type.
const NAME: usize = 40;

/// Adds the heaps of a process.
pub(super) fn objects(page: &mut Page, filled: &Filled) {
    let Filled { pid, comm, time, before, heaps, absent } = filled;
    let whose = format!("{} ({pid})", printable(comm));
    let at = time.map_or_else(String::new, |time| time.strftime(", at %H:%M:%S UTC").to_string());
    let since =
        before.map_or_else(String::new, |before| before.strftime(", growth since %H:%M:%S").to_string());
    for heap in heaps {
        page.line(
            &format!("{whose}, {}: {}{at}{since}", printable(&heap.runtime), coverage(heap)),
            Paint::Heading,
        );
        table(page, heap, before.is_some());
        for missing in &heap.missing {
            page.bullet("  not in it:", missing, Paint::Doubt);
        }
    }
    for absent in absent {
        page.bullet(&format!("{whose}, {}:", printable(&absent.allocator)), &absent.reason, Paint::Doubt);
    }
}

/// The largest types; with growth, those that grew most.
fn table(page: &mut Page, heap: &Objects, has_growth: bool) {
    let mut heading = vec!["type", "bytes", "error", "in buffers", "count"];
    if has_growth {
        heading.extend(["growth", "error", "count"]);
    }
    let mut rows: Vec<Vec<String>> = vec![heading.iter().map(|title| (*title).to_owned()).collect()];
    let sorted = if has_growth { by_growth(&heap.rows) } else { heap.rows.iter().collect() };
    rows.extend(sorted.iter().take(MOST_LISTED).map(|of| row(of, has_growth)));
    let rest = sorted.iter().skip(MOST_LISTED).fold(heap.others, |sum, row| Others {
        types: sum.types.saturating_add(1),
        bytes: Bytes(sum.bytes.0.saturating_add(row.bytes.0)),
        count: sum.count.saturating_add(row.count),
    });
    let more = |name: String, bytes: Bytes, count: Option<u64>| {
        let count = count.map_or_else(String::new, |count| count.to_string());
        let cells = [name, bytes.to_string(), String::new(), String::new(), count];
        cells.into_iter().chain(std::iter::repeat(String::new())).take(heading.len()).collect()
    };
    if rest.types > 0 {
        rows.push(more(format!("{} more types", rest.types), rest.bytes, Some(rest.count)));
    }
    rows.push(more("of no known type".to_owned(), heap.untyped_bytes, None));
    let aligns: Vec<Align> =
        std::iter::once(Align::Left).chain(std::iter::repeat(Align::Right)).take(heading.len()).collect();
    for (at, line) in columns(&aligns, &rows).iter().enumerate() {
        let paint = if at == 0 { Paint::Heading } else { Paint::Plain };
        page.line(&format!("  {line}"), paint);
    }
}

fn row(row: &Row, has_growth: bool) -> Vec<String> {
    let Row { name, bytes, held_bytes, error_bytes, count, error_count, growth } = row;
    let held = if held_bytes.0 == 0 { String::new() } else { held_bytes.to_string() };
    let about = if *error_count == 0 { "" } else { "~" };
    let mut cells = vec![
        pad(&keep_start(&printable(name), NAME, "..."), 12, Align::Left),
        bytes.to_string(),
        error(*error_bytes),
        held,
        format!("{about}{count}"),
    ];
    if has_growth {
        cells.extend(growth.map_or_else(Default::default, |growth| {
            let about = if growth.error_count == 0 { "" } else { "~" };
            [change(growth.bytes), error(growth.error_bytes), format!("{about}{:+}", growth.count)]
        }));
    }
    cells
}
