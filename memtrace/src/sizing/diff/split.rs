//! What a shift is made of: its parts by kind, owner, allocator, program and call stack.
//!
//! A shift and two [`Side`]s -> [`Split`]s. Pure. The parts and the remainder add up to the shift, to the byte. Parts were
//! read at one instant, the shift is of many: what they do not explain is the remainder.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::side::{Origin, Side, bounded};
use crate::{
    sizing::made_of::{Amount, Held, MadeOf, OTHERS, Stack},
    snapshot::is_own_function,
    units::{Bytes, Grade},
};

/// Parts of a charge that firm memory does not have.
const RECLAIMABLE: [&str; 3] = ["file cache, active", "file cache, inactive", "slab, reclaimable"];

/// What the parts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// Anonymous, shared, kernel memory.
    Kind,
    /// The owners of memory: heaps, stacks, kernel objects.
    Owner,
    /// Used and free memory of each allocator.
    Allocator,
    /// Resident memory of each program.
    Program,
    /// New memory of a minute by call stack.
    Stack,
}

/// The parts of a shift.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Split {
    /// What they are.
    pub by: By,
    /// Those that differ, the largest first.
    pub parts: Vec<Moved>,
    /// The shift without the parts.
    pub remainder_bytes: i64,
    /// How the figures were determined.
    pub grade: Grade,
}

/// A part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// What it is; of a call stack the functions, innermost first.
    pub what: Vec<String>,
    /// How much it is in A; `None` when it is not there.
    pub a_bytes: Option<Bytes>,
    /// How much it is in B.
    pub b_bytes: Option<Bytes>,
    /// The difference.
    pub bytes: i64,
}

/// The largest part of a split that goes the way of the shift.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mostly {
    /// The split.
    pub by: By,
    /// The part; of a call stack the program's own function.
    pub what: String,
    /// Its difference.
    pub bytes: i64,
}

/// What most of a shift is, by each split. Parts that are less than half of the shift tell little, and are left out.
pub fn mostly(splits: &[Split], shift: i64) -> Vec<Mostly> {
    let of = |split: &Split| {
        let first = split.parts.iter().find(|part| part.bytes.signum() == shift.signum())?;
        let is_much = first.bytes.unsigned_abs().saturating_mul(2) >= shift.unsigned_abs();
        let own = first.what.iter().find(|name| split.by == By::Stack && is_own_function(name));
        let what = own.or(first.what.first()).filter(|_| is_much && !first.is_others())?;
        Some(Mostly { by: split.by, what: what.clone(), bytes: first.bytes })
    };
    splits.iter().filter_map(of).collect()
}

/// All splits of which both sides know something.
pub fn splits(shift: i64, is_firm: bool, a: &Side, b: &Side) -> Vec<Split> {
    let mut all = Vec::new();
    if is_firm && !(a.kinds.is_empty() || b.kinds.is_empty()) {
        all.push(split(By::Kind, Grade::Read, shift, amounts(kinds(a, b)), amounts(kinds(b, a))));
    }
    let Some((a, b)) = a.made_of.as_ref().zip(b.made_of.as_ref()) else { return all };
    // Where one side has no owners at all, nobody looked at them; so for programs.
    if !(a.parts.is_empty() || b.parts.is_empty()) {
        all.push(split(By::Owner, Grade::Measured, shift, owners(a, is_firm), owners(b, is_firm)));
    }
    if !(a.allocators.is_empty() && b.allocators.is_empty()) {
        let sides = (held(&a.allocators, &b.allocators), held(&b.allocators, &a.allocators));
        all.push(split(By::Allocator, Grade::Read, shift, sides.0, sides.1));
    }
    if !(a.programs.is_empty() || b.programs.is_empty()) {
        all.push(split(By::Program, Grade::Read, shift, amounts(&a.programs), amounts(&b.programs)));
    }
    if !(a.stacks.is_empty() && b.stacks.is_empty()) {
        all.push(split(By::Stack, Grade::Sampled, shift, stacks(a), stacks(b)));
    }
    all
}

