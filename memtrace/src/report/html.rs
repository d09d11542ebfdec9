//! One kill as an HTML page: a single file without network access, scripts or other files; for light and dark screens
//! and for paper. Also its contents alone, for the pages that the daemon serves.
//!
//! `&OomRecord` -> HTML. The template escapes all text; the two drawings are templates too (`plot`, `flame`). The
//! page's policy forbids scripts and requests. No element has a style of its own: the daemon's policy forbids that.

mod flame;
mod plot;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{
    block::{self, Part, parts},
    describe::{UNKNOWN, figure, moment, percent},
    document::{Block, Cell, Column, Document, Figure, Fit, Item, Row, Table},
    style::Paint,
};
use crate::{
    container::name::Name,
    oom::record::{
        OomRecord,
        circumstances::{Composition, Source},
    },
    snapshot::GrowthStack,
    text::{Align, printable},
    verdict::Confidence,
};

/// The style sheet of all pages.
pub const STYLE: &str = include_str!("html/style.css");
/// No scripts and no requests: images must be embedded.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/// Writes the page of one kill.
pub fn html(record: &OomRecord, again: Option<&str>) -> String {
    framed(&format!("OOM kill {}", printable(&record.id)), &kill(record, again))
}

/// The contents of the page of one kill.
pub fn kill(record: &OomRecord, again: Option<&str>) -> Markup {
    let Document { lead, blocks, closing } = block::document(record, again);
    let (first, rest) =
        lead.split_first().map_or((String::new(), &[][..]), |(first, rest)| (first.clone(), rest));
    html! {
        header {
            p.kicker { "OOM kill, " (moment(record.time)) ", record " (printable(&record.id)) }
            h1 { (printable(&first)) }
            @for paragraph in rest { p.lead { (printable(paragraph)) } }
            (chips(record))
            (tiles(record))
        }
        @for block in &blocks { (section(block, block.figure.and_then(|figure| draw(record, figure)))) }
        (footer(&closing))
    }
}

/// A page with these contents.
fn framed(title: &str, contents: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            (head(title))
            body { main { (contents) } }
        }
    };
    page.into_string()
}

/// The head of a page.
fn head(title: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta http-equiv="Content-Security-Policy" content=(POLICY);
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="generator" content="memtrace";
            link rel="icon" href="data:,";
            title { (title) }
            style { (PreEscaped(STYLE)) }
        }
    }
}

/// The foot of a page.
pub(super) fn footer(closing: &str) -> Markup {
    html! {
        footer {
            p { (closing) }
            p {
                "Every figure has a grade: "
                (grade("read")) " by the kernel or an allocator itself, "
                (grade("measured")) " from page tables, "
                (grade("sampled")) " from samples, "
                (grade("inferred")) " by a rule. Unknown figures are shown as unknown, never as 0."
            }
        }
    }
}

/// Writes a document without drawings of a record as a page; `drawing` is put above its first block.
pub(super) fn page(title: &str, document: &Document, drawing: Option<&Markup>) -> String {
    framed(title, &contents(title, document, drawing))
}

/// The contents of such a page.
pub(super) fn contents(title: &str, document: &Document, drawing: Option<&Markup>) -> Markup {
    let Document { lead, blocks, closing } = document;
    html! {
        header {
            p.kicker { (printable(title)) }
            @for (index, paragraph) in lead.iter().enumerate() {
                @if index == 0 { h1 { (printable(paragraph)) } } @else { p.lead { (printable(paragraph)) } }
            }
        }
        @if let Some(drawing) = drawing { section { (drawing) } }
        @for block in blocks { (section(block, None)) }
        (footer(closing))
    }
}

fn chips(record: &OomRecord) -> Markup {
    let circumstances = &record.circumstances;
    let label = circumstances.container.as_ref().and_then(Name::label);
    html! {
        div.chips {
            @if let Some(cause) = &circumstances.cause {
                span.chip.culprit { (cause.kind.label()) }
                span.chip {
                    "confidence: "
                    (match cause.confidence {
                        Confidence::Low => "low",
                        Confidence::Medium => "medium",
                        Confidence::High => "high",
                    })
                }
            }
            @if let Some(label) = label { span.chip { (printable(&label)) } }
            @if circumstances.source == Source::KernelLog { span.chip { "from the kernel log" } }
        }
    }
}

fn tiles(record: &OomRecord) -> Markup {
    let owner = record.limit_owner.as_ref();
    let (limit, usage) =
        (owner.and_then(|owner| owner.limit_bytes), owner.and_then(|owner| owner.usage_bytes));
    let share = usage.zip(limit).and_then(|(usage, limit)| percent(usage, limit));
    let tile = |figure: Option<String>, what: String| {
        html! { @if let Some(figure) = figure { div.tile { b { (figure) } span { (what) } } } }
    };
    let used = share.map_or_else(|| "in use".to_owned(), |share| format!("in use, {share} % of the limit"));
    html! {
        div.tiles {
            (tile(limit.map(|bytes| bytes.to_string()), "limit that was hit".to_owned()))
            (tile(usage.map(|bytes| bytes.to_string()), used))
            (tile(record.victim.memory.rss().map(|bytes| bytes.to_string()), "resident in the victim".to_owned()))
            (tile(owner.and_then(|owner| owner.limit_hits).map(|hits| hits.to_string()), "times at the limit".to_owned()))
        }
    }
}

