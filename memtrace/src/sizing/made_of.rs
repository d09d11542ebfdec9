//! What memory was made of, small enough to keep: parts, programs, allocators, call stacks by function.
//!
//! [`Explanation`] -> [`MadeOf`], bounded. Pure. Never an address: it is another one in the next process.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    explain::{Explanation, Grown, Holding, Member, Part},
    snapshot::UserFrame,
    text::{GAP, keep_start},
    units::Bytes,
};

/// The most of each list.
pub const MOST_STACKS: usize = 64;
const MOST_FRAMES: usize = 12;
const MOST_PARTS: usize = 32;
const MOST_ALLOCATORS: usize = 16;
const MOST_PROGRAMS: usize = 16;
/// Width of a function, a part, or a word of the command.
const WIDTH: usize = 100;
/// Parts beyond the largest.
pub const OTHERS: &str = "smaller parts";

/// What memory was made of at one instant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MadeOf {
    /// Seconds since the start of a run; 0 for what was not one.
    pub at: f64,
    /// What was charged then.
    pub total_bytes: Option<Bytes>,
    /// Its parts, largest first; with the remainder they add up to the total.
    pub parts: Vec<Amount>,
    /// The total without the parts.
    pub remainder_bytes: Option<i64>,
    /// Resident memory of the processes of each program, by name, largest first. Pages that they share count for each.
    #[serde(default)]
    pub programs: Vec<Amount>,
    /// The allocators, largest first.
    pub allocators: Vec<Held>,
    /// The call stacks that touched most new memory, largest first.
    pub stacks: Vec<Stack>,
    /// Stacks that had no room.
    pub stacks_left_out: usize,
}

/// A part of a sum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// What it is.
    pub what: String,
    /// How much.
    pub bytes: Bytes,
}

/// What an allocator held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Its name.
    pub allocator: String,
    /// Resident in its ranges.
    pub resident_bytes: Bytes,
    /// Allocated by the program.
    pub used_bytes: Option<Bytes>,
    /// Free, but resident.
    pub free_bytes: Option<Bytes>,
}

/// A call stack by function, so that it is the same in another process and another build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stack {
    /// What it touched in the minute before.
    pub bytes: Bytes,
    /// Functions, innermost first; the file where a function has no name.
    pub frames: Vec<String>,
}

impl MadeOf {
    /// What an explanation says, `at` seconds after the start.
    pub fn of(at: f64, explanation: &Explanation) -> Self {
        let Explanation { parts: all, total_bytes, remainder_bytes, allocators, growth, processes, .. } =
            explanation;
        let (stacks, stacks_left_out) = stacks(growth.iter().flat_map(|growth| &growth.stacks));
        let mut allocators: Vec<&Holding> = allocators.iter().collect();
        allocators.sort_by_key(|held| std::cmp::Reverse(held.resident_bytes));
        Self {
            at,
            total_bytes: *total_bytes,
            parts: parts(all),
            remainder_bytes: *remainder_bytes,
            programs: programs(processes),
            allocators: allocators.into_iter().take(MOST_ALLOCATORS).map(held).collect(),
            stacks,
            stacks_left_out,
        }
    }
}

/// Resident memory by the name of the program.
fn programs(processes: &[Member]) -> Vec<Amount> {
    let mut by_name: BTreeMap<&str, u64> = BTreeMap::new();
    for Member { comm, rss_bytes, .. } in processes {
        let bytes = by_name.entry(comm).or_default();
        *bytes = bytes.saturating_add(rss_bytes.unwrap_or_default().0);
    }
    let all = by_name.into_iter().filter(|(_, bytes)| *bytes > 0);
    bounded(all.map(|(name, bytes)| Amount { what: cut(name), bytes: Bytes(bytes) }).collect(), MOST_PROGRAMS)
}

/// The largest first; the smallest of many are one.
fn bounded(mut all: Vec<Amount>, most: usize) -> Vec<Amount> {
    all.sort_by_key(|amount| std::cmp::Reverse(amount.bytes));
    let others = all.split_off(all.len().min(most));
    let rest = others.iter().fold(0_u64, |sum, amount| sum.saturating_add(amount.bytes.0));
    if rest > 0 {
        all.push(Amount { what: OTHERS.to_owned(), bytes: Bytes(rest) });
    }
    all
}

fn held(held: &Holding) -> Held {
    Held {
        allocator: cut(&held.allocator),
        resident_bytes: held.resident_bytes,
        used_bytes: held.allocated_bytes,
        free_bytes: held.free_resident_bytes,
    }
}

/// The innermost parts; the smallest of many are one.
fn parts(all: &[Part]) -> Vec<Amount> {
    let inner = |part: &Part| if part.parts.is_empty() { vec![part.clone()] } else { part.parts.clone() };
    let parts = all.iter().flat_map(inner).filter(|part| part.bytes.0 > 0);
    bounded(parts.map(|part| Amount { what: cut(&part.what), bytes: part.bytes }).collect(), MOST_PARTS)
}

/// The stacks by function, equal ones added, largest first; and how many more there are.
fn stacks<'a>(grown: impl Iterator<Item = &'a Grown>) -> (Vec<Stack>, usize) {
    let mut by_frames: BTreeMap<Vec<String>, u64> = BTreeMap::new();
    for Grown { stack, .. } in grown {
        let [_, minute, _] = stack.bytes;
        let mut frames: Vec<String> = stack.frames.iter().map(function).collect();
        // Frames of one file without names say it once.
        frames.dedup();
        frames.truncate(MOST_FRAMES);
        let bytes = by_frames.entry(frames).or_default();
        *bytes = bytes.saturating_add(minute.0);
    }
    let mut all: Vec<Stack> =
        by_frames.into_iter().map(|(frames, bytes)| Stack { bytes: Bytes(bytes), frames }).collect();
    all.sort_by_key(|stack| std::cmp::Reverse(stack.bytes));
    let more = all.split_off(all.len().min(MOST_STACKS));
    (all, more.len())
}

/// Never an address: it is another one in the next process.
fn function(UserFrame { module, symbol, .. }: &UserFrame) -> String {
    let file = module.as_deref().and_then(|path| path.rsplit('/').next());
    match (symbol.as_deref().filter(|symbol| !symbol.is_empty()), file) {
        (Some(symbol), _) => cut(symbol),
        (None, Some(file)) => format!("[{}]", cut(file)),
        (None, None) => "[unknown]".to_owned(),
    }
}

/// Cut to the width of a kept name.
pub(super) fn cut(text: &str) -> String {
    keep_start(text, WIDTH, GAP)
}