fn stacks(side: &MadeOf) -> Vec<(Vec<String>, u64)> {
    side.stacks.iter().map(|Stack { bytes, frames }| (frames.clone(), bytes.0)).collect()
}

fn amounts<'a>(all: impl IntoIterator<Item = &'a Amount>) -> Vec<(Vec<String>, u64)> {
    all.into_iter().map(|Amount { what, bytes }| (vec![what.clone()], bytes.0)).collect()
}

fn owners(side: &MadeOf, is_firm: bool) -> Vec<(Vec<String>, u64)> {
    let mut all = amounts(&side.parts);
    all.retain(|(what, _)| !is_firm || what.first().is_none_or(|what| !RECLAIMABLE.contains(&what.as_str())));
    all
}

/// An allocator's memory: used, free inside, and the rest; as a whole where a side that has it knows less.
fn held(all: &[Held], beside: &[Held]) -> Vec<(Vec<String>, u64)> {
    let is_told = |held: &Held| held.used_bytes.is_some() && held.free_bytes.is_some();
    let of = |held: &Held| {
        let Held { allocator, resident_bytes, used_bytes, free_bytes } = held;
        let other = beside.iter().find(|other| other.allocator == *allocator);
        let name = |what: &str| vec![format!("{allocator}: {what}")];
        let (Some(Bytes(used)), Some(Bytes(free)), true) =
            (used_bytes, free_bytes, other.is_none_or(is_told))
        else {
            return vec![(name("resident"), resident_bytes.0)];
        };
        let rest = resident_bytes.0.saturating_sub(used.saturating_add(*free));
        vec![(name("used"), *used), (name("free inside"), *free), (name("else"), rest)]
    };
    all.iter().flat_map(of).collect()
}

/// The kinds that are known of both; a look lists what is not 0.
fn kinds<'a>(of: &'a Side, beside: &Side) -> impl Iterator<Item = &'a Amount> {
    let names: BTreeSet<String> = beside.kinds.iter().map(|kind| kind.what.clone()).collect();
    let lists_all = beside.origin == Origin::Look;
    of.kinds.iter().filter(move |kind| lists_all || names.contains(&kind.what))
}

fn split(by: By, grade: Grade, shift: i64, a: Vec<(Vec<String>, u64)>, b: Vec<(Vec<String>, u64)>) -> Split {
    let mut sums: BTreeMap<Vec<String>, [Option<u64>; 2]> = BTreeMap::new();
    for (index, side) in [a, b].into_iter().enumerate() {
        for (what, bytes) in side {
            // Two parts of one name are one; the sum is bounded too.
            if let Some(sum) = sums.entry(what).or_default().get_mut(index) {
                *sum = Some(bounded(Bytes(sum.unwrap_or_default().saturating_add(bytes))).0);
            }
        }
    }
    let signed = |bytes: Option<u64>| i64::try_from(bytes.unwrap_or_default()).unwrap_or(i64::MAX);
    let moved = |(what, [a, b]): (Vec<String>, [Option<u64>; 2])| Moved {
        what,
        a_bytes: a.map(Bytes),
        b_bytes: b.map(Bytes),
        bytes: signed(b) - signed(a),
    };
    let mut parts: Vec<Moved> = sums.into_iter().map(moved).filter(|moved| moved.bytes != 0).collect();
    // What is small on one side may be named on the other.
    parts.sort_by_key(|moved| (moved.is_others(), std::cmp::Reverse(moved.bytes.unsigned_abs())));
    // At most some hundred parts of 2^53 bytes: this does not overflow.
    let remainder_bytes = shift - parts.iter().map(|moved| moved.bytes).sum::<i64>();
    Split { by, parts, remainder_bytes, grade }
}

impl Moved {
    fn is_others(&self) -> bool {
        self.what.first().is_some_and(|what| what == OTHERS)
    }
}
