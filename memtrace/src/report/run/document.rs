//! The page of a run as a document.
//!
//! [`Page`] -> [`Document`]: the answer first, then what was allowed, the least limit, the runs, and the run with the
//! highest peak.

use super::parts::{course, kernel, made_of, peak};
use crate::{
    report::{
        describe::figure,
        diff,
        document::{Block, Cell, Column, Document, Fit, Table},
        style::Paint,
    },
    sizing::{
        diff::{Diff, Verdict},
        run::{
            End, Page, Run,
            advised::Advised,
            budget::{Judged, State},
            judge::BROKEN,
            search::Found,
        },
    },
    text::{GAP, keep_start},
    units::Bytes,
};

/// Width of the command in the last line.
const COMMAND: usize = 160;
/// Fewer runs do not show how they differ.
const ENOUGH: usize = 2;

pub(super) fn document(page: &Page) -> Document {
    let shown = page.shown();
    let mut blocks = vec![budget(&page.budget), search(page.search.as_ref()), advised(page), runs(page)];
    blocks.extend(page.against.iter().flat_map(diff::blocks).map(Some));
    if let Some(run) = shown {
        blocks.extend([Some(peak(run)), made_of(run), Some(course(run)), Some(kernel(page, run))]);
    }
    blocks.push(notes(page));
    Document {
        lead: lead(page, shown),
        blocks: blocks.into_iter().flatten().collect(),
        closing: closing(page),
    }
}

/// The answer: what failed, else the peak.
fn lead(page: &Page, shown: Option<&Run>) -> Vec<String> {
    let Some(run) = shown else { return vec!["the command was not run".to_owned()] };
    let mut lead: Vec<String> = page.runs.iter().filter_map(killed).take(1).collect();
    let broken = page.budget.iter().filter(|judged| judged.state == State::Broken);
    lead.extend(broken.map(|judged| {
        let seen = judged.seen.as_deref().unwrap_or("unknown");
        format!("budget broken: {} {seen}, allowed {}", judged.what, judged.allowed)
    }));
    lead.extend(page.against.iter().flat_map(against));
    lead.extend(page.search.as_ref().map(found));
    lead.push(summary(page, run));
    for record in page.runs.iter().flat_map(|run| &run.records) {
        lead.push(format!("{} (memtrace report show {})", record.sentence, record.id));
    }
    lead
}

/// How it differs from the baseline; A is that, and B this run.
pub(super) fn against(diff: &Diff) -> Vec<String> {
    let name = &diff.a.name;
    let before = match diff.verdict {
        Verdict::Regression => format!("more memory than {name}: "),
        Verdict::Improvement => format!("less memory than {name}: "),
        Verdict::NoChange | Verdict::NotEnoughData => format!("against {name}: "),
    };
    let mut lead = diff::lead(diff);
    if let Some(first) = lead.first_mut() {
        first.insert_str(0, &before);
    }
    lead
}

fn killed(run: &Run) -> Option<String> {
    let kills = run.oom_kills.filter(|kills| *kills > 0)?;
    // Where hits are not counted, the peak tells.
    let is_at = |limit: Bytes| {
        run.limit_hits.is_some_and(|hits| hits > 0) || run.peak.is_some_and(|peak| peak.bytes >= limit)
    };
    let at = match (run.limit_bytes, &run.outer_limit) {
        (Some(limit), _) if is_at(limit) => format!("at its limit of {limit}"),
        (_, Some(outer)) => format!("below its own limit: that of {} is {}", outer.owner, outer.bytes),
        _ => "without a limit of its own: the node ran out of memory".to_owned(),
    };
    let what = match (kills, run.end) {
        (_, End::Signalled(9)) => "the kernel killed it".to_owned(),
        (1, _) => "the kernel killed a process of it".to_owned(),
        (kills, _) => format!("the kernel killed {kills} processes of it"),
    };
    Some(format!("OOM kill: {what} {at}"))
}

fn found(found: &Found) -> String {
    let Some(Bytes(limit)) = found.limit_bytes else {
        let why = found.why.as_deref().unwrap_or("it failed with each limit that was tried");
        return format!("no limit was found: {why}");
    };
    let below = found.failed_bytes.map_or_else(
        || "nothing lower failed".to_owned(),
        |failed| format!("it failed with {} bytes ({failed})", failed.0),
    );
    let uneven = if found.is_uneven {
        "; what it needs differs from run to run: one limit failed once and was enough once"
    } else {
        ""
    };
    format!("the least limit is {limit} bytes ({}); {below}{uneven}", Bytes(limit))
}

fn summary(page: &Page, run: &Run) -> String {
    let peak = run.peak.map_or_else(|| "unknown".to_owned(), |peak| peak.bytes.to_string());
    let of = match (run.limit_bytes, run.peak) {
        (Some(limit), Some(peak)) => {
            format!(
                ", {} % of its limit of {limit}",
                u128::from(peak.bytes.0) * 100 / u128::from(limit.0.max(1))
            )
        }
        _ => String::new(),
    };
    let peak = match &page.spread {
        Some(spread) => format!(
            "median peak {} in {} runs ({} to {})",
            spread.median_bytes, spread.runs, spread.least_bytes, spread.most_bytes
        ),
        None => format!("peak {peak}{of}"),
    };
    format!("{peak}; {} after {:.1} s", ended(run.end), run.seconds)
}

pub(super) fn ended(end: End) -> String {
    match end {
        End::Exited(code) => format!("exit code {code}"),
        End::Signalled(signal) => format!("killed by signal {signal}"),
    }
}

