//! Baselines: a list, and one as a page.
//!
//! [`Kept`] -> text. Must not add information.

use super::parts::{figures, kinds, row};
use crate::{
    report::{
        describe::{figure, moment},
        document::{Block, Document},
        style::{Paint, Style},
        text as text_form,
    },
    sizing::{
        diff::side::Side,
        kept::{Kept, KeptSide},
        run::Reading,
        saved::{MadeOf, Saved},
    },
    text::{Align, GAP, columns, keep_start, printable},
    units::{Bytes, Grade},
    verdict::{rate, trend::median},
};

const TITLES: [&str; 6] = ["NAME", "SAVED", "PEAK", "PLATEAU", "TIME", "COMMAND"];
/// Width of the command in the list.
const COMMAND: usize = 60;
/// The most stacks, and functions of each, that the page shows.
const MOST_STACKS: usize = 8;
const CALLERS: usize = 4;

/// A table of all; those that cannot be read with the reason.
pub fn list(all: &[(String, Result<Kept, String>)], style: Style) -> String {
    let mut rows = vec![TITLES.map(str::to_owned).to_vec()];
    rows.extend(all.iter().map(|(name, saved)| match saved {
        Ok(Kept::Side(kept)) => vec![
            name.clone(),
            moment(kept.saved),
            String::new(),
            figure(level(&kept.side)),
            String::new(),
            keep_start(&printable(&kept.side.what), COMMAND, GAP),
        ],
        Ok(Kept::Run(saved)) => vec![
            name.clone(),
            moment(saved.saved),
            figure(saved.peak.map(|peak| peak.bytes)),
            figure(saved.plateau_bytes),
            format!("{:.1} s", saved.seconds),
            keep_start(&printable(&saved.command.join(" ")), COMMAND, GAP),
        ],
        Err(why) => {
            let blank = || String::new();
            vec![name.clone(), blank(), blank(), blank(), blank(), printable(why)]
        }
    }));
    let aligns = [Align::Left, Align::Left, Align::Right, Align::Right, Align::Right, Align::Left];
    let paints = std::iter::once(Paint::Heading)
        .chain(all.iter().map(|(_, saved)| if saved.is_ok() { Paint::Plain } else { Paint::Doubt }));
    let lines = columns(&aligns, &rows);
    lines.iter().zip(paints).map(|(line, paint)| style.paint(paint, line) + "\n").collect()
}

/// One on a page.
pub fn saved(kept: &Kept, style: Style) -> String {
    let document = match kept {
        Kept::Run(saved) => document(saved),
        Kept::Side(kept) => of_side(kept),
    };
    text_form::lay_out(&document, style)
}

/// The first figure, in the middle.
fn level(side: &Side) -> Option<Bytes> {
    let series = side.figures.first()?;
    let mut values: Vec<f64> = series.samples.iter().map(|sample| sample.bytes.0 as f64).collect();
    median(&mut values).map(|value| Bytes(value as u64))
}

fn of_side(kept: &KeptSide) -> Document {
    let KeptSide { name, saved, version, side, .. } = kept;
    let mut block = Block::new("Baseline");
    block.field("saved", format!("{} by memtrace {version}", moment(*saved)));
    for series in &side.figures {
        block.field(series.figure.name(), format!("{} values", series.samples.len()));
    }
    let mut table = figures();
    let whole = level(side);
    for kind in &side.kinds {
        table.row(row(kind.what.clone(), Some(kind.bytes), whole, Grade::Read));
    }
    block.table(table);
    block.known("page cache", side.page_cache_bytes);
    Document {
        lead: vec![format!("{name}: {}; level {}", side.what, figure(whole))],
        blocks: std::iter::once(block).chain(side.made_of.as_ref().map(made_of)).collect(),
        closing: format!("`memtrace diff {name} OTHER` compares it"),
    }
}

fn document(saved: &Saved) -> Document {
    let peak = figure(saved.peak.map(|peak| peak.bytes));
    let lead = format!(
        "{}: peak {peak}; {} after {:.1} s",
        saved.name,
        super::document::ended(saved.end),
        saved.seconds
    );
    let blocks =
        [Some(about(saved)), saved.at_peak.as_ref().map(at_peak), saved.made_of.as_ref().map(made_of)];
    Document {
        lead: vec![lead],
        blocks: blocks.into_iter().flatten().collect(),
        closing: printable(&saved.command.join(" ")),
    }
}

fn about(saved: &Saved) -> Block {
    let mut block = Block::new("Run");
    block.field("saved", format!("{} by memtrace {}", moment(saved.saved), saved.version));
    let exact = saved.peak.map(|peak| {
        let by = if peak.grade == Grade::Read { "read" } else { "sampled" };
        format!("{} ({} bytes), {by}", peak.bytes, peak.bytes.0)
    });
    block.field("peak", figure(exact));
    if let Some(spread) = &saved.spread {
        let (least, most) = (spread.least_bytes, spread.most_bytes);
        block.field(
            "peaks",
            format!("{} runs, {least} to {most}, median {}", spread.runs, spread.median_bytes),
        );
    }
    block.field("firm memory", figure(saved.firm_peak_bytes));
    block.field("start-up", figure(saved.startup_seconds.map(|seconds| format!("{seconds:.2} s"))));
    block.field("plateau", figure(saved.plateau_bytes));
    block.field("growth", figure(saved.growth_bytes_per_second.map(rate)));
    block.field("limit", saved.limit_bytes.map_or_else(|| "none".to_owned(), |limit| limit.to_string()));
    if let Some(least) = saved.least_limit_bytes {
        block.field("least limit", format!("{least} ({} bytes)", least.0));
    }
    if let Some(kills @ 1..) = saved.oom_kills {
        block.doubt("OOM kills", kills.to_string());
    }
    if saved.swap == Some(true) {
        block.note("swap was allowed: what was swapped out is not in the peak");
    }
    block
}

fn at_peak(Reading { at, charge }: &Reading) -> Block {
    let mut block = Block::new("By kind");
    block.field("read", format!("after {at:.2} s, when {} were charged", figure(charge.usage_bytes)));
    kinds(&mut block, charge);
    block
}

fn made_of(made_of: &MadeOf) -> Block {
    let mut block = Block::new("What it was made of");
    let total = made_of.total_bytes;
    if total.is_some() {
        block.field("looked at", format!("after {:.2} s, {} charged", made_of.at, figure(total)));
    }
    let mut table = figures();
    for part in &made_of.parts {
        table.row(row(part.what.clone(), Some(part.bytes), total, Grade::Measured));
    }
    block.table(table);
    for held in &made_of.allocators {
        if let Some(free @ Bytes(1..)) = held.free_bytes {
            block.field("slack", format!("{free} free inside {}", held.allocator));
        }
    }
    let stacks = made_of.stacks.iter().take(MOST_STACKS);
    let lines: Vec<String> = stacks
        .map(|stack| {
            let frames: Vec<&str> = stack.frames.iter().take(CALLERS).map(String::as_str).collect();
            format!("{}: {}", stack.bytes, frames.join(" < "))
        })
        .collect();
    if !lines.is_empty() {
        block.lines("grew at", lines);
    }
    block
}
