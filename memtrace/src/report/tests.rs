//! Reports compared with files, and properties of the report of any record.
//!
//! `UPDATE_GOLDEN=1 cargo test -p memtrace --lib report` writes the files anew.

mod schema;
mod schema_check;

use std::{env, fs, path::Path};

use jiff::Timestamp;
use proptest::prelude::*;

use super::{Style, html, markdown, sentence, style::WIDTH, table, text};
use crate::{
    oom::record::{OomRecord, ScopeKind, circumstances::Source},
    store::{
        KillSummary,
        fixture::{self, arbitrary},
    },
    text::width,
};

fn golden(name: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/report/golden").join(name);
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, actual).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(actual == expected, "{name} differs; expected:\n{expected}\nactual:\n{actual}");
}

fn summary(record: &OomRecord) -> KillSummary {
    let task = &record.victim.task;
    let (name, cause) = (record.circumstances.container.as_ref(), record.circumstances.cause.as_ref());
    KillSummary {
        id: record.id.clone(),
        time: record.time,
        boot_id: record.boot_id.clone(),
        scope: record.scope.kind,
        victim_pid: task.pid,
        victim_comm: task.process_comm.as_ref().unwrap_or(&task.comm).clone(),
        cgroup: task.cgroup.clone(),
        limit_owner: record.limit_owner.as_ref().and_then(|owner| owner.path.clone()),
        namespace: name.and_then(|name| name.namespace.clone()),
        pod: name.and_then(|name| name.pod.clone()),
        container: name.and_then(|name| name.container.clone()),
        cause: cause.map(|cause| serde_json::to_value(cause.kind).unwrap().as_str().unwrap().to_owned()),
        source: record.circumstances.source,
    }
}

/// Colour codes removed.
fn plain(text: &str) -> String {
    let mut parts = text.split('\x1b');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |out, part| out + part.split_once('m').unwrap().1)
}

#[test]
fn a_sibling_asked_and_the_pod_had_the_limit() {
    golden("sibling.txt", &text(&fixture::record(0), None, Style::default()));
}

#[test]
fn everything_is_known() {
    golden("full.txt", &text(&fixture::full::record(), None, Style::default()));
}

#[test]
fn everything_as_markdown_and_as_a_page() {
    golden("full.md", &markdown(&fixture::full::record(), None));
    let page = html(&fixture::full::record(), None);
    assert!(page.len() < 1 << 20);
    golden("full.html", &page);
}

#[test]
fn a_page_asks_for_nothing_and_runs_nothing() {
    for record in [fixture::full::record(), fixture::record(0), fixture::global(), fixture::thread_victim()] {
        let page = html(&record, None);
        for word in ["<script", "http://", "https://", "src=", "@import", "url(", " onload", "javascript:"] {
            assert!(!page.contains(word), "{word}");
        }
    }
}

#[test]
fn the_victim_asked_itself() {
    golden("self.txt", &text(&fixture::self_trigger(), None, Style::default()));
}

#[test]
fn the_node_ran_out_of_memory() {
    golden("global.txt", &text(&fixture::global(), None, Style::default()));
}

#[test]
fn a_thread_was_marked_and_little_is_known() {
    golden("thread.txt", &text(&fixture::thread_victim(), None, Style::default()));
}

#[test]
fn the_list_names_the_limit_and_the_cgroup() {
    let cases = [
        fixture::full::record(),
        fixture::record(0),
        fixture::self_trigger(),
        fixture::global(),
        fixture::thread_victim(),
    ];
    golden("list.txt", &table(&cases.each_ref().map(summary), Style::default()));
    assert_eq!(table(&[], Style::default()), "no OOM kills recorded\n");
}

#[test]
fn colour_adds_nothing_but_colour() {
    for record in [fixture::full::record(), fixture::global(), fixture::thread_victim()] {
        let coloured = text(&record, None, Style { color: true, ..Style::default() });
        assert!(coloured.contains("\x1b["));
        assert_eq!(plain(&coloured), text(&record, None, Style::default()));
    }
}

#[test]
fn the_parent_of_the_victims_cgroup_is_named_as_such() {
    let mut record = fixture::record(0);
    record.chain.remove(0);
    assert!(
        sentence(&record).contains(", the parent of its own, reached its limit of 64.0 MiB (usage 64.0 MiB)")
    );
}

#[test]
fn an_owner_without_a_path_is_named_by_its_id() {
    let mut record = fixture::record(0);
    record.limit_owner.as_mut().unwrap().path = None;
    record.limit_owner.as_mut().unwrap().limit_bytes = None;
    record.limit_owner.as_mut().unwrap().usage_bytes = None;
    let text = sentence(&record);
    assert!(
        text.contains("the cgroup with id 7003 (path unknown), 2 levels above its own, reached"),
        "{text}"
    );
    assert!(text.contains("its limit (size unknown);"), "{text}");
}

