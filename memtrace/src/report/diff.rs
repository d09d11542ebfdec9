//! A comparison: text, Markdown, HTML, and a flame graph of the difference.
//!
//! [`Diff`] -> a document -> one of its forms. Must not add information.

mod flame;

pub use self::flame::svg;
use super::{
    document::{Block, Cell, Column, Document, Fit, Table},
    html as html_form, markdown as markdown_form,
    style::{Paint, Style},
    text as text_form,
};
use crate::{
    report::describe::{figure, moment},
    sizing::diff::{
        About, Diff, Matched, Shift, Verdict,
        split::{By, Moved, Split},
    },
    units::Bytes,
    verdict::rate,
};

/// The most parts of a split, and functions of a call stack, that are shown.
const MOST_PARTS: usize = 8;
const CALLERS: usize = 5;
/// Parts that differ by less than this are shown in the JSON form only.
const SMALL: u64 = 64 << 10;

/// As text.
pub fn text(diff: &Diff, style: Style) -> String {
    text_form::lay_out(&document(diff), style)
}

/// As Markdown, for a pull request.
pub fn markdown(diff: &Diff) -> String {
    markdown_form::lay_out(&document(diff))
}

/// As one HTML file.
pub fn html(diff: &Diff) -> String {
    let title = format!("memtrace diff {} {}", diff.a.name, diff.b.name);
    html_form::page(&title, &document(diff), flame::drawing(diff).as_ref())
}

fn document(diff: &Diff) -> Document {
    Document {
        lead: lead(diff),
        blocks: blocks(diff),
        closing: format!("`memtrace diff {} {}`", diff.a.name, diff.b.name),
    }
}

/// The blocks of a comparison, which are also a part of the page of a run.
pub(in crate::report) fn blocks(diff: &Diff) -> Vec<Block> {
    let mut blocks = vec![compared(diff), figures(diff)];
    blocks.extend(diff.splits.iter().map(split));
    if !diff.notes.is_empty() {
        let mut notes = Block::new("What may mislead");
        diff.notes.iter().for_each(|note| notes.note(note.clone()));
        blocks.push(notes);
    }
    blocks
}

/// The answer, and what most of it is.
pub(in crate::report) fn lead(diff: &Diff) -> Vec<String> {
    let says = says(diff);
    let answer = match diff.verdict {
        Verdict::Regression | Verdict::Improvement => says,
        Verdict::NoChange => {
            let least = diff.detectable_bytes.map_or_else(String::new, |bytes| {
                format!("; a shift of {bytes}{} would have been shown", share(bytes.0, diff.shift.a_bytes))
            });
            format!("no change shown: {says}{least}")
        }
        Verdict::NotEnoughData => format!("not enough data: {}; so far {says}", missing(diff)),
    };
    let mut lead = vec![answer];
    let is_shown = matches!(diff.verdict, Verdict::Regression | Verdict::Improvement);
    let parts: Vec<String> = diff
        .mostly
        .iter()
        .map(|part| {
            let what = match part.by {
                By::Program => format!("program {}", part.what),
                By::Stack => format!("function {}", part.what),
                By::Kind | By::Owner | By::Allocator => part.what.clone(),
            };
            format!("{what} ({})", signed(part.bytes))
        })
        .collect();
    if is_shown && !parts.is_empty() {
        lead.push(format!("Most of it: {}.", parts.join(", ")));
    }
    lead
}

fn says(diff: &Diff) -> String {
    let Shift { bytes, interval_bytes, a_bytes, .. } = &diff.shift;
    let size = bytes.unsigned_abs();
    let by = format!("{}{}", Bytes(size), share(size, *a_bytes));
    let interval =
        interval_bytes.map_or_else(String::new, |ends| format!("; 95 % interval {}", interval(ends, *bytes)));
    match bytes.signum() {
        1 => format!("B uses {by} more than A{interval}"),
        -1 => format!("B uses {by} less than A{interval}"),
        _ => format!("B uses as much as A{interval}"),
    }
}

/// The interval, told in the direction of the shift.
fn interval([low, high]: [i64; 2], shift: i64) -> String {
    let (from, to) = if shift < 0 { (-high, -low) } else { (low, high) };
    format!("{} to {}", plain(from), plain(to))
}

fn plain(bytes: i64) -> String {
    let sign = if bytes < 0 { "-" } else { "" };
    format!("{sign}{}", Bytes(bytes.unsigned_abs()))
}

fn signed(bytes: i64) -> String {
    if bytes > 0 { format!("+{}", plain(bytes)) } else { plain(bytes) }
}

