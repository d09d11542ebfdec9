//! A saved run: what `memtrace run --save` keeps of a page, to compare a later one with.
//!
//! [`Page`] -> [`Saved`] <-> JSON of at most [`MOST_BYTES`]. Pure. docs/baseline.md describes the form.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::run::{End, Look, Page, Peak, Reading, Run, spread::Spread};
use crate::{
    explain::{Explanation, Grown, Holding, Part},
    snapshot::UserFrame,
    text::{GAP, keep_start},
    units::Bytes,
};

/// The version of the form.
pub const SCHEMA: u32 = 1;
/// The most bytes of a saved run.
pub const MOST_BYTES: usize = 16 << 10;
/// The longest name.
const LONGEST_NAME: usize = 64;
/// The most of each list.
const MOST_STACKS: usize = 64;
const MOST_FRAMES: usize = 12;
const MOST_PARTS: usize = 32;
const MOST_ALLOCATORS: usize = 16;
const MOST_WORDS: usize = 16;
/// Width of a function, a part, or a word of the command.
const WIDTH: usize = 100;
/// Parts beyond the largest.
const OTHERS: &str = "smaller parts";

/// The run with the highest peak of a page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Its name.
    pub name: String,
    /// When it was saved.
    pub saved: Timestamp,
    /// The version of memtrace that saved it.
    pub version: String,
    /// The command, escaped; long ones are cut.
    pub command: Vec<String>,
    /// How it ended.
    pub end: End,
    /// From its start to its end.
    pub seconds: f64,
    /// Its limit.
    pub limit_bytes: Option<Bytes>,
    /// Whether it could use swap; `None` when the node has none.
    pub swap: Option<bool>,
    /// OOM kills in it.
    pub oom_kills: Option<u64>,
    /// The highest charge.
    pub peak: Option<Peak>,
    /// How the peaks differed, if there were several runs.
    pub spread: Option<Spread>,
    /// The least limit, if it was searched and found.
    pub least_limit_bytes: Option<Bytes>,
    /// The highest firm memory.
    pub firm_peak_bytes: Option<Bytes>,
    /// The level of the second half.
    pub plateau_bytes: Option<Bytes>,
    /// Seconds until nearly all of that was reached.
    pub startup_seconds: Option<f64>,
    /// Growth at the end, bytes a second.
    pub growth_bytes_per_second: Option<f64>,
    /// The charge by kind, at the highest reading.
    pub at_peak: Option<Reading>,
    /// What it was made of; `None` if nobody looked.
    pub made_of: Option<MadeOf>,
}

/// What a run's memory was made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MadeOf {
    /// Seconds since the start.
    pub at: f64,
    /// What was charged then.
    pub total_bytes: Option<Bytes>,
    /// Its parts, largest first; with the remainder they add up to the total.
    pub parts: Vec<Amount>,
    /// The total without the parts.
    pub remainder_bytes: Option<i64>,
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

/// Why a file is no saved run.
#[derive(Debug, thiserror::Error)]
pub enum Damaged {
    /// Another program has changed it.
    #[error("it is no saved run: {0}")]
    Form(String),
    /// A newer memtrace has saved it.
    #[error("its version is {0}, and this memtrace knows versions up to {SCHEMA}")]
    Newer(u32),
}

/// Checks a name, which is also the name of a file.
///
/// # Errors
/// When it cannot be one.
pub fn name(text: &str) -> Result<String, String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_name = !text.is_empty()
        && text.len() <= LONGEST_NAME
        && !text.starts_with(['.', '-'])
        && text.chars().all(is_allowed);
    is_name.then(|| text.to_owned()).ok_or_else(|| {
        format!("a name has letters, digits, '-', '_' and '.', does not begin with '.' or '-', and is at most {LONGEST_NAME} long")
    })
}

