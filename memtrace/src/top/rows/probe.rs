//! One row per traced fact, missing field, or loss.

use super::{Column, Data, Row, RowId, State, Value};
use crate::top::column::Kind;

/// The facts of a row.
struct ProbeFacts {
    number: u64,
    fact: String,
    state: &'static str,
    count: Option<u64>,
    how: String,
    is_bad: bool,
}

/// A function that gets the value of a column.
type Get = fn(&ProbeFacts) -> Value;

static CELLS: &[(Column, Get)] = &[
    (Column::new("number", "#", Kind::Number, Column::HIDDEN, "order"), |of| Value::Number(of.number)),
    (Column::new("fact", "FACT", Kind::Words(16), 0, "what is traced").or(&["name"]), |of| {
        Value::text(&of.fact)
    }),
    (Column::new("state", "STATE", Kind::Words(8), 0, "ok, or lost"), |of| Value::text(of.state)),
    (Column::new("count", "COUNT", Kind::Count, 2, "number of losses"), |of| {
        of.count.map_or(Value::Unknown, Value::Count)
    }),
    (
        Column::new("how", "HOW OR WHAT IS LOST", Kind::Sentence, 1, "the hook, or what is lost without it"),
        |of| Value::text(&of.how),
    ),
];

pub(super) fn all_columns() -> Vec<&'static Column> {
    super::columns(CELLS)
}

pub(super) fn rows(data: &Data) -> Vec<Row> {
    let mut facts = Vec::new();
    let mut fact = |fact: &str, state, count, how: String, is_bad| {
        let number = facts.len() as u64;
        facts.push(ProbeFacts { number, fact: fact.to_owned(), state, count, how, is_bad });
    };
    for loss in data.snapshot.tracer.iter().flat_map(|tracer| &tracer.losses) {
        fact(&loss.name, "LOST", Some(loss.count), loss.meaning.clone(), true);
    }
    for hook in data.probes.iter().flat_map(|probes| &probes.hooks) {
        let passed: String = hook
            .passed_over
            .iter()
            .map(|passed| format!(" ({} rejected: {})", passed.hook, passed.why))
            .collect();
        match &hook.attached {
            Some(form) => fact(&hook.fact, "ok", None, format!("{form}{passed}"), false),
            None => {
                let lost = hook.lost.as_deref().unwrap_or("not attached");
                fact(&hook.fact, "MISSING", None, format!("{lost}{passed}"), true);
            }
        }
    }
    if let Some(probes) = &data.probes {
        for field in &probes.missing_fields {
            fact("kernel field", "MISSING", None, field.clone(), true);
        }
        fact("self-check", "ok", None, probes.self_check.clone(), false);
    }
    let row = |of: ProbeFacts| Row {
        // Several fields may be missing.
        id: RowId::Probe(if of.fact == "kernel field" { of.how.clone() } else { of.fact.clone() }),
        values: super::values(CELLS, |value| value(&of)),
        state: if of.is_bad { State::Warning } else { State::Calm },
    };
    facts.into_iter().map(row).collect()
}
