//! Spans and versions of a workload's history: `WORKLOAD`, `WORKLOAD@SPAN`, `WORKLOAD@VERSION`.
//!
//! The store and a word -> [`Side`], or nothing where no workload is named. Must not write to the store.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use anyhow::anyhow;
use jiff::{SignedDuration, Timestamp};

use crate::{
    cli::{Failure, report::When},
    container::workload::Workload,
    history::lasting::slot_of,
    sizing::diff::{history::Gathered, side::Side},
    store::{Store, StoreError, workload_rows::DAYS},
};

/// What of a workload's history is meant.
#[derive(Clone, Debug, PartialEq)]
enum Part {
    /// Its newest version.
    Newest,
    /// The version before that.
    Previous,
    /// Rows since and before these times, of all versions.
    Span(Option<When>, Option<When>),
    /// The version with this image, or with this text in its name.
    Image(String),
}

impl Part {
    fn of(text: &str) -> Self {
        match text {
            "newest" => Self::Newest,
            "previous" => Self::Previous,
            _ => span(text).unwrap_or_else(|| Self::Image(text.to_owned())),
        }
    }
}

/// `A..B`, `A..`, `..B`, or `A` for since A.
fn span(text: &str) -> Option<Part> {
    let (from, until) = text.split_once("..").unwrap_or((text, ""));
    let when = |text: &str| if text.is_empty() { Some(None) } else { When::parse(text).ok().map(Some) };
    match (when(from)?, when(until)?) {
        (None, None) => None,
        (from, until) => Some(Part::Span(from, until)),
    }
}

/// Rows of a version of the workload.
#[derive(Default)]
struct Version {
    rows: Gathered,
    last: u32,
}

/// The side; `None` when no workload of the history is named, or there is no history.
pub(super) fn side(state_dir: &Path, word: &str, now: Timestamp) -> Result<Option<Side>, Failure> {
    let store = match Store::open_read_only(state_dir) {
        Ok(store) => store,
        Err(StoreError::Missing { .. }) => return Ok(None),
        Err(error) if error.is_denied() => return Err(Failure::NotPermitted(error.into())),
        Err(error) => return Err(Failure::Failed(error.into())),
    };
    let failed = |error: StoreError| Failure::Failed(error.into());
    // From the last row that there can be: the workloads alone.
    let known = RefCell::new(BTreeSet::new());
    let note = |workload: &Workload| known.borrow_mut().insert(workload.label());
    store.each_row(u32::MAX, u32::MAX, note, |_, _| {}).map_err(failed)?;
    let Some((label, part)) = meant(word, &known.into_inner())? else { return Ok(None) };
    let oldest = now.checked_sub(SignedDuration::from_hours(i64::from(DAYS) * 24)).unwrap_or(Timestamp::MIN);
    let slot = |when: When| slot_of(when.at(now).as_second());
    let (from, until) = match part {
        Part::Span(from, until) => (from.map(slot), until.map(slot)),
        _ => (None, None),
    };
    let mut versions: BTreeMap<Workload, Version> = BTreeMap::new();
    store
        .each_row(
            from.unwrap_or_else(|| slot_of(oldest.as_second())),
            u32::MAX,
            |workload| workload.label() == label,
            |workload, row| {
                if until.is_none_or(|until| row.slot < until) {
                    let version = if matches!(part, Part::Span(..)) {
                        // One side of all versions; which they are is said where there is one.
                        versions.entry(Workload { image: String::new(), ..workload.clone() })
                    } else {
                        versions.entry(workload.clone())
                    };
                    let version = version.or_default();
                    version.last = row.slot;
                    version.rows.push(&row);
                }
            },
        )
        .map_err(failed)?;
    let (workload, rows) = chosen(versions, &part, &label)?;
    Ok(Some(rows.side(word, &workload, &told(&part))))
}

