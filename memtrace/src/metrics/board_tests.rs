//! The Grafana board: its queries name series that exist and that the documentation lists.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use serde_json::Value;

const BOARD: &str = include_str!("../../../deploy/grafana/memtrace.json");
const LIST: &str = include_str!("../../../docs/deploy.md");
/// Where families get their names.
const SOURCES: [&str; 4] = [
    include_str!("../metrics.rs"),
    include_str!("containers.rs"),
    include_str!("kills.rs"),
    include_str!("self_series.rs"),
];

fn board() -> Value {
    serde_json::from_str(BOARD).unwrap()
}

/// All texts of the board in fields with queries.
fn queries(of: &Value, found: &mut Vec<String>) {
    match of {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if matches!(name.as_str(), "expr" | "query" | "definition") => {
                        found.push(text.clone());
                    }
                    value => queries(value, found),
                }
            }
        }
        Value::Array(all) => all.iter().for_each(|value| queries(value, found)),
        _ => {}
    }
}

/// The series that a text names.
fn series(text: &str) -> BTreeSet<String> {
    let name = Regex::new(r"\b(memtrace|process)_[a-z0-9_]+").unwrap();
    name.find_iter(text).map(|found| found.as_str().to_owned()).collect()
}

/// The series in the documentation's table: `memtrace_a_b`, and `_c` for others that begin with the same words.
fn listed() -> BTreeSet<String> {
    let name = Regex::new(r"`((?:memtrace|process)?_?[a-z0-9_]+)(?:\{[a-z,]+\})?`").unwrap();
    let rows =
        LIST.lines().filter(|line| line.starts_with("| `memtrace_") || line.starts_with("| `process_"));
    let cells = rows.filter_map(|row| row.split('|').nth(1));
    cells
        .flat_map(|cell| name.captures_iter(cell).map(|found| found[1].to_owned()).collect::<Vec<_>>())
        .flat_map(
            |name| if name.starts_with('_') { vec![format!("memtrace_container{name}")] } else { vec![name] },
        )
        .collect()
}

#[test]
fn every_query_names_series_that_exist_and_are_documented() {
    let (mut found, listed) = (Vec::new(), listed());
    queries(&board(), &mut found);
    let used: BTreeSet<String> = found.iter().flat_map(|query| series(query)).collect();
    assert!(used.len() > 20, "{used:?}");
    for name in &used {
        assert!(SOURCES.iter().any(|source| source.contains(&format!("\"{name}\""))), "no family is {name}");
        assert!(listed.contains(name), "docs/deploy.md does not list {name}");
    }
}

#[test]
fn panels_have_queries_names_and_places_of_their_own() {
    let board = board();
    let panels = board["panels"].as_array().unwrap();
    let rows: Vec<&str> = panels
        .iter()
        .filter(|panel| panel["type"] == "row")
        .map(|row| row["title"].as_str().unwrap())
        .collect();
    assert_eq!(rows, ["Node", "Container", "Kills", "Tracer"]);
    let mut taken = BTreeMap::new();
    let mut ids = BTreeSet::new();
    for panel in panels {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title} has an id of another panel");
        let place = |side: &str| panel["gridPos"][side].as_u64().unwrap();
        assert!(place("x") + place("w") <= 24, "{title} is wider than the board");
        for (x, y) in (0..place("w")).flat_map(|x| (0..place("h")).map(move |y| (x, y))) {
            let other = taken.insert((place("x") + x, place("y") + y), title);
            assert_eq!(other, None, "{title} covers another panel");
        }
        if panel["type"] != "row" {
            assert!(!panel["targets"].as_array().unwrap().is_empty(), "{title} has no query");
            assert!(panel["description"].as_str().is_some_and(|text| text.ends_with('.')), "{title}");
        }
    }
}

/// What the queries select by is what the series have.
#[test]
fn queries_select_by_labels_of_their_series() {
    let (mut found, of_container) =
        (Vec::new(), Regex::new(r"(memtrace|process)_[a-z0-9_]+\{([^}]*)\}").unwrap());
    queries(&board(), &mut found);
    for query in &found {
        for selected in of_container.captures_iter(query) {
            let (name, labels) = (selected[0].to_owned(), selected[2].to_owned());
            let is_of_container = name.starts_with("memtrace_container_")
                || ["memtrace_oom_", "memtrace_member_", "memtrace_last_"]
                    .iter()
                    .any(|family| name.starts_with(family));
            for label in labels.split(',').filter_map(|pair| pair.split(['=', '~']).next()) {
                let fits = label == "instance"
                    || (is_of_container && ["namespace", "pod", "container"].contains(&label));
                assert!(fits, "{label} in {query}");
            }
        }
    }
}
