//! Sums by type over pieces of a heap, with the error of what was not read.
//!
//! Input: what each piece contains, by type. Output: [`Row`]s. Pure. Pieces are of strata (size classes), of which the
//! number of pieces is known: what a stratum holds is estimated from its own pieces only.

use std::collections::HashMap;

use super::{MOST_ROWS, Others, Row};
use crate::{
    allocator::counters::{error_bound, sampling::Sample},
    units::Bytes,
};

/// What one piece contains of one type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// The blocks of its instances.
    pub bytes: u64,
    /// Buffers that they hold elsewhere.
    pub held: u64,
    /// Instances.
    pub count: u64,
}

/// A type, by its place in the reader's list.
pub type Type = u32;

/// What is known of a stratum besides the pieces that were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stratum {
    /// How many pieces it has.
    pub pieces: u64,
    /// The largest possible part of one piece.
    pub most: Part,
    /// How much of it, of whatever type, was allocated or freed while it was read.
    pub moved: Part,
}

/// The sums of one type in one stratum. Pieces without this type are not in these samples until the end.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    bytes: Sample,
    held: Sample,
    count: Sample,
    most: Part,
}

/// The sums of all types.
#[derive(Debug, Default)]
pub struct Tally {
    types: HashMap<(Type, u8), Sums>,
    /// Of each stratum the pieces that were read.
    read: HashMap<u8, u64>,
}

/// An estimated sum with its error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figure {
    /// The sum.
    pub sum: u64,
    /// Its error.
    pub off: u64,
}

impl Figure {
    fn add(&mut self, (sum, off): (u64, u64)) {
        self.sum = self.sum.saturating_add(sum);
        self.off = self.off.saturating_add(off);
    }
}

impl Tally {
    /// Adds a piece of a stratum.
    pub fn add(&mut self, stratum: u8, piece: &HashMap<Type, Part>) {
        *self.read.entry(stratum).or_default() += 1;
        for (of, part) in piece {
            let sums = self.types.entry((*of, stratum)).or_default();
            sums.bytes.add(part.bytes);
            sums.held.add(part.held);
            sums.count.add(part.count);
            let most = &mut sums.most;
            *most = Part {
                bytes: most.bytes.max(part.bytes),
                held: most.held.max(part.held),
                count: most.count.max(part.count),
            };
        }
    }

    /// The pieces of a stratum that were read.
    pub fn read(&self, stratum: u8) -> u64 {
        self.read.get(&stratum).copied().unwrap_or_default()
    }

    /// The sums of all types: blocks, buffers, instances. Of buffers no largest is known, so that it is the largest that
    /// was seen. What moved meanwhile may be of any type. `is_at_rest` if nothing did.
    pub fn sums(&self, strata: impl Fn(u8) -> Stratum, is_at_rest: bool) -> HashMap<Type, [Figure; 3]> {
        let mut types: HashMap<Type, [Figure; 3]> = HashMap::new();
        for ((of, stratum), sums) in &self.types {
            let (Stratum { pieces: all, most, moved }, seen) = (strata(*stratum), self.read(*stratum));
            let of_all = |sample: Sample, most: u64| {
                sample.among(seen).of_all(all.max(seen), most).unwrap_or_default()
            };
            let [bytes, held, count] = types.entry(*of).or_default();
            bytes.add(of_all(sums.bytes, most.bytes.max(sums.most.bytes)));
            held.add(of_all(sums.held, sums.most.held));
            count.add(of_all(sums.count, most.count.max(sums.most.count)));
            let each = sums.held.sum / sums.count.sum.max(1);
            bytes.add((0, moved.bytes));
            held.add((0, each.saturating_mul(moved.count)));
            count.add((0, moved.count));
        }
        for Figure { sum, off } in types.values_mut().flatten() {
            *off = error_bound::bound(*sum, *off, is_at_rest).0;
        }
        types
    }
}

