//! The cause: confidence, evidence, and what to do.
//!
//! [`Cause`] -> a block. Its sentence leads the report.

use crate::{
    oom::{
        cause::{Cause, CauseKind, Doubt},
        record::OomRecord,
    },
    report::{
        document::{Block, Cell, Column, Fit, Table},
        stack::callers,
        style::Paint,
    },
    snapshot::stack::told,
    text::Align,
    verdict::{Confidence, Fact, Remedy},
};

pub(super) fn why(record: &OomRecord, cause: &Cause) -> Block {
    let Cause { kind, confidence, sentence: _, evidence, remedies, doubt } = cause;
    let mut block = Block::new("Why");
    let paint = if *kind == CauseKind::Unknown { Paint::Doubt } else { Paint::Culprit };
    block.painted("cause", kind.label(), paint);
    block.field("confidence", sure(*confidence));
    if let Some(Doubt { kind, settled_by }) = doubt {
        block.field("or", kind.label());
        block.field("to tell which", settled_by.as_str());
    }
    let mut table = Table::new(vec![
        Column::left("", Fit::Rest),
        Column { title: "", align: Align::Right, fit: Fit::Cut(32) },
        Column::left("", Fit::Whole),
    ]);
    for Fact { what, value, grade } in evidence {
        table.row(vec![what.as_str().into(), value.as_str().into(), Cell::Grade(*grade)]);
    }
    block.table(table);
    for (text, setting) in remedies.iter().map(Remedy::words) {
        let setting = setting.map(|setting| format!(": {setting}")).unwrap_or_default();
        block.field("to do", format!("{text}{setting}"));
    }
    if let Some(place) = grew_at(record) {
        block.field("grew at", place);
    }
    block
}

/// The call stack with code of the program's own that touched most new memory.
fn grew_at(record: &OomRecord) -> Option<String> {
    let told = told(&record.circumstances.victim_memory.as_ref()?.growth_stacks)?;
    Some(format!("{} ({} in the last minute)", callers(told.stack), told.amount()))
}

fn sure(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::Low => "low: other causes are possible",
        Confidence::Medium => "medium: it agrees with all known figures",
        Confidence::High => "high: the figures allow no other explanation",
    }
}
