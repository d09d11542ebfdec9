//! The cause: confidence, evidence, and what to do.
//!
//! [`Cause`] -> a block. Its sentence leads the report.

use crate::{
    oom::cause::{Cause, CauseKind},
    report::{
        document::{Block, Cell, Column, Fit, Table},
        style::Paint,
    },
    text::Align,
    verdict::{Confidence, Fact, Remedy},
};

pub(super) fn why(cause: &Cause) -> Block {
    let Cause { kind, confidence, sentence: _, evidence, remedies } = cause;
    let mut block = Block::new("Why");
    let paint = if *kind == CauseKind::Unknown { Paint::Doubt } else { Paint::Culprit };
    block.painted("cause", kind.label(), paint);
    block.field("confidence", sure(*confidence));
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
    block
}

fn sure(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::Low => "low: other causes are possible",
        Confidence::Medium => "medium: it agrees with all known figures",
        Confidence::High => "high: the figures allow no other explanation",
    }
}