pub(super) fn section(block: &Block, drawing: Option<Markup>) -> Markup {
    let is_drawn = drawing.is_some() && block.figure == Some(Figure::Timeline);
    html! {
        section {
            h2 { (block.heading) }
            @if let Some(drawing) = &drawing { (drawing) }
            @for group in block.items.chunk_by(|a, b| is_field(a) && is_field(b)) {
                @if group.iter().all(is_field) {
                    dl { @for item in group { (field(item)) } }
                } @else {
                    @for item in group { (other(item, is_drawn)) }
                }
            }
        }
    }
}

fn is_field(item: &Item) -> bool {
    matches!(item, Item::Field { .. })
}

fn field(item: &Item) -> Markup {
    html! {
        @if let Item::Field { name, value, paint } = item {
            dt { (printable(name)) }
            dd.(class(*paint)) { (printable(value)) }
        }
    }
}

/// An item other than a field; `is_drawn` leaves out the text bars that a drawing replaces.
fn other(item: &Item, is_drawn: bool) -> Markup {
    html! {
        @match item {
            Item::Field { .. } => {},
            Item::Lines { .. } if is_drawn => {},
            Item::Lines { name, lines } => {
                p.note { (printable(name)) }
                pre tabindex="0" { @for line in lines { (printable(line)) "\n" } }
            },
            Item::Table(table) => (self::table(table)),
            Item::Note(text) => p.note { (printable(text)) },
        }
    }
}

fn table(table: &Table) -> Markup {
    html! {
        div.scroll tabindex="0" {
            table {
                @if table.has_titles() {
                    thead {
                        tr {
                            @for column in &table.columns {
                                @if column.title.is_empty() { td {} } @else { th.(align(column)) { (column.title) } }
                            }
                        }
                    }
                }
                tbody {
                    @for Row { mark, cells, paint } in &table.rows {
                        tr.(class(*paint)) .marked[mark.is_some()] title=[*mark] {
                            @for (cell, column) in cells.iter().zip(&table.columns) { (self::cell(cell, column)) }
                        }
                    }
                }
            }
        }
    }
}

fn cell(cell: &Cell, column: &Column) -> Markup {
    html! {
        td.(align(column)) {
            @match cell {
                Cell::Text(text) => (printable(text)),
                Cell::Grade(grade) => (self::grade(&grade.to_string())),
                Cell::Bar(share) => (meter(*share)),
            }
        }
    }
}

/// A share in percent as a bar; the figure is beside it.
pub fn meter(share: u128) -> Markup {
    html! {
        svg.meter viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true" {
            rect width=(share.min(100)) height="1" {}
        }
    }
}

fn align(column: &Column) -> &'static str {
    match (column.align, column.fit) {
        (Align::Right, _) => "right",
        (Align::Left, Fit::Path | Fit::Rest) => "path",
        (Align::Left, Fit::Whole | Fit::Cut(_)) => "left",
    }
}

fn class(paint: Paint) -> &'static str {
    match paint {
        Paint::Plain | Paint::Heading => "plain",
        Paint::Culprit => "culprit",
        Paint::Doubt => "doubt",
    }
}

fn grade(name: &str) -> Markup {
    html! { span.grade.(name) { (name) } }
}

fn draw(record: &OomRecord, figure: Figure) -> Option<Markup> {
    match figure {
        Figure::Timeline => plot::plots(&record.circumstances.timeline),
        Figure::Composition => record.circumstances.composition.as_ref().and_then(composition),
        Figure::Stacks => stacks(&record.circumstances.victim_memory.as_ref()?.growth_stacks),
    }
}

/// New memory by call stack, drawn; `None` without.
pub(super) fn stacks(stacks: &[GrowthStack]) -> Option<Markup> {
    let drawing = flame::graph(stacks)?;
    Some(html! {
        figure.flame tabindex="0" {
            (drawing)
            figcaption { "New memory by call stack over 10 minutes; the width is the amount of memory" }
        }
    })
}

/// The charge as one bar of its parts.
fn composition(composition: &Composition) -> Option<Markup> {
    let whole = composition.charge.usage_bytes.filter(|usage| usage.0 > 0)?;
    let parts: Vec<Part> =
        parts(&composition.charge).into_iter().filter(|part| part.bytes.is_some()).collect();
    let width = |part: &Part| 100.0 * part.bytes.unwrap_or_default().0 as f64 / whole.0 as f64;
    let share = |part: &Part| {
        part.bytes
            .and_then(|bytes| percent(bytes, whole))
            .map_or_else(|| UNKNOWN.to_owned(), |share| format!("{share} %"))
    };
    let mut left = 0.0;
    let places: Vec<(&Part, f64, f64)> = parts
        .iter()
        .map(|part| {
            let place = (part, left, width(part).min(100.0));
            left += place.2;
            place
        })
        .collect();
    Some(html! {
        figure {
            svg.stack viewBox="0 0 100 1" preserveAspectRatio="none" role="img" aria-label="charged memory by kind" {
                @for (part, left, width) in places {
                    rect.(part.key) x=(flame::figure(left)) width=(flame::figure(width)) height="1" {
                        title { (part.name) ": " (figure(part.bytes)) }
                    }
                }
            }
            ul.legend {
                @for part in &parts { li { i.(part.key) {} (part.name) " " (share(part)) } }
            }
        }
    })
}
