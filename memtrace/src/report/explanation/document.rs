//! An explanation as blocks of values, for a page of HTML.
//!
//! [`Explanation`] -> the blocks, the verdict first. Must not add information.

use jiff::Timestamp;

use crate::{
    explain::{Explanation, Grown, Holding, Part},
    report::{
        describe::percent,
        document::{Block, Cell, Column, Fit, Table},
        explanation::words,
        stack::callers,
        style::Paint,
    },
    units::Bytes,
    verdict::{Finding, Remedy},
};

/// Put before the name of a part of the part above it.
const INNER: &str = "– ";

/// What to make of the figures, and what to do.
pub(super) fn verdict(findings: &[Finding]) -> Block {
    let mut block = Block::new("Verdict");
    if findings.is_empty() {
        block.note(words::NOTHING_UNUSUAL);
    }
    for finding in findings {
        block.painted(finding.kind.name(), words::finding(finding), Paint::Culprit);
        for (text, setting) in finding.remedies.iter().map(Remedy::words) {
            block.field("try", text);
            block.known("setting", setting);
        }
        let mut table = Table::new(vec![
            Column::left("evidence", Fit::Rest),
            Column::right("value"),
            Column::left("grade", Fit::Whole),
        ]);
        for fact in &finding.evidence {
            table.row(vec![fact.what.as_str().into(), fact.value.as_str().into(), Cell::Grade(fact.grade)]);
        }
        block.table(table);
    }
    block
}

/// The total by kind, and each kind by owner.
pub(super) fn sum(explanation: &Explanation) -> Block {
    let mut block = Block::new(words::whole(explanation));
    let total = explanation.total_bytes.unwrap_or_default();
    let mut table = Table::new(vec![
        Column::left("what", Fit::Rest),
        Column::right("bytes"),
        Column::right("share"),
        Column::left("", Fit::Whole),
        Column::left("grade", Fit::Whole),
        Column::left("meaning", Fit::Rest),
    ]);
    let mut row = |part: &Part, before: &str| {
        let share = percent(part.bytes, total).unwrap_or_default();
        table.row(vec![
            format!("{before}{}", part.what).into(),
            part.bytes.to_string().into(),
            format!("{share} %").into(),
            Cell::Bar(share),
            Cell::Grade(part.grade),
            part.means.as_str().into(),
        ]);
    };
    for part in &explanation.parts {
        row(part, "");
        for inner in &part.parts {
            row(inner, INNER);
        }
    }
    explanation.remainder_bytes.map(words::remainder).iter().for_each(|remainder| row(remainder, ""));
    block.table(table);
    block
}

/// How it grows, and the functions that touched the memory.
pub(super) fn growth(explanation: &Explanation) -> Option<Block> {
    let growth = explanation.growth.as_ref()?;
    let now = words::growth(growth)?;
    let mut block = Block::new("Growth");
    block.note(now);
    let mut table = Table::new(vec![
        Column::right("10 s"),
        Column::right("1 min"),
        Column::right("10 min"),
        Column::left("process", Fit::Whole),
        Column::left("functions, innermost first", Fit::Path),
    ]);
    for Grown { pid, comm, stack } in &growth.stacks {
        let figures = stack.bytes.iter().map(|bytes| bytes.to_string().into());
        let names = [format!("{comm} ({pid})").into(), callers(stack).into()];
        table.row(figures.chain(names).collect());
    }
    block.table(table);
    Some(block)
}

/// What each allocator holds.
pub(super) fn allocators(holdings: &[Holding], now: Timestamp) -> Option<Block> {
    let mut block = Block::new("Allocators");
    for holding in holdings {
        block.painted(&words::title(holding), format!("{} resident", holding.resident_bytes), Paint::Heading);
        if let Some(reason) = &holding.absent {
            block.doubt("no counters", reason.as_str());
        }
        let mut table =
            Table::new(vec![Column::left("", Fit::Whole), Column::right(""), Column::left("", Fit::Rest)]);
        let bound = holding.exactness(now);
        for (name, bytes, means) in words::figures(holding, &bound) {
            if let Some(bytes) = bytes.filter(|bytes| bytes.0 > 0) {
                table.row(vec![name.trim().into(), bytes.to_string().into(), means.into()]);
            }
        }
        for arena in &holding.by_arena {
            let (bytes, means) = words::arena(arena);
            table.row(vec![format!("{INNER}{}", arena.name).into(), bytes.to_string().into(), means.into()]);
        }
        block.table(table);
        for missing in &holding.missing {
            block.doubt("unknown", missing.as_str());
        }
        let settings = words::settings(holding);
        block.known("settings", (!settings.is_empty()).then_some(settings));
    }
    (!holdings.is_empty()).then_some(block)
}

/// What the kernel can take back.
pub(super) fn pressure(explanation: &Explanation) -> Option<Block> {
    let Explanation { reclaimable, firm, .. } = explanation;
    let mut block = Block::new("Under memory pressure");
    for (name, parts) in [("the kernel can reclaim", reclaimable), ("cannot be reclaimed without swap", firm)]
    {
        let sum = parts.iter().fold(0, |sum: u64, part| sum.saturating_add(part.bytes.0));
        block.painted(name, Bytes(sum).to_string(), Paint::Heading);
        let mut table =
            Table::new(vec![Column::left("", Fit::Whole), Column::right(""), Column::left("", Fit::Rest)]);
        for part in parts {
            let figure = part.bytes.to_string();
            table.row(vec![part.what.as_str().into(), figure.into(), part.means.as_str().into()]);
        }
        block.table(table);
    }
    (!reclaimable.is_empty() || !firm.is_empty()).then_some(block)
}

/// What is not known, and why.
pub(super) fn notes(explanation: &Explanation) -> Option<Block> {
    let mut block = Block::new("Notes");
    explanation.notes.iter().for_each(|note| block.note(note.as_str()));
    (!explanation.notes.is_empty()).then_some(block)
}
