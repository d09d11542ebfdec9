//! A saved run: what `memtrace run --save` keeps of a page, to compare a later one with.
//!
//! [`Page`] -> [`Saved`] <-> JSON of at most [`MOST_BYTES`]. Pure. docs/baseline.md describes the form.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use super::made_of::{Amount, Held, MadeOf, Stack};
use super::{
    made_of::cut,
    run::{End, Page, Peak, Reading, Run, firm_crest, spread::Spread},
};
use crate::units::Bytes;

/// The version of the form.
pub const SCHEMA: u32 = 1;
/// The most bytes of a saved run.
pub const MOST_BYTES: usize = 16 << 10;
/// The longest name.
const LONGEST_NAME: usize = 64;
/// The most words of the command.
const MOST_WORDS: usize = 16;
/// The most runs whose figures are kept one by one.
const MOST_RUNS: usize = 64;

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
    /// The highest charge of each run, if there were several; at most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peaks_bytes: Vec<Bytes>,
    /// The highest firm memory of each, between readings too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub firm_peaks_bytes: Vec<Bytes>,
    /// The level of the second half of each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plateaus_bytes: Vec<Bytes>,
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

/// Why a file is no saved run.
#[derive(Debug, thiserror::Error)]
pub enum Damaged {
    /// Another program has changed it.
    #[error("it is no saved run: {0}")]
    Form(String),
    /// A newer memtrace has saved it.
    #[error("its version is {0}, which is newer than this memtrace knows: use the one that wrote it")]
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

/// A figure of each of several runs, in their order; none for one run, or where a run lacks it.
fn of_each(page: &Page, figure: impl Fn(&Run) -> Option<Bytes>) -> Vec<Bytes> {
    let all: Option<Vec<Bytes>> = page.runs.iter().take(MOST_RUNS).map(figure).collect();
    all.filter(|all| all.len() > 1).unwrap_or_default()
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
            peaks_bytes: of_each(page, |run| Some(run.peak?.bytes)),
            firm_peaks_bytes: of_each(page, Run::firm_crest),
            plateaus_bytes: of_each(page, |run| run.course.plateau_bytes),
            spread: page.spread,
            least_limit_bytes: page.search.as_ref().and_then(|found| found.limit_bytes),
            firm_peak_bytes: course.firm_peak_bytes,
            plateau_bytes: course.plateau_bytes,
            startup_seconds: course.startup_seconds,
            growth_bytes_per_second: course.growth_bytes_per_second,
            at_peak: run.at_peak.clone(),
            made_of: run.look.as_ref().map(|look| MadeOf::of(look.at, &look.explanation)),
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

    /// The highest firm memory, between readings too.
    pub fn firm_crest(&self) -> Option<Bytes> {
        firm_crest(self.firm_peak_bytes, self.peak, self.at_peak.as_ref())
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

#[cfg(test)]
#[path = "saved_tests.rs"]
mod tests;
