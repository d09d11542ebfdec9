//! docs/kernel-support.md.
//!
//! Expected tables -> Markdown. Pure: the same tables always give the same text, so that a stale document is seen
//! without booting anything.

use std::collections::BTreeSet;

use super::{
    kernel::Kernel,
    plan::{LOCKDOWN, MODES, Mode},
    results::Table,
    scenario::{SCENARIOS, Scenario, Victims},
    verifier,
};

mod facts;

/// A kernel and what is expected of it.
pub(crate) type Column<'a> = (&'a Kernel, &'a Table);

const HEAD: &str = "# Kernel support

What memtrace gets from each kernel, and what is lost where something is missing. Every value was measured:
`cargo xtask vm` boots these kernels in QEMU and fails if a result differs from this document.
`cargo xtask vm --update` writes this file; do not edit it.
";

const FACTS: &str = "
## How each fact is obtained

The result of `memtrace doctor` as root, with everything available. A cell names the kind of hook that attached:
`tp_btf` (tracepoint with typed arguments), `fexit` (return of a kernel function), `fentry` (entry of a kernel function),
`kprobe` (breakpoint at the entry of a kernel function), `tracepoint` (record of the event) or `perf` (perf software
event). Where a fact has several hooks, they are tried in this order.
";

const FORCED: &str = "
## Forced fallbacks

The same with some features disabled. This tests the fallbacks on every kernel, not only on those that need them.
";

const LOCKED: &str = "
## Lockdown

With `lockdown=integrity` on the kernel command line, as under Secure Boot.
";

const COSTS: &str = "
## Verifier cost

Instructions that the verifier processed, by program, for the most expensive variant. Linux 5.10 does not report them:
its column has the instructions of the translated program. A run fails if a value changes by more than a fifth.
";

const KILLS: &str = "
## OOM kills

On cgroup v2. Each kill has exactly one record. It was compared with `memory.events.local`, `/proc/vmstat` and the kernel
log: victim, names, sizes, cgroups, limit and trigger are as the kernel reports them. Unknown fields are null in the
record and listed here.
";

/// The whole document.
pub(crate) fn render(columns: &[Column<'_>]) -> String {
    let mut text = HEAD.to_owned();
    text.push_str("\n| Linux | package | Debian |\n|---|---|---|\n");
    for (Kernel { series, suite, package, lockdown: _ }, _) in columns {
        text.push_str(&format!("| {series} | {package} | {suite} |\n"));
    }
    text.push_str(FACTS);
    if let Some((usual, forced)) = MODES.split_first() {
        text.push_str(&facts::section(usual.name, columns));
        text.push_str(FORCED);
        for Mode { name, without } in forced {
            text.push_str(&format!("\n### `--without {}`\n", without.unwrap_or_default()));
            text.push_str(&facts::section(name, columns));
        }
    }
    let locked: Vec<Column<'_>> = columns.iter().copied().filter(|(kernel, _)| kernel.lockdown).collect();
    text.push_str(LOCKED);
    text.push_str(&facts::section(LOCKDOWN.name, &locked));
    text.push_str(COSTS);
    text.push_str(&costs(columns));
    text.push_str(KILLS);
    for scenario in &SCENARIOS {
        text.push_str(&kill(scenario, columns));
    }
    text
}

/// One row a program; a dash where it is not what gets the fact.
fn costs(columns: &[Column<'_>]) -> String {
    let prefix = format!("{}.", verifier::UNIT);
    let programs: BTreeSet<&str> = columns
        .iter()
        .flat_map(|(_, table)| table.keys())
        .filter_map(|check| check.strip_prefix(&prefix))
        .collect();
    let kernels: Vec<&str> = columns.iter().map(|(kernel, _)| kernel.series).collect();
    let mut text =
        format!("\n| program | {} |\n|---|{}\n", kernels.join(" | "), "---|".repeat(kernels.len()));
    for program in programs {
        let cell = |table: &Table| {
            let value = table.get(&format!("{prefix}{program}"));
            value.and_then(|value| value.split(' ').next()).unwrap_or("-").to_owned()
        };
        let cells: Vec<String> = columns.iter().map(|(_, table)| cell(table)).collect();
        text.push_str(&format!("| {program} | {} |\n", cells.join(" | ")));
    }
    text
}

/// What the first record of a scenario knows; kernels that give the same share a row.
fn kill(scenario: &Scenario, columns: &[Column<'_>]) -> String {
    let Scenario { name, does, victims, .. } = scenario;
    let mut text = format!("\n### {name}\n\n{}.\n", capital(does));
    if *victims == Victims::None {
        text.push_str("As expected, no kernel records a kill.\n");
        return text;
    }
    text.push_str(
        "\n| Linux | hook | scope | whose limit | kill signal | unknown |\n|---|---|---|---|---|---|\n",
    );
    let rows = columns.iter().map(|(kernel, table)| {
        let cells = ["hook", "scope", "limit-of", "kill-signal", "unknown"];
        let cells =
            cells.map(|what| table.get(&format!("{name}.{what}")).map_or("not measured", String::as_str));
        (kernel.series, cells.join(" | "))
    });
    for (kernels, cells) in together(rows) {
        text.push_str(&format!("| {kernels} | {cells} |\n"));
    }
    text
}

/// Equal values with all the kernels that have them, in the order of the first.
fn together<'a, V: PartialEq>(values: impl IntoIterator<Item = (&'a str, V)>) -> Vec<(String, V)> {
    let mut groups: Vec<(String, V)> = Vec::new();
    for (kernel, value) in values {
        match groups.iter_mut().find(|(_, known)| *known == value) {
            Some((kernels, _)) => {
                kernels.push_str(", ");
                kernels.push_str(kernel);
            }
            None => groups.push((kernel.to_owned(), value)),
        }
    }
    groups
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use xtask_base::workspace::Workspace;

    use crate::{expected, kernel::KERNELS};

    #[test]
    fn the_document_is_what_the_tables_give() {
        let workspace = Workspace::find().unwrap();
        let tables =
            KERNELS.each_ref().map(|kernel| expected::read(workspace.root(), kernel.series).unwrap());
        let columns: Vec<Column<'_>> = KERNELS.iter().zip(&tables).collect();
        let kept = fs::read_to_string(workspace.root().join(crate::DOCUMENT)).unwrap();
        assert!(kept == render(&columns), "stale: run `cargo xtask vm --update`");
    }

    #[test]
    fn kernels_that_give_the_same_share_a_row() {
        let groups = together([("5.10", "a"), ("6.1", "b"), ("6.12", "a")]);
        assert_eq!(groups, [("5.10, 6.12".to_owned(), "a"), ("6.1".to_owned(), "b")]);
    }
}
