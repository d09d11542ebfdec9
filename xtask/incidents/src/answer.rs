//! What memtrace says, in the form in which it is judged.
//!
//! The JSON of `memtrace report show` or of `memtrace explain` -> [`Answer`]. Pure. Must not know what is true.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A headline and what stands below it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Answer {
    /// The kind of the cause, or of the first finding; `none` where there is no finding.
    pub(crate) headline: String,
    /// `low`, `medium`, `high`.
    pub(crate) confidence: Option<Confidence>,
    pub(crate) sentence: String,
    /// Other causes or findings that it names.
    pub(crate) besides: Vec<String>,
    /// The allocator with most anonymous memory.
    pub(crate) owner: Option<String>,
    /// The part of the anonymous memory that has an owner, 0 to 1.
    pub(crate) owned: Option<f64>,
    /// The largest kind of memory.
    pub(crate) part: Option<String>,
    /// The program's own functions on the stack that is told, innermost first: the largest in which there is a file of its
    /// own.
    pub(crate) functions: Vec<String>,
    pub(crate) figures: BTreeMap<String, f64>,
    /// When the allocator's figures were read, by the clock since boot; `None` for a program that is at rest.
    pub(crate) figures_at: Option<u64>,
    /// When the charge by kind was read, likewise.
    pub(crate) charge_at: Option<u64>,
    /// The exact settings that it advises, in its order.
    pub(crate) settings: Vec<String>,
    /// All that it advises, in its order and in its words.
    pub(crate) advice: Vec<String>,
}

/// How sure it says it is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Confidence {
    Low,
    Medium,
    High,
}

/// Owners of anonymous memory that are no allocator.
const UNOWNED: [&str; 2] = ["unattributed", "heap"];
/// Owners of other memory.
const NOT_ANONYMOUS: [&str; 4] = ["module", "file", "shmem", "kernel"];
/// Files whose functions are no program's own, by the beginning of their name.
const LIBRARIES: [&str; 9] =
    ["ld-", "libc.", "libc-", "libstdc++", "libjemalloc", "libtcmalloc", "libjvm", "libpython", "libm."];
/// Functions that are no program's own, by the beginning of their name.
const LIBRARY_FUNCTIONS: [&str; 7] =
    ["std::", "void std::", "operator new", "__gnu_cxx", "runtime.", "malloc", "mem"];

/// Figures of the charge of the cgroup; others are the allocator's.
pub(crate) const OF_CHARGE: [&str; 5] = ["usage", "anon", "file", "shmem", "kernel"];

/// The record of a kill. `owner` is the allocator whose figures are asked for.
pub(crate) fn of_record(record: &Value, owner: Option<&str>) -> Answer {
    let cause = at(record, "cause");
    let memory = at(record, "victim_memory");
    let charge = at(record, "composition/charge");
    let rows = list(memory, "arenas").map(|row| (text(row, "allocator"), number(row, "resident_bytes")));
    let rows: Vec<_> = rows.filter(|(name, _)| !NOT_ANONYMOUS.contains(&name.as_str())).collect();
    let counters: Vec<&Value> = list(memory, "counters").collect();
    let mut figures = of_charge(charge);
    figures.extend(of_counters(counters.iter().copied().filter(|of| is_of(of, owner))));
    figures.extend(
        list(memory, "arenas")
            .next()
            .map(|_| ("resident".to_owned(), rows.iter().map(|(_, bytes)| bytes).sum())),
    );
    let killed = record.get("ktime_ns").and_then(Value::as_u64);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an age of seconds")]
    let before = |age: Option<f64>| Some(killed?.saturating_sub((age?.max(0.0) * 1e9) as u64));
    let figures_at = before(memory.get("counters_age_seconds").and_then(Value::as_f64));
    let charge_at = before(at(record, "composition").get("age_seconds").and_then(Value::as_f64));
    Answer {
        headline: text(cause, "kind"),
        confidence: confidence(cause),
        sentence: text(cause, "sentence"),
        besides: cause.get("doubt").map(|doubt| text(doubt, "kind")).into_iter().collect(),
        owner: largest(&rows),
        owned: owned(&rows),
        part: part(&figures),
        functions: told(list(memory, "growth_stacks")),
        figures,
        figures_at,
        charge_at,
        settings: settings(cause),
        advice: advice(cause),
    }
}