/// The largest types as rows, by name, and the sum of the others. Types with the same name are one row.
pub fn rows(types: impl Iterator<Item = (String, [Figure; 3])>) -> (Vec<Row>, Others) {
    let mut names: HashMap<String, [Figure; 3]> = HashMap::new();
    for (name, figures) in types {
        let named = names.entry(name).or_default();
        named.iter_mut().zip(figures).for_each(|(all, Figure { sum, off })| all.add((sum, off)));
    }
    let row = |(name, [bytes, held, count]): (String, [Figure; 3])| Row {
        name,
        bytes: Bytes(bytes.sum.saturating_add(held.sum)),
        held_bytes: Bytes(held.sum),
        error_bytes: Bytes(bytes.off.saturating_add(held.off)),
        count: count.sum,
        error_count: count.off,
        growth: None,
    };
    let mut rows: Vec<Row> = names.into_iter().map(row).collect();
    rows.sort_by(|a, b| (b.bytes, &a.name).cmp(&(a.bytes, &b.name)));
    let rest = rows.split_off(rows.len().min(MOST_ROWS));
    let others = rest.iter().fold(Others::default(), |sum, row| Others {
        types: sum.types + 1,
        bytes: Bytes(sum.bytes.0.saturating_add(row.bytes.0)),
        count: sum.count.saturating_add(row.count),
    });
    (rows, others)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(of: &[(Type, u64)]) -> HashMap<Type, Part> {
        of.iter().map(|(of, bytes)| (*of, Part { bytes: *bytes, held: 0, count: bytes / 16 })).collect()
    }

    fn of(pieces: u64) -> Stratum {
        Stratum { pieces, most: Part { bytes: 160, held: 0, count: 10 }, moved: Part::default() }
    }

    #[test]
    fn what_moved_meanwhile_may_be_of_any_type() {
        let mut tally = Tally::default();
        tally.add(1, &piece(&[(0, 160)]));
        let moved = Part { bytes: 32, held: 0, count: 2 };
        let sums = tally.sums(|_| Stratum { moved, ..of(1) }, false);
        let [bytes, _, count] = sums[&0];
        assert_eq!((bytes, count), (Figure { sum: 160, off: 35 }, Figure { sum: 10, off: 2 }));
    }

    #[test]
    fn all_pieces_read_is_exact() {
        let mut tally = Tally::default();
        tally.add(1, &piece(&[(0, 160)]));
        tally.add(1, &piece(&[(0, 32), (1, 64)]));
        tally.add(2, &piece(&[(1, 16)]));
        let sums = tally.sums(|stratum| of(if stratum == 1 { 2 } else { 1 }), true);
        let figure = |sum| Figure { sum, off: 0 };
        assert_eq!(sums[&0], [figure(192), figure(0), figure(12)]);
        assert_eq!(sums[&1], [figure(80), figure(0), figure(5)]);
    }

    #[test]
    fn a_part_of_the_pieces_tells_all_within_its_bound() {
        // Each third piece is full of type 0, the others of type 1; four in five are read.
        let mut tally = Tally::default();
        let read = (0..1000_u64).filter(|at| at % 5 != 0);
        read.for_each(|at| tally.add(1, &piece(&[((at % 3 != 0).into(), 160)])));
        let sums = tally.sums(|_| of(1000), true);
        let [bytes, _, count] = sums[&0];
        assert!(bytes.sum.abs_diff(334 * 160) <= bytes.off && bytes.off > 0, "{bytes:?}");
        assert!(count.sum.abs_diff(3340) <= count.off, "{count:?}");
    }

    #[test]
    fn types_of_one_name_are_one_row_and_small_ones_are_summed() {
        let figures = |bytes| [Figure { sum: bytes, off: 1 }, Figure::default(), Figure { sum: 1, off: 0 }];
        let many = (0..150_u64).map(|at| (format!("t{at:03}"), figures(1000 - at)));
        let twice = [("int".to_owned(), figures(600)), ("int".to_owned(), figures(500))];
        let (rows, others) = rows(many.chain(twice));
        assert_eq!(
            (rows.len(), rows[0].name.as_str(), rows[0].bytes, rows[0].count),
            (100, "int", Bytes(1100), 2)
        );
        assert_eq!((others.types, others.count, rows[0].error_bytes), (51, 51, Bytes(2)));
    }
}
