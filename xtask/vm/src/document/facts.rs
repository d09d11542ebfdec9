//! One table of facts: what `doctor` attached in one way of running it.
//!
//! Values of a mode -> a table, and below it what was passed over, what is lost and what else is known.

use std::collections::BTreeSet;

use super::{Column, together};
use crate::doctor::{FACT, LOST, SEPARATOR};

const NOT_MEASURED: &str = "not measured";
/// Said of what was taken away, which the heading says already.
const SWITCHED_OFF: &str = "switched off";
const REST: [(&str, &str); 3] = [
    ("missing-fields", "Kernel fields not found"),
    ("self-check", "Self-check of the offsets"),
    ("memory-controller", "Memory controller"),
];

/// The mode's part of the document.
pub(crate) fn section(mode: &str, columns: &[Column<'_>]) -> String {
    let prefix = format!("{mode}{FACT}");
    let facts: BTreeSet<&str> = columns
        .iter()
        .flat_map(|(_, table)| table.keys())
        .filter_map(|check| check.strip_prefix(&prefix))
        .collect();
    let kernels: Vec<&str> = columns.iter().map(|(kernel, _)| kernel.series).collect();
    let mut text = format!("\n| fact | {} |\n|---|{}\n", kernels.join(" | "), "---|".repeat(kernels.len()));
    let (mut passed, mut lost) = (Vec::new(), Vec::new());
    for fact in facts {
        let values = columns.iter().map(|(kernel, table)| {
            (kernel.series, table.get(&format!("{prefix}{fact}")).map_or(NOT_MEASURED, String::as_str))
        });
        let values: Vec<(&str, &str)> = values.collect();
        let cells: Vec<String> = values.iter().map(|(_, value)| cell(value)).collect();
        text.push_str(&format!("| {fact} | {} |\n", cells.join(" | ")));
        for (kernel, value) in values {
            for part in value.split(SEPARATOR).skip(1) {
                if let Some(what) = part.strip_prefix("lost: ") {
                    lost.push((kernel, format!("{fact}: {what}")));
                } else if let Some((hook, why)) = part.strip_prefix("not by ").and_then(hook_and_why) {
                    passed.push((kernel, format!("`{hook}`: {why}")));
                }
            }
        }
    }
    list(&mut text, "Rejected hooks", passed, kernels.len());
    list(&mut text, "Lost", lost, kernels.len());
    let rest = REST.iter().flat_map(|(what, title)| {
        columns.iter().filter_map(move |(kernel, table)| {
            Some((kernel.series, format!("{title}: {}", table.get(&format!("{mode}.{what}"))?)))
        })
    });
    list(&mut text, "Also", rest.collect(), kernels.len());
    text
}

fn cell(value: &str) -> String {
    let form = value.split(SEPARATOR).next().unwrap_or_default();
    match form {
        LOST => "**lost**".to_owned(),
        NOT_MEASURED => form.to_owned(),
        _ => form.split(':').next().unwrap_or_default().to_owned(),
    }
}

/// `fexit:__x64_sys_brk: refused: ...`; a hook has colons of its own, but no space after them.
fn hook_and_why(part: &str) -> Option<(&str, &str)> {
    part.split_once(": ").filter(|(_, why)| *why != SWITCHED_OFF)
}

/// Kernels are named where not all are meant.
fn list(text: &mut String, title: &str, items: Vec<(&str, String)>, all: usize) {
    if items.is_empty() {
        return;
    }
    text.push_str(&format!("\n{title}:\n\n"));
    for (kernels, item) in together(items) {
        let is_all = kernels.split(", ").count() == all;
        let which = if is_all { String::new() } else { format!(" ({kernels})") };
        text.push_str(&format!("- {item}{which}\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{kernel::KERNELS, results::Table};

    #[test]
    fn a_mode_is_a_table_with_its_reasons_below() {
        let table = |mmap: &str| {
            Table::from([
                (
                    "doctor.fact.exit".to_owned(),
                    "lost | not by tp_btf:x: switched off | lost: exit codes".to_owned(),
                ),
                ("doctor.fact.mmap".to_owned(), mmap.to_owned()),
                ("doctor.missing-fields".to_owned(), "none".to_owned()),
            ])
        };
        let (old, new) = (table("tracepoint:a:b | not by fexit:c: refused: why"), table("fexit:c"));
        let text = section("doctor", &[(&KERNELS[0], &old), (&KERNELS[1], &new)]);
        assert_eq!(
            text,
            "\n| fact | 5.10 | 6.1 |\n|---|---|---|\n| exit | **lost** | **lost** |\n| mmap | tracepoint | fexit |\n\
             \nRejected hooks:\n\n- `fexit:c`: refused: why (5.10)\n\
             \nLost:\n\n- exit: exit codes\n\nAlso:\n\n- Kernel fields not found: none\n"
        );
    }
}
