//! The expected tables: vm/expected/KERNEL.txt, one `check = value` a line.
//!
//! Table <-> file, and the differences between two tables. Must not change a file unless told to.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::{
    results::{Surprise, Table, unit_of},
    verifier,
};

const ABSENT: &str = "(not in the table)";
const NOT_MEASURED: &str = "(not measured)";

/// The kernel's file.
pub(crate) fn file(root: &Path, series: &str) -> PathBuf {
    root.join("vm/expected").join(format!("{series}.txt"))
}

/// What is expected of a kernel; empty when nothing was written yet.
pub(crate) fn read(root: &Path, series: &str) -> Result<Table> {
    let file = file(root, series);
    match fs::read_to_string(&file) {
        Ok(text) => Ok(parse(&text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Table::new()),
        Err(error) => Err(error).with_context(|| format!("failed to read {}", file.display())),
    }
}

/// Puts what was measured in its place.
pub(crate) fn write(root: &Path, series: &str, table: &Table) -> Result<()> {
    let file = file(root, series);
    let dir = file.parent().context("failed to find the directory of the tables")?;
    fs::create_dir_all(dir).with_context(|| format!("failed to create {}", dir.display()))?;
    fs::write(&file, text(series, table)).with_context(|| format!("failed to write {}", file.display()))
}

/// Every check whose value is another than expected, is new, or is gone; a unit that came to nothing (its name is
/// among what is wrong) is not listed again, value by value.
pub(crate) fn differences(expected: &Table, measured: &Table, wrong: &[Surprise]) -> Vec<Surprise> {
    let all = expected.keys().chain(measured.keys().filter(|check| !expected.contains_key(*check)));
    let came_to_nothing = |check: &str| wrong.iter().any(|surprise| surprise.check == unit_of(check));
    let differing = all.filter(|check| !came_to_nothing(check)).filter_map(|check| {
        let (expected, found) = (expected.get(check), measured.get(check));
        let agree = match (expected, found) {
            (Some(expected), Some(found)) => expected == found || verifier::agree(check, expected, found),
            (_, _) => false,
        };
        (!agree).then(|| Surprise {
            check: check.clone(),
            expected: expected.map_or(ABSENT, String::as_str).to_owned(),
            found: found.map_or(NOT_MEASURED, String::as_str).to_owned(),
        })
    });
    differing.collect()
}

/// What may be written: what was measured, but for units with something wrong, which stay as they were.
pub(crate) fn accepted(expected: &Table, measured: Table, wrong: &[Surprise]) -> Table {
    let is_wrong = |check: &str| wrong.iter().any(|surprise| surprise.unit() == unit_of(check));
    let kept = expected.iter().filter(|(check, _)| is_wrong(check));
    let kept = kept.map(|(check, value)| (check.clone(), value.clone()));
    measured.into_iter().filter(|(check, _)| !is_wrong(check)).chain(kept).collect()
}

fn parse(text: &str) -> Table {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.split_once(" = "));
    pairs.map(|(check, value)| (check.to_owned(), value.to_owned())).collect()
}

fn text(series: &str, table: &Table) -> String {
    let mut text = format!(
        "# Expected results on Linux {series}. `cargo xtask vm` fails if it measures anything else;\n\
         # `cargo xtask vm --update` writes this file.\n"
    );
    for (check, value) in table {
        text.push_str(&format!("{check} = {value}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(pairs: &[(&str, &str)]) -> Table {
        pairs.iter().map(|(check, value)| ((*check).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let written =
            table(&[("doctor.fact.mmap", "fexit:a | not by b: x = y"), ("node.scope", "global (read)")]);
        assert_eq!(read(dir.path(), "6.12").unwrap(), Table::new());
        write(dir.path(), "6.12", &written).unwrap();
        assert_eq!(read(dir.path(), "6.12").unwrap(), written);
    }

    #[test]
    fn a_surprise_either_way_is_a_difference() {
        let expected = table(&[("a", "fexit"), ("b", "lost"), ("c", "yes")]);
        let measured = table(&[("a", "tracepoint"), ("b", "lost"), ("d", "new")]);
        let found = differences(&expected, &measured, &[]);
        let checks: Vec<_> = found.iter().map(|surprise| surprise.check.as_str()).collect();
        assert_eq!(checks, ["a", "c", "d"]);
        assert_eq!((found[0].expected.as_str(), found[0].found.as_str()), ("fexit", "tracepoint"));
        assert_eq!((found[1].found.as_str(), found[2].expected.as_str()), (NOT_MEASURED, ABSENT));
    }

    fn wrong(check: &str) -> Surprise {
        Surprise { check: check.to_owned(), expected: String::new(), found: String::new() }
    }

    #[test]
    fn a_unit_that_came_to_nothing_is_one_surprise() {
        let expected = table(&[("node.scope", "global"), ("sysrq.scope", "global")]);
        let found = differences(&expected, &Table::new(), &[wrong("node"), wrong("sysrq.records")]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].check, "sysrq.scope");
    }

    #[test]
    fn what_is_wrong_is_not_accepted() {
        let expected = table(&[("node.scope", "global"), ("sysrq.scope", "global"), ("old.x", "gone")]);
        let measured = table(&[("node.scope", "memcg"), ("sysrq.scope", "unknown"), ("new.x", "y")]);
        assert_eq!(
            accepted(&expected, measured, &[wrong("node.greedy.scope")]),
            table(&[("node.scope", "global"), ("sysrq.scope", "unknown"), ("new.x", "y")])
        );
    }

    #[test]
    fn equal_tables_have_no_differences() {
        assert_eq!(differences(&table(&[("a", "x")]), &table(&[("a", "x")]), &[]), []);
    }
}