/// The page on a living target.
pub(crate) fn of_explanation(page: &Value, owner: Option<&str>) -> Answer {
    let mut findings = list(page, "findings");
    let first = findings.next();
    let rows = owners_of_parts(page);
    let mut figures = of_parts(page);
    figures.extend(of_counters(list(page, "allocators").filter(|of| is_of(of, owner))));
    let until = at(page, "growth").get("seconds_to_limit").and_then(Value::as_f64);
    figures.extend(until.map(|seconds| ("seconds_to_limit".to_owned(), seconds)));
    let stacks = list(at(page, "growth"), "stacks").filter_map(|grown| grown.get("stack"));
    Answer {
        headline: first.map_or_else(|| "none".to_owned(), |finding| text(finding, "kind")),
        confidence: first.and_then(confidence),
        sentence: first.map(|finding| text(finding, "sentence")).unwrap_or_default(),
        besides: findings.map(|finding| text(finding, "kind")).collect(),
        owner: largest(&rows),
        owned: owned(&rows),
        part: part(&figures),
        functions: told(stacks),
        figures,
        figures_at: None,
        charge_at: None,
        settings: list(page, "findings").flat_map(settings).collect(),
        advice: list(page, "findings").flat_map(advice).collect(),
    }
}

/// Kinds of findings that a single reading gives.
const OF_ONE_READING: [&str; 3] = ["retention", "coverage", "ceiling"];
/// Two readings of a program at rest differ by less.
const SAME_PERCENT: f64 = 2.0;
/// Smaller differences do not count, in bytes.
const SAME_BYTES: f64 = 1048576.0;

/// In what a page without a daemon differs from the daemon's; empty where both say the same. What needs history is left out.
pub(crate) fn differences(daemon: &Answer, alone: &Answer) -> Vec<String> {
    let kinds = |of: &Answer| -> Vec<String> {
        let all = [&of.headline].into_iter().chain(&of.besides);
        all.filter(|kind| OF_ONE_READING.contains(&kind.as_str())).cloned().collect()
    };
    let mut differences = Vec::new();
    if kinds(daemon) != kinds(alone) {
        differences.push(format!(
            "findings [{}], not [{}]",
            kinds(alone).join(", "),
            kinds(daemon).join(", ")
        ));
    }
    if daemon.owner != alone.owner {
        let name = |of: &Answer| of.owner.clone().unwrap_or_else(|| "none".to_owned());
        differences.push(format!("owner {}, not {}", name(alone), name(daemon)));
    }
    for (name, said) in daemon.figures.iter().filter(|(name, _)| *name != "seconds_to_limit") {
        let other = alone.figures.get(name);
        let is_same =
            |other: &f64| (other - said).abs() <= (said.abs() * SAME_PERCENT / 100.0).max(SAME_BYTES);
        if !other.is_some_and(is_same) {
            let other = other.map_or_else(|| "none".to_owned(), |other| format!("{other:.0}"));
            differences.push(format!("{name} {other}, not {said:.0}"));
        }
    }
    differences
}

/// Owners divide the anonymous memory of a cgroup, and all of a process.
fn owners_of_parts(page: &Value) -> Vec<(String, f64)> {
    let anonymous = list(page, "parts").find(|part| text(part, "what") == "anonymous memory");
    let parts: Vec<&Value> = match anonymous {
        Some(anonymous) => list(anonymous, "parts").collect(),
        None => list(page, "parts").collect(),
    };
    let name = |part: &Value| match text(part, "what").as_str() {
        "unknown owner" | "remainder" => "unattributed".to_owned(),
        what => what.to_owned(),
    };
    let others = ["programs and libraries", "mapped files", "shared memory", "pages mapped by the kernel"];
    let rows = parts.into_iter().map(|part| (name(part), number(part, "bytes")));
    rows.filter(|(name, _)| !others.contains(&name.as_str())).collect()
}

fn of_parts(page: &Value) -> BTreeMap<String, f64> {
    let names = [
        ("anonymous memory", "anon"),
        ("file cache, active", "file"),
        ("file cache, inactive", "file"),
        ("shared memory, tmpfs", "shmem"),
        ("kernel memory", "kernel"),
    ];
    let mut figures = BTreeMap::new();
    for part in list(page, "parts") {
        let what = text(part, "what");
        if let Some((_, name)) = names.iter().find(|(of, _)| *of == what) {
            *figures.entry((*name).to_owned()).or_default() += number(part, "bytes");
        }
    }
    figures.extend(page.get("total_bytes").and_then(Value::as_f64).map(|bytes| ("usage".to_owned(), bytes)));
    figures
}

fn of_charge(charge: &Value) -> BTreeMap<String, f64> {
    let sum = |names: &[&str]| {
        let known: Vec<f64> = names.iter().filter_map(|name| charge.get(name)?.as_f64()).collect();
        (!known.is_empty()).then(|| known.iter().sum::<f64>())
    };
    let kinds = [
        "kernel_stack",
        "page_tables",
        "slab_reclaimable",
        "slab_unreclaimable",
        "sock",
        "percpu",
        "vmalloc",
    ];
    let kinds = kinds.map(|kind| format!("{kind}_bytes"));
    let kinds: Vec<&str> = kinds.iter().map(String::as_str).collect();
    let known = [
        ("usage", sum(&["usage_bytes"])),
        ("anon", sum(&["anon_bytes"])),
        ("file", sum(&["active_file_bytes", "inactive_file_bytes"])),
        ("shmem", sum(&["shmem_bytes"])),
        ("kernel", sum(&["kernel_bytes"]).or_else(|| sum(&kinds))),
    ];
    known.into_iter().filter_map(|(name, bytes)| Some((name.to_owned(), bytes?))).collect()
}