/// ` (12 %)`, or nothing where the whole is 0.
fn share(part: u64, whole: Bytes) -> String {
    if whole.0 == 0 {
        return String::new();
    }
    let percent = part as f64 * 100.0 / whole.0 as f64;
    if percent < 9.95 { format!(" ({percent:.1} %)") } else { format!(" ({percent:.0} %)") }
}

fn missing(diff: &Diff) -> String {
    let of =
        |(minutes, side): (u64, char)| (minutes > 0).then(|| format!("{minutes} more minutes of {side}"));
    let missing = diff.missing_minutes.unwrap_or_default();
    let parts: Vec<String> = missing.into_iter().zip(['A', 'B']).filter_map(of).collect();
    if parts.is_empty() { "nothing could be compared".to_owned() } else { parts.join(" and ") }
}

fn compared(diff: &Diff) -> Block {
    let mut block = Block::new("What was compared");
    block.field("A", about(&diff.a));
    block.field("B", about(&diff.b));
    block.field("figure", diff.shift.figure.name());
    block.field(
        "matched",
        match diff.matched {
            Matched::All => "every value of A with every value of B",
            Matched::Load => "values of the same load (busy CPUs)",
            Matched::Hour => "values of the same hour of the day",
            Matched::OtherHours => "all values, although they are of different times of day",
        },
    );
    block.field("counts from", format!("{} (2 % of the larger side, at least 4 MiB)", diff.threshold_bytes));
    block
}

fn about(about: &About) -> String {
    let mut parts = vec![format!("{}: {}", about.name, about.what)];
    if let Some((first, last)) = about.span {
        parts.push(format!("{} to {}", moment(first), moment(last)));
    }
    parts.extend(about.growth_bytes_per_second.map(|slope| format!("grows by {}", rate(slope))));
    parts.join(", ")
}

fn figures(diff: &Diff) -> Block {
    let mut block = Block::new("Figures");
    let mut table = Table::new(vec![
        Column::left("figure", Fit::Whole),
        Column::right("A"),
        Column::right("B"),
        Column::right("difference"),
        Column::left("95 % interval", Fit::Whole),
    ]);
    for (index, shift) in std::iter::once(&diff.shift).chain(&diff.also).enumerate() {
        let ends = shift.interval_bytes.map(|[low, high]| format!("{} to {}", signed(low), signed(high)));
        let cells: Vec<Cell> = vec![
            shift.figure.name().into(),
            shift.a_bytes.to_string().into(),
            shift.b_bytes.to_string().into(),
            signed(shift.bytes).into(),
            figure(ends).into(),
        ];
        match (index, diff.verdict) {
            (0, Verdict::Regression) => table.marked("regression", cells, Paint::Culprit),
            _ => table.row(cells),
        }
    }
    block.table(table);
    block
}

fn split(split: &Split) -> Block {
    let (heading, title) = match split.by {
        By::Kind => ("By kind", "kind"),
        By::Owner => ("By owner", "owner"),
        By::Allocator => ("By allocator", "allocator"),
        By::Program => ("By program, resident", "program"),
        By::Stack => ("By call stack, new memory of a minute", "call stack, innermost function first"),
    };
    let mut block = Block::new(heading);
    let mut table = Table::new(vec![
        Column::left(title, Fit::Rest),
        Column::right("A"),
        Column::right("B"),
        Column::right("difference"),
        Column::left("", Fit::Whole),
    ]);
    let is_small = |moved: &&Moved| moved.bytes.unsigned_abs() < SMALL;
    let shown = split.parts.iter().filter(|moved| !is_small(moved)).take(MOST_PARTS);
    let mut sum = 0_i64;
    for moved in shown {
        sum += moved.bytes;
        let of = |bytes: Option<Bytes>| bytes.map_or_else(|| "-".to_owned(), |bytes| bytes.to_string());
        let frames: Vec<&str> = moved.what.iter().take(CALLERS).map(String::as_str).collect();
        table.row(vec![
            frames.join(" < ").into(),
            of(moved.a_bytes).into(),
            of(moved.b_bytes).into(),
            signed(moved.bytes).into(),
            Cell::Grade(split.grade),
        ]);
    }
    let all: i64 = split.parts.iter().map(|moved| moved.bytes).sum();
    let mut rest = |what: &str, bytes: i64| {
        let blank = || Cell::from(String::new());
        table.row(vec![what.into(), blank(), blank(), signed(bytes).into(), blank()]);
    };
    if all != sum {
        rest("smaller differences", all - sum);
    }
    rest("not in these parts", split.remainder_bytes);
    block.table(table);
    block
}

#[cfg(test)]
mod tests;