fn budget(all: &[Judged]) -> Option<Block> {
    let mut table = Table::new(vec![
        Column::left("budget", Fit::Whole),
        Column::left("allowed", Fit::Whole),
        Column::left("seen", Fit::Whole),
        Column::left("", Fit::Whole),
        Column::left("", Fit::Rest),
    ]);
    for judged in all {
        let (word, paint) = match judged.state {
            State::Kept => ("kept", Paint::Plain),
            State::Unknown => ("unknown", Paint::Doubt),
            State::Broken => ("BROKEN", Paint::Culprit),
        };
        let cells: Vec<Cell> = vec![
            judged.what.as_str().into(),
            judged.allowed.as_str().into(),
            figure(judged.seen.as_deref()).into(),
            word.into(),
            judged.why.as_deref().unwrap_or_default().into(),
        ];
        match judged.state {
            State::Broken => table.marked("broken", cells, paint),
            _ => table.row(cells),
        }
    }
    block_of("Budget", table)
}

/// The curve: limit against time and stall, the lowest limit first.
fn search(found: Option<&Found>) -> Option<Block> {
    let found = found?;
    let mut table = Table::new(vec![
        Column::right("limit"),
        Column::right("time"),
        Column::right("stalled"),
        Column::left("", Fit::Whole),
        Column::left("", Fit::Rest),
    ]);
    let mut tries: Vec<_> = found.tries.iter().collect();
    tries.sort_by_key(|one| one.limit_bytes);
    let slowest = tries.iter().map(|one| one.seconds).fold(f64::MIN_POSITIVE, f64::max);
    for one in tries {
        let stall = one.stall.map(|stall| format!("{:.1} %", stall * 100.0));
        table.row(vec![
            one.limit_bytes.to_string().into(),
            format!("{:.2} s", one.seconds).into(),
            figure(stall).into(),
            Cell::Bar((one.seconds / slowest * 100.0) as u128),
            if one.lived { "enough".into() } else { one.why.as_deref().unwrap_or("failed").into() },
        ]);
    }
    let mut block = Block::new("Least limit");
    block.table(table);
    if let Some(why) = &found.why {
        block.note(why.clone());
    }
    Some(block)
}

/// A request and a limit, and what they are made of; or why there are none.
fn advised(page: &Page) -> Option<Block> {
    let mut block = Block::new("Advised");
    if let Some(advised) = &page.advised {
        let Advised { limit_bytes, request_bytes, peak_bytes, margin_bytes, margin_from, runs, .. } = advised;
        let cache = advised
            .cache_bytes
            .filter(|cache| cache.0 > 0)
            .map_or_else(String::new, |cache| format!(" + {cache} page cache (active at the peak)"));
        block.field(
            "limit",
            format!("{limit_bytes}: firm peak {peak_bytes}{cache} + {margin_bytes} ({margin_from})"),
        );
        block.field("request", request_bytes.to_string());
        if *runs < ENOUGH {
            block.note("of one run; --repeat 5 shows how much runs differ, and --find-limit what is enough");
        }
    } else {
        block.doubt("limit", format!("none: {}", page.not_advised.as_deref()?));
    }
    Some(block)
}

fn runs(page: &Page) -> Option<Block> {
    if page.runs.len() < 2 {
        return None;
    }
    let mut table = Table::new(vec![
        Column::right("run"),
        Column::right("peak"),
        Column::right("firm"),
        Column::right("time"),
        Column::left("", Fit::Whole),
    ]);
    for (index, run) in page.runs.iter().enumerate() {
        table.row(vec![
            (index + 1).to_string().into(),
            figure(run.peak.map(|peak| peak.bytes)).into(),
            figure(run.course.firm_peak_bytes).into(),
            format!("{:.1} s", run.seconds).into(),
            if run.was_killed() { "OOM kill".into() } else { ended(run.end).into() },
        ]);
    }
    let mut block = block_of("Runs", table)?;
    if let Some(spread) = &page.spread {
        block.field("spread", format!("median distance from the median {}", spread.deviation_bytes));
        if spread.is_uneven() {
            block.doubt("differs", "the peak differs from run to run: a limit needs room above the highest");
        }
    }
    Some(block)
}

fn notes(page: &Page) -> Option<Block> {
    let mut block = Block::new("Notes");
    for run in &page.runs {
        if run.left > 0 {
            block.note(format!(
                "{} processes were left when the command had ended, and were killed; --wait-all waits for them",
                run.left
            ));
        }
        for outside in &run.outside {
            block.note(format!("outside of the cgroup, and not in these figures: {outside}"));
        }
    }
    let mut all: Vec<&String> = page.runs.iter().flat_map(|run| &run.notes).chain(&page.notes).collect();
    all.dedup();
    for note in all {
        block.note(note.clone());
    }
    if page.swap == Some(true) {
        block.note("swap was allowed: what was swapped out is not in the peak");
    }
    (!block.items.is_empty()).then_some(block)
}

fn block_of(heading: &str, table: Table) -> Option<Block> {
    let mut block = Block::new(heading);
    block.table(table);
    (!block.items.is_empty()).then_some(block)
}

fn closing(page: &Page) -> String {
    let code = match page.exit_code {
        BROKEN => {
            "memtrace exits with 5: a budget was broken, it is a regression, or the kernel killed for memory"
                .to_owned()
        }
        code => format!("memtrace exits with {code}"),
    };
    format!("{}: {code}", keep_start(&page.command.join(" "), COMMAND, GAP))
}