impl Saved {
    /// What is kept of a page; `None` if nothing was run.
    pub fn of(page: &Page, name: &str, now: Timestamp) -> Option<Self> {
        let run: &Run = page.shown()?;
        let course = &run.course;
        let mut saved = Self {
            schema: SCHEMA,
            name: name.to_owned(),
            saved: now,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            command: page.command.iter().take(MOST_WORDS).map(|word| cut(word)).collect(),
            end: run.end,
            seconds: run.seconds,
            limit_bytes: run.limit_bytes,
            swap: page.swap,
            oom_kills: run.oom_kills,
            peak: run.peak,
            spread: page.spread,
            least_limit_bytes: page.search.as_ref().and_then(|found| found.limit_bytes),
            firm_peak_bytes: course.firm_peak_bytes,
            plateau_bytes: course.plateau_bytes,
            startup_seconds: course.startup_seconds,
            growth_bytes_per_second: course.growth_bytes_per_second,
            at_peak: run.at_peak.clone(),
            made_of: run.look.as_ref().map(made_of),
        };
        saved.fit();
        Some(saved)
    }

    /// Its stored form; `None` if it does not fit, which [`Self::of`] rules out.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        serde_json::to_vec(self).ok().filter(|bytes| bytes.len() <= MOST_BYTES)
    }

    /// From the stored form.
    ///
    /// # Errors
    /// See [`Damaged`].
    pub fn read(bytes: &[u8]) -> Result<Self, Damaged> {
        #[derive(Deserialize)]
        struct Version {
            schema: u32,
        }
        if bytes.len() > MOST_BYTES {
            return Err(Damaged::Form(format!("it is larger than {}", Bytes(MOST_BYTES as u64))));
        }
        let form = |error: serde_json::Error| Damaged::Form(error.to_string());
        let Version { schema } = serde_json::from_slice(bytes).map_err(form)?;
        if schema > SCHEMA {
            return Err(Damaged::Newer(schema));
        }
        serde_json::from_slice(bytes).map_err(form)
    }

    /// Leaves out the smallest stacks until it fits.
    fn fit(&mut self) {
        while self.bytes().is_none() {
            let Some(made_of) = self.made_of.as_mut() else { return };
            if made_of.stacks.pop().is_none() {
                // Nothing else is as large, whatever the names in it.
                self.made_of = None;
                return;
            }
            made_of.stacks_left_out += 1;
        }
    }
}

fn made_of(Look { at, explanation }: &Look) -> MadeOf {
    let Explanation { parts: all, total_bytes, remainder_bytes, allocators, growth, .. } = explanation;
    let (stacks, stacks_left_out) = stacks(growth.iter().flat_map(|growth| &growth.stacks));
    let mut allocators: Vec<&Holding> = allocators.iter().collect();
    allocators.sort_by_key(|held| std::cmp::Reverse(held.resident_bytes));
    MadeOf {
        at: *at,
        total_bytes: *total_bytes,
        parts: parts(all),
        remainder_bytes: *remainder_bytes,
        allocators: allocators.into_iter().take(MOST_ALLOCATORS).map(held).collect(),
        stacks,
        stacks_left_out,
    }
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
    let mut parts: Vec<Part> = all.iter().flat_map(inner).filter(|part| part.bytes.0 > 0).collect();
    parts.sort_by_key(|part| std::cmp::Reverse(part.bytes));
    let others = parts.split_off(parts.len().min(MOST_PARTS));
    let rest = others.iter().fold(0_u64, |sum, part| sum.saturating_add(part.bytes.0));
    let mut amounts: Vec<Amount> =
        parts.into_iter().map(|part| Amount { what: cut(&part.what), bytes: part.bytes }).collect();
    if rest > 0 {
        amounts.push(Amount { what: OTHERS.to_owned(), bytes: Bytes(rest) });
    }
    amounts
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

fn cut(text: &str) -> String {
    keep_start(text, WIDTH, GAP)
}

#[cfg(test)]
#[path = "saved_tests.rs"]
mod tests;