/// Sums over the processes; a figure that one of them lacks is left out.
fn of_counters<'a>(counters: impl Iterator<Item = &'a Value>) -> BTreeMap<String, f64> {
    let fields = [
        ("allocated", "allocated_bytes"),
        ("free", "free_resident_bytes"),
        ("retained", "retained_bytes"),
        ("metadata", "metadata_bytes"),
    ];
    let mut figures = BTreeMap::new();
    for of in counters {
        for (name, field) in fields {
            if let Some(bytes) = of.get(field).and_then(Value::as_f64) {
                *figures.entry(name.to_owned()).or_default() += bytes;
            }
        }
        for setting in list(of, "settings").filter(|setting| text(setting, "name") == "MaxHeapSize") {
            figures
                .extend(text(setting, "value").parse().ok().map(|bytes: f64| ("heap_max".to_owned(), bytes)));
        }
    }
    figures
}

fn is_of(counters: &Value, owner: Option<&str>) -> bool {
    owner.is_none_or(|owner| text(counters, "allocator") == owner)
}

fn largest(rows: &[(String, f64)]) -> Option<String> {
    let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
    for (name, bytes) in rows {
        *sums.entry(name).or_default() += bytes;
    }
    sums.into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).map(|(name, _)| name.to_owned())
}

fn owned(rows: &[(String, f64)]) -> Option<f64> {
    let all: f64 = rows.iter().map(|(_, bytes)| bytes).sum();
    let unowned = rows.iter().filter(|(name, _)| UNOWNED.contains(&name.as_str()));
    (all > 0.0).then(|| 1.0 - unowned.map(|(_, bytes)| bytes).sum::<f64>() / all)
}

fn part(figures: &BTreeMap<String, f64>) -> Option<String> {
    let parts =
        ["anon", "file", "shmem", "kernel"].into_iter().filter_map(|name| Some((name, *figures.get(name)?)));
    parts.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(name, _)| name.to_owned())
}

/// What is told is the largest stack that is not all of libraries; that its functions have no names is no excuse.
fn told<'a>(stacks: impl Iterator<Item = &'a Value>) -> Vec<String> {
    main_stack(stacks).map(functions).unwrap_or_default()
}

fn main_stack<'a>(stacks: impl Iterator<Item = &'a Value>) -> Option<&'a Value> {
    let minute = |stack: &&Value| list(stack, "bytes").nth(1).and_then(Value::as_u64);
    let mut stacks: Vec<&Value> = stacks.filter(|stack| own(stack).next().is_some()).collect();
    stacks.sort_by_key(|stack| std::cmp::Reverse(minute(stack)));
    stacks.first().copied()
}

fn own(stack: &Value) -> impl Iterator<Item = &Value> {
    list(stack, "frames").filter(|frame| {
        let module = text(frame, "module");
        let file = module.rsplit('/').next().unwrap_or_default();
        !module.is_empty() && !LIBRARIES.iter().any(|library| file.starts_with(library))
    })
}

/// Whether names may still follow: those of a stack that began in the last second are looked up after the kill.
pub(crate) fn lacks_names(record: &Value) -> bool {
    let stacks = list(at(record, "victim_memory"), "growth_stacks");
    let told = main_stack(stacks);
    told.is_none_or(|stack| own(stack).any(|frame| text(frame, "symbol").is_empty()))
}

fn functions(stack: &Value) -> Vec<String> {
    let named = own(stack).map(|frame| text(frame, "symbol")).filter(|name| !name.is_empty());
    named.filter(|name| !LIBRARY_FUNCTIONS.iter().any(|of| name.starts_with(of))).collect()
}

fn settings(of: &Value) -> Vec<String> {
    list(of, "remedies").filter_map(|remedy| remedy.get("setting")?.as_str().map(str::to_owned)).collect()
}

fn advice(of: &Value) -> Vec<String> {
    list(of, "remedies").map(|remedy| text(remedy, "text")).collect()
}

fn confidence(of: &Value) -> Option<Confidence> {
    serde_json::from_value(of.get("confidence")?.clone()).ok()
}

/// What is at this path; null where there is nothing.
fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    static NOTHING: Value = Value::Null;
    path.split('/').try_fold(value, |value, key| value.get(key)).unwrap_or(&NOTHING)
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn number(value: &Value, key: &str) -> f64 {
    value.get(key).and_then(Value::as_f64).unwrap_or_default()
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
