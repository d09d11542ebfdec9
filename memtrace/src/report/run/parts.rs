//! The blocks about one run: its peak, what it was made of, its course, what the kernel counted.
//!
//! [`Run`] -> [`Block`]s.

use crate::{
    cgroup::charge::Charge,
    explain::{Explanation, Grown, Part},
    report::{
        block,
        describe::{figure, percent},
        document::{Block, Cell, Column, Fit, Table},
        stack::callers,
    },
    sizing::run::{Page, Run},
    units::{Bytes, Grade},
    verdict::rate,
};

/// The most rows of what a peak was made of, and of call stacks.
const MOST_PARTS: usize = 14;
const MOST_STACKS: usize = 5;
/// Levels of the drawing, lowest first.
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The peak, and the charge by kind near it.
pub(super) fn peak(run: &Run) -> Block {
    let mut block = Block::new("Peak");
    match run.peak {
        Some(peak) => {
            let by = match peak.grade {
                Grade::Read => "read: the kernel's own mark",
                _ => "sampled: the highest sample",
            };
            block.field("charge", format!("{} ({} bytes), {by}", peak.bytes, peak.bytes.0));
        }
        None => block.doubt("charge", "unknown"),
    }
    if let Some(firm) = run.course.firm_peak_bytes {
        block.field("firm memory", format!("{firm}, the highest of {} readings", run.course.samples));
    }
    let Some(reading) = &run.at_peak else {
        block.note("it ended before its memory was read by kind");
        return block;
    };
    let usage = reading.charge.usage_bytes;
    let of = usage.zip(run.peak).and_then(|(usage, peak)| percent(usage, peak.bytes));
    block.field(
        "by kind",
        format!(
            "after {:.2} s, when {} were charged{}",
            reading.at,
            figure(usage),
            of.map_or_else(String::new, |of| format!(" ({of} % of the peak)"))
        ),
    );
    kinds(&mut block, &reading.charge);
    block
}

/// The charge by kind, as a table.
pub(super) fn kinds(block: &mut Block, charge: &Charge) {
    let mut table = figures();
    let mut zero = Vec::new();
    for part in block::parts(charge) {
        match part.bytes {
            Some(Bytes(0)) => zero.push(part.name),
            bytes => table.row(row(part.name.to_owned(), bytes, charge.usage_bytes, Grade::Read)),
        }
    }
    block.table(table);
    block.absent(&zero);
}

/// The owners of the memory, when they were looked at last.
pub(super) fn made_of(run: &Run) -> Option<Block> {
    let look = run.look.as_ref()?;
    let Explanation { parts, total_bytes, growth, allocators, .. } = &look.explanation;
    let mut block = Block::new("What it was made of");
    let of = total_bytes.zip(run.peak).and_then(|(total, peak)| percent(total, peak.bytes));
    block.field(
        "looked at",
        format!(
            "after {:.2} s, {} charged{}",
            look.at,
            figure(*total_bytes),
            of.map_or_else(String::new, |of| format!(" ({of} % of the peak)"))
        ),
    );
    let mut table = figures();
    let owned = |part: &Part| [vec![part.clone()], part.parts.clone()].concat();
    let mut all: Vec<(bool, Part)> = Vec::new();
    for part in parts.iter().filter(|part| part.bytes.0 > 0) {
        let owned = owned(part);
        all.extend(owned.into_iter().enumerate().map(|(index, part)| (index > 0, part)));
    }
    let more = all.len().saturating_sub(MOST_PARTS);
    for (is_inner, part) in all.into_iter().take(MOST_PARTS) {
        let name = if is_inner { format!("- {}", part.what) } else { part.what };
        table.row(row(name, Some(part.bytes), *total_bytes, part.grade));
    }
    block.table(table);
    if more > 0 {
        block.note(format!("and {more} smaller parts in the JSON form"));
    }
    for holding in allocators {
        if let Some(free) = holding.free_resident_bytes.filter(|free| free.0 > 0) {
            block.field("slack", format!("{free} free inside {}, and kept by it", holding.allocator));
        }
    }
    let stacks = growth.iter().flat_map(|growth| &growth.stacks).take(MOST_STACKS);
    let lines: Vec<String> = stacks.map(stack).collect();
    if !lines.is_empty() {
        block.lines("grew at", lines);
    }
    Some(block)
}

fn stack(grown: &Grown) -> String {
    let [_, minute, _] = grown.stack.bytes;
    format!("{minute} {}: {}", grown.comm, callers(&grown.stack))
}

/// Start-up, plateau, growth, verdicts.
pub(super) fn course(run: &Run) -> Block {
    let course = &run.course;
    let mut block = Block::new("Course");
    if course.drawing.len() > 1 {
        block.field("usage", drawing(&course.drawing));
    }
    let seconds = |seconds: f64| format!("{seconds:.2} s");
    block.field("start-up", figure(course.startup_seconds.map(seconds)));
    block.field("plateau", figure(course.plateau_bytes));
    match course.growth() {
        Ok(growth) => block.field("growth", format!("{} at the end", rate(growth))),
        Err(why) => block.doubt("growth", format!("unknown: {why}")),
    }
    match (&course.leak, &course.no_leak_verdict) {
        (Some(_), _) => {}
        (None, Some(why)) => block.doubt("leak", format!("unknown: {why}")),
        (None, None) => block.field("leak", "none"),
    }
    for finding in &course.findings {
        block.note(finding.sentence.clone());
    }
    block
}

fn drawing(points: &[Option<Bytes>]) -> String {
    let most = points.iter().flatten().map(|bytes| bytes.0).max().unwrap_or(0).max(1);
    let level = |bytes: &Bytes| (u128::from(bytes.0) * 7).div_ceil(u128::from(most)) as usize;
    let mark = |point: &Option<Bytes>| {
        point.as_ref().and_then(|bytes| LEVELS.get(level(bytes).min(7))).copied().unwrap_or(' ')
    };
    points.iter().map(mark).collect()
}

/// What the kernel counted.
pub(super) fn kernel(page: &Page, run: &Run) -> Block {
    let mut block = Block::new("Counted by the kernel");
    block.field("OOM kills", figure(run.oom_kills));
    block.field("limit hits", figure(run.limit_hits));
    let stall = run.stall().map(|share| {
        format!("{:.2} s, {:.1} % of its time", run.stalled_seconds.unwrap_or_default(), share * 100.0)
    });
    let version = page.cgroup_version;
    block.field(
        "stalled",
        stall.unwrap_or_else(|| format!("unknown: cgroups of version {version} do not count it here")),
    );
    if let Some(outer) = &run.outer_limit {
        block.field("limit above it", format!("{} of {}", outer.bytes, outer.owner));
    }
    block.field("cgroup", &run.cgroup);
    block
}

pub(super) fn figures() -> Table {
    Table::new(vec![
        Column::left("", Fit::Rest),
        Column::right(""),
        Column::right(""),
        Column::left("", Fit::Whole),
        Column::left("", Fit::Whole),
    ])
}

pub(super) fn row(name: String, bytes: Option<Bytes>, whole: Option<Bytes>, grade: Grade) -> Vec<Cell> {
    let share = bytes.zip(whole).and_then(|(part, whole)| percent(part, whole));
    vec![
        name.into(),
        figure(bytes).into(),
        share.map(|share| format!("{share} %")).unwrap_or_default().into(),
        share.map_or_else(|| "".into(), Cell::Bar),
        Cell::Grade(grade),
    ]
}
