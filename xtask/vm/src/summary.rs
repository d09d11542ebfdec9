//! The end of a run: checks by kernel, and the surprises.
//!
//! Outcomes -> text. Must not decide what a surprise is.

use std::time::Duration;

use super::results::Surprise;

/// What came of one kernel.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) series: &'static str,
    /// Checks that were made, in their order: the first word of their names.
    pub(crate) units: Vec<&'static str>,
    pub(crate) surprises: Vec<Surprise>,
    pub(crate) remarks: Vec<String>,
    pub(crate) took: Duration,
}

/// One row a check, one column a kernel; the last row is the time.
pub(crate) fn table(outcomes: &[Outcome]) -> String {
    let mut units: Vec<&str> = Vec::new();
    for outcome in outcomes {
        for unit in &outcome.units {
            if !units.contains(unit) {
                units.push(unit);
            }
        }
    }
    let mut rows = vec![row("check", outcomes.iter().map(|outcome| outcome.series.to_owned()))];
    for unit in units {
        rows.push(row(unit, outcomes.iter().map(|outcome| cell(outcome, unit))));
    }
    rows.push(row("seconds", outcomes.iter().map(|outcome| format!("{:.1}", outcome.took.as_secs_f64()))));
    aligned(&rows)
}

/// Every surprise under its kernel.
pub(crate) fn surprises(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    for Outcome { series, surprises, remarks, .. } in outcomes {
        for surprise in surprises {
            text.push_str(&format!("{series}: {surprise}\n"));
        }
        for remark in remarks {
            text.push_str(&format!("{series}: note: {remark}\n"));
        }
    }
    text
}

fn cell(outcome: &Outcome, unit: &str) -> String {
    let surprises = outcome.surprises.iter().filter(|surprise| surprise.unit() == unit).count();
    match surprises {
        0 if outcome.units.contains(&unit) => "ok".to_owned(),
        0 => "-".to_owned(),
        _ => format!("{surprises} WRONG"),
    }
}

fn row(first: &str, rest: impl Iterator<Item = String>) -> Vec<String> {
    std::iter::once(first.to_owned()).chain(rest).collect()
}

fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_with_surprises_is_counted_in_its_cell() {
        let surprise = |check: &str| Surprise {
            check: check.to_owned(),
            expected: "fexit".to_owned(),
            found: "lost".to_owned(),
        };
        let outcome = |series, units: &[&'static str], surprises| Outcome {
            series,
            units: units.to_vec(),
            surprises,
            remarks: Vec::new(),
            took: Duration::from_millis(20_500),
        };
        let outcomes = [
            outcome(
                "5.10",
                &["doctor", "own-limit"],
                vec![surprise("own-limit.owner"), surprise("own-limit.x")],
            ),
            outcome("6.12", &["doctor", "own-limit", "lockdown"], Vec::new()),
        ];
        assert_eq!(
            table(&outcomes),
            "check      5.10     6.12\ndoctor     ok       ok\nown-limit  2 WRONG  ok\n\
             lockdown   -        ok\nseconds    20.5     20.5\n"
        );
        assert!(surprises(&outcomes).starts_with("5.10: own-limit.owner\n      expected  fexit\n"));
    }
}