/// The version that is meant, of those that have rows.
fn chosen(
    versions: BTreeMap<Workload, Version>,
    part: &Part,
    label: &str,
) -> Result<(Workload, Gathered), Failure> {
    let mut all: Vec<(Workload, Version)> = versions.into_iter().collect();
    all.sort_by_key(|(_, version)| std::cmp::Reverse(version.last));
    let names =
        all.iter().map(|(workload, _)| shown(&workload.image).to_owned()).collect::<Vec<_>>().join(", ");
    let found = match part {
        Part::Newest | Part::Span(..) => (!all.is_empty()).then_some(0),
        Part::Previous => (all.len() > 1).then_some(1),
        Part::Image(text) => {
            let matches: Vec<usize> = all
                .iter()
                .enumerate()
                .filter(|(_, (workload, _))| workload.image.contains(text.as_str()))
                .map(|(index, _)| index)
                .collect();
            let exact = all.iter().position(|(workload, _)| workload.image == *text);
            match (exact, matches.as_slice()) {
                (Some(index), _) => Some(index),
                (None, [index]) => Some(*index),
                (None, []) => None,
                (None, _) => {
                    return Err(Failure::Usage(anyhow!(
                        "{label} has several versions with {text:?} in their name: {names}; give more of it"
                    )));
                }
            }
        }
    };
    match found {
        Some(index) => {
            let (workload, version) = all.swap_remove(index);
            Ok((workload, version.rows))
        }
        None if all.is_empty() => Err(Failure::Failed(anyhow!(
            "{label} has no rows {}: `memtrace export rows` shows the times that there are",
            told(part)
        ))),
        None => Err(Failure::Failed(anyhow!("{label} has no such version; it has {names}"))),
    }
}

fn shown(image: &str) -> &str {
    if image.is_empty() { "one without a name" } else { image }
}

/// The label and the part that a word means: an exact label, then one label that contains it. `@` may be in a label, as in
/// `getty@tty1.service`.
fn meant(word: &str, known: &BTreeSet<String>) -> Result<Option<(String, Part)>, Failure> {
    let splits = || {
        let cut = |(at, _): (usize, &str)| Some((word.get(..at)?, word.get(at + 1..)?));
        std::iter::once((word, "newest")).chain(word.match_indices('@').filter_map(cut))
    };
    if let Some((label, part)) = splits().find(|(label, _)| known.contains(*label)) {
        return Ok(Some((label.to_owned(), Part::of(part))));
    }
    for (text, part) in splits().filter(|(text, _)| !text.is_empty()) {
        let mut found = known.iter().filter(|label| label.contains(text));
        match (found.next(), found.next()) {
            (Some(label), None) => return Ok(Some((label.clone(), Part::of(part)))),
            (Some(one), Some(other)) => {
                return Err(Failure::Usage(anyhow!(
                    "{text:?} is in the names of several workloads, such as {one} and {other}: give more of the name"
                )));
            }
            _ => {}
        }
    }
    Ok(None)
}

/// The part, for people.
fn told(part: &Part) -> String {
    let when = |when: &When| match when {
        When::At(time) => time.strftime("%F %R UTC").to_string(),
        When::Ago(age) => format!("{} ago", age_of(*age)),
    };
    match part {
        Part::Span(Some(from), Some(until)) => format!("from {} to {}", when(from), when(until)),
        Part::Span(Some(from), None) => format!("since {}", when(from)),
        Part::Span(None, Some(until)) => format!("before {}", when(until)),
        _ => format!("of the last {DAYS} days"),
    }
}

fn age_of(age: SignedDuration) -> String {
    let seconds = age.as_secs();
    let units = [(86_400, "days"), (3_600, "hours"), (60, "minutes")];
    let unit = units.into_iter().find(|(length, _)| seconds >= *length && seconds % length == 0);
    unit.map_or_else(|| format!("{seconds} seconds"), |(length, name)| format!("{} {name}", seconds / length))
}

/// Why there is no side.
pub(super) fn unknown(state_dir: &Path, word: &str) -> anyhow::Error {
    anyhow!(
        "no workload of the history in {} is named {word:?}: `memtrace advise` lists them; the daemon stores the first \
         rows five minutes after its start",
        state_dir.display()
    )
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