#[test]
fn a_kill_by_a_lowered_limit_is_not_blamed_on_an_allocation() {
    let mut record = fixture::record(0);
    record.kernel_stack.get_mut(9).unwrap().symbol = Some("memory_max_write".to_owned());
    let text = sentence(&record);
    assert!(text.ends_with("; loader (pid 5150) caused the kill by lowering a limit."), "{text}");
}

#[test]
fn a_kill_by_hand_is_not_blamed_on_the_node() {
    let mut record = fixture::global();
    record.kernel_stack.get_mut(7).unwrap().symbol = Some("moom_callback".to_owned());
    let sentence = sentence(&record);
    assert!(
        sentence.contains("killed because an OOM kill was requested by hand (SysRq f); it held"),
        "{sentence}"
    );
    assert!(!sentence.contains("allocation"), "{sentence}");
    assert!(
        text(&record, None, Style::default())
            .contains("what ran out    nothing: the kill was requested by hand")
    );
}

#[test]
fn what_ran_out_may_be_unknown() {
    let mut record = fixture::thread_victim();
    record.scope.kind = ScopeKind::Unknown;
    let text = sentence(&record);
    assert!(
        text.contains("was killed by the kernel's OOM killer; what ran out of memory is unknown: "),
        "{text}"
    );
}

/// All keys of all objects.
fn keys(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(fields) => fields.iter().for_each(|(key, value)| {
            found.push(key.clone());
            keys(value, found);
        }),
        serde_json::Value::Array(values) => values.iter().for_each(|value| keys(value, found)),
        _ => {}
    }
}

#[test]
fn every_field_is_documented() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/record.md");
    let documented = fs::read_to_string(path).unwrap();
    let mut found = Vec::new();
    for record in [fixture::full::record(), fixture::record(0), fixture::global()] {
        keys(&serde_json::to_value(&record).unwrap(), &mut found);
        keys(&serde_json::to_value(summary(&record)).unwrap(), &mut found);
    }
    for key in found {
        assert!(
            ["`", ".", "[]."].iter().any(|before| documented.contains(&format!("{before}{key}`"))),
            "{key}"
        );
    }
}

/// Whether a line may be too long: it has a name of a path that is longer than a line, after the name of its field.
fn is_long_name(line: &str) -> bool {
    line.split_once('/').is_some_and(|(field, name)| width(field) <= 18 && !name.contains(['/', ' ']))
}

fn fits(text: &str, style: Style) -> Result<(), TestCaseError> {
    prop_assert!(text.ends_with('\n'));
    prop_assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{:?}", text);
    for line in text.lines() {
        prop_assert!(
            width(line) <= style.columns() || is_long_name(line),
            "{} columns: {}",
            width(line),
            line
        );
        prop_assert!(!line.ends_with(' '), "{:?}", line);
    }
    Ok(())
}

/// An arbitrary summary.
fn any_summary() -> impl Strategy<Value = KillSummary> {
    let path = || proptest::option::of(arbitrary::text());
    let owner = path();
    ("[0-9a-zA-Z-]{0,29}", any::<Option<u32>>(), any::<i64>(), arbitrary::text(), path(), owner).prop_map(
        |(id, victim_pid, nanosecond, victim_comm, cgroup, limit_owner)| KillSummary {
            id,
            time: Timestamp::from_nanosecond(nanosecond.into()).unwrap(),
            boot_id: String::new(),
            scope: if nanosecond % 2 == 0 { ScopeKind::Memcg } else { ScopeKind::Global },
            victim_pid,
            victim_comm,
            namespace: cgroup.clone(),
            pod: None,
            container: limit_owner.clone(),
            cause: cgroup.clone(),
            source: Source::Live,
            cgroup,
            limit_owner,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_report_fits_and_cannot_drive_a_terminal(record in arbitrary::record(), width in WIDTH..160) {
        for width in [width, WIDTH] {
            let style = Style { width, ..Style::default() };
            fits(&text(&record, None, style), style)?;
        }
        prop_assert!(!sentence(&record).chars().any(char::is_control));
        let coloured = text(&record, None, Style { color: true, ..Style::default() });
        prop_assert_eq!(plain(&coloured), text(&record, None, Style::default()));
    }

    /// Names in a record never add HTML elements.
    #[test]
    fn any_page_has_only_its_own_elements(record in arbitrary::record()) {
        let page = html(&record, None);
        prop_assert!(!page.contains("<script") && page.len() < 1 << 20);
        let opened = |name: &str| page.matches(&format!("<{name}")).count();
        for name in ["section", "table", "figure", "svg", "dl", "pre", "main", "html"] {
            let closed = page.matches(&format!("</{name}>")).count();
            prop_assert_eq!(opened(name), closed, "{}", name);
        }
        prop_assert!(!markdown(&record, None).chars().any(|c| c.is_control() && c != '\n'));
    }

    #[test]
    fn any_list_fits(kills in proptest::collection::vec(any_summary(), 1..4)) {
        let out = table(&kills, Style::default());
        fits(&out, Style::default())?;
        prop_assert_eq!(out.lines().count(), kills.len() + 1);
    }
}
