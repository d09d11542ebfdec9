//! How the types of a heap changed between two looks at one process.
//!
//! Two [`Objects`] of one runtime -> the later one, whose rows have [`Growth`]. Pure. A type without a row in the earlier
//! look may have been among those that were only summed: that is in the error.

use std::{cmp::Reverse, collections::HashMap};

use super::{Growth, Objects, Row};
use crate::units::Bytes;

/// Sets the growth of the types of a heap, if it was among those of the earlier look.
pub fn since(before: &[Objects], after: &mut Objects) {
    let Some(before) = before.iter().find(|before| before.runtime == after.runtime) else { return };
    let rows: HashMap<&str, &Row> = before.rows.iter().map(|row| (row.name.as_str(), row)).collect();
    // What had no row was smaller than any that had, and not more than all of the rest.
    let smallest = before.rows.last().map_or(Bytes::default(), |row| row.bytes.min(before.others.bytes));
    let unseen = Row { bytes: smallest, count: before.others.count, ..Row::default() };
    for row in &mut after.rows {
        row.growth = Some(match rows.get(row.name.as_str()) {
            Some(old) => between(old, row),
            None => at_least(&unseen, row),
        });
    }
}

fn between(old: &Row, new: &Row) -> Growth {
    Growth {
        bytes: difference(new.bytes.0, old.bytes.0),
        error_bytes: Bytes(new.error_bytes.0.saturating_add(old.error_bytes.0)),
        count: difference(new.count, old.count),
        error_count: new.error_count.saturating_add(old.error_count),
    }
}

/// It had anything up to `most`: the figure is the middle.
fn at_least(most: &Row, new: &Row) -> Growth {
    let (bytes, count) = (most.bytes.0 / 2, most.count.min(new.count) / 2);
    let middle = Row { bytes: Bytes(bytes), count, ..Row::default() };
    let growth = between(&middle, new);
    Growth {
        error_bytes: Bytes(growth.error_bytes.0.saturating_add(most.bytes.0.div_ceil(2))),
        error_count: growth.error_count.saturating_add(most.count.div_ceil(2)),
        ..growth
    }
}

fn difference(new: u64, old: u64) -> i64 {
    i64::try_from(i128::from(new) - i128::from(old)).unwrap_or(if new > old { i64::MAX } else { i64::MIN })
}

/// The rows by growth, the largest first; those without growth by bytes, behind them.
pub fn by_growth(rows: &[Row]) -> Vec<&Row> {
    let mut rows: Vec<&Row> = rows.iter().collect();
    rows.sort_by_key(|row| Reverse((row.growth.map(|growth| growth.bytes), row.bytes)));
    rows
}

/// Keeps so many rows, half of them the largest, the others those that grew most, and adds the rest to the others.
pub fn keep(objects: &mut Objects, most: usize) {
    if objects.rows.len() <= most {
        return;
    }
    let grown = by_growth(&objects.rows).into_iter().map(|row| row.name.clone());
    let largest = objects.rows.iter().take(most / 2).map(|row| row.name.clone());
    let mut kept: Vec<String> = Vec::new();
    for name in largest.chain(grown) {
        if kept.len() < most && !kept.contains(&name) {
            kept.push(name);
        }
    }
    let (rows, rest): (Vec<Row>, Vec<Row>) =
        std::mem::take(&mut objects.rows).into_iter().partition(|row| kept.contains(&row.name));
    objects.rows = rows;
    for row in rest {
        let others = &mut objects.others;
        others.types = others.types.saturating_add(1);
        others.bytes = Bytes(others.bytes.0.saturating_add(row.bytes.0));
        others.count = others.count.saturating_add(row.count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocator::objects::Others;

    fn row(name: &str, bytes: u64, error: u64, count: u64) -> Row {
        Row { name: name.to_owned(), bytes: Bytes(bytes), error_bytes: Bytes(error), count, ..Row::default() }
    }

    fn heap(rows: Vec<Row>, others: Others) -> Objects {
        Objects { rows, others, ..Objects::empty("cpython") }
    }

    fn growth(bytes: i64, error: u64, count: i64, error_count: u64) -> Option<Growth> {
        Some(Growth { bytes, error_bytes: Bytes(error), count, error_count })
    }

    #[test]
    fn errors_of_both_looks_add_up() {
        let before = heap(vec![row("b", 500, 5, 5), row("a", 100, 10, 10)], Others::default());
        let mut after = heap(vec![row("a", 900, 20, 90), row("b", 300, 0, 3)], Others::default());
        since(&[before], &mut after);
        let rows = &after.rows;
        assert_eq!(rows[0].growth, growth(800, 30, 80, 0));
        assert_eq!(rows[1].growth, growth(-200, 5, -2, 0));
        assert_eq!(by_growth(rows)[0].name, "a");
    }

    #[test]
    fn a_type_that_had_no_row_was_small_or_not_there() {
        let before = heap(vec![row("b", 500, 0, 5)], Others::default());
        let mut after = heap(vec![row("a", 900, 0, 9), row("b", 500, 0, 5)], Others::default());
        since(&[before], &mut after);
        assert_eq!(after.rows[0].growth, growth(900, 0, 9, 0), "all types had rows");
        let others = Others { types: 3, bytes: Bytes(900), count: 4 };
        since(&[heap(vec![row("b", 500, 0, 5)], others)], &mut after);
        assert_eq!(after.rows[0].growth, growth(650, 250, 7, 2), "it had 500 bytes at most");
    }

    #[test]
    fn the_largest_and_those_that_grew_most_are_kept() {
        let before =
            heap((0..20).map(|at| row(&format!("t{at}"), 1000 - at, 0, 1)).collect(), Others::default());
        let rows =
            (0..20).map(|at| row(&format!("t{at}"), if at == 19 { 981 + 300 } else { 1000 - at }, 0, 1));
        let mut after = heap(rows.collect(), Others { types: 1, bytes: Bytes(7), count: 1 });
        since(&[before], &mut after);
        keep(&mut after, 4);
        let names: Vec<&str> = after.rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!((names.len(), names.contains(&"t0"), names.contains(&"t19")), (4, true, true));
        assert_eq!((after.others.types, by_growth(&after.rows)[0].name.as_str()), (17, "t19"));
    }

    #[test]
    fn another_runtime_has_no_growth() {
        let mut after = heap(vec![row("a", 900, 0, 9)], Others::default());
        let mut before = after.clone();
        before.runtime = "hotspot".to_owned();
        since(&[before], &mut after);
        assert_eq!(after.rows[0].growth, None);
    }
}
