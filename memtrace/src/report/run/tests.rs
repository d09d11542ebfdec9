//! The forms of a page that has everything, and of one that has next to nothing.

use jiff::Timestamp;

use super::{annotations, html, junit, markdown, svg, text};
use crate::{
    cgroup::charge::Charge,
    report::style::Style,
    sizing::{
        diff::{compare, side::Side},
        run::{
            End, Page, Reading, Record, Run, SCHEMA,
            advised::Advised,
            budget::Budget,
            course::Course,
            fixture::run,
            search::{Found, Try},
        },
        saved::Saved,
    },
    units::Bytes,
};

fn page(runs: Vec<Run>, budget: &str) -> Page {
    let budget = Budget::parse(budget).unwrap().judge(&runs);
    Page {
        schema: SCHEMA,
        command: vec!["make".to_owned(), "<test>".to_owned()],
        started: "2026-11-30T12:00:00Z".parse().unwrap(),
        cgroup_version: 1,
        limit_bytes: None,
        swap: None,
        advised: Advised::of(&runs).ok(),
        not_advised: Advised::of(&runs).err(),
        runs,
        spread: None,
        budget,
        search: None,
        against: None,
        exit_code: 5,
        notes: Vec::new(),
    }
}

fn killed() -> Run {
    let charge = Charge {
        usage_bytes: Some(Bytes(60 << 20)),
        anon_bytes: Some(Bytes(59 << 20)),
        active_file_bytes: Some(Bytes(0)),
        ..Charge::default()
    };
    Run {
        end: End::Signalled(9),
        oom_kills: Some(1),
        limit_hits: Some(12),
        limit_bytes: Some(Bytes(64 << 20)),
        at_peak: Some(Reading { at: 0.5, charge }),
        records: vec![Record {
            id: "20261130T1200-1".to_owned(),
            sentence: "a % sentence\nof two".to_owned(),
        }],
        ..run(64 << 20)
    }
}

fn found() -> Found {
    let one = |mib: u64, lived: bool| Try {
        limit_bytes: Bytes(mib << 20),
        lived,
        why: (!lived).then(|| "OOM kill".to_owned()),
        seconds: mib as f64 / 10.0,
        stall: None,
    };
    Found {
        limit_bytes: Some(Bytes(41 << 20)),
        failed_bytes: Some(Bytes(40 << 20)),
        is_uneven: true,
        why: None,
        tries: vec![one(50, true), one(40, false), one(41, true)],
    }
}

#[test]
fn the_first_line_is_the_answer() {
    let first = |page: &Page| text(page, Style::default()).lines().next().unwrap().to_owned();
    let page = page(vec![killed()], "peak=32M");
    assert_eq!(first(&page), "OOM kill: the kernel killed it at its limit of 64.0 MiB");
    let broken = Page { runs: vec![run(64 << 20)], ..page.clone() };
    assert_eq!(first(&broken), "budget broken: peak 64.0 MiB, allowed at most 32.0 MiB");
    let kept = Page { budget: Vec::new(), ..broken };
    assert_eq!(first(&kept), "peak 64.0 MiB; exit code 0 after 1.5 s");
    let searched = Page { search: Some(found()), ..kept };
    assert!(first(&searched).starts_with("the least limit is 42991616 bytes (41.0 MiB); it failed with"));
}

#[test]
fn every_form_tells_what_was_broken_and_what_is_unknown() {
    let page = Page { search: Some(found()), ..page(vec![killed(), run(1)], "peak=32M,leak=none") };
    for form in [text(&page, Style::default()), markdown(&page), html(&page)] {
        for word in ["BROKEN", "64.0 MiB", "not enough samples", "at its limit", "OOM kill", "differs"] {
            assert!(form.contains(word), "no {word} in {form}");
        }
        assert!(!form.contains("<test>") || !form.contains("<html"), "{form}");
    }
    assert!(html(&page).contains("<svg") && svg(&page).unwrap().contains("41.0 MiB"));
    assert_eq!(svg(&Page { search: None, ..page.clone() }), None);
}

#[test]
fn a_run_of_which_nothing_is_known_is_told_as_unknown() {
    let unknown =
        Run { peak: None, oom_kills: None, limit_hits: None, seconds: 0.0, end: End::Exited(0), ..run(0) };
    let text = text(&page(vec![unknown], "peak=1M"), Style::default());
    assert!(text.contains("unknown") && text.contains("ended before its memory was read"), "{text}");
    assert!(super::text(&page(Vec::new(), "peak=1M"), Style::default()).contains("was not run"));
}

#[test]
fn junit_has_a_test_for_each_budget() {
    let xml = junit(&page(vec![killed()], "peak=32M,leak=none"));
    assert!(xml.contains("tests=\"4\" failures=\"3\" errors=\"0\" skipped=\"1\""), "{xml}");
    assert!(xml.contains("classname=\"make &lt;test&gt;\"") && !xml.contains("<test>"), "{xml}");
    assert!(xml.contains("failure message=\"peak 64.0 MiB, allowed at most 32.0 MiB\""), "{xml}");
}

#[test]
fn annotations_are_one_line_each_and_nothing_for_a_run_that_kept_all() {
    let lines = annotations(&page(vec![killed()], "peak=32M,leak=none"));
    assert_eq!(lines.lines().count(), 3, "{lines}");
    assert!(lines.lines().all(|line| line.starts_with("::error ") || line.starts_with("::warning ")));
    assert!(lines.contains("title=memtrace%3A OOM kill::1 OOM kills at a limit of 64.0 MiB; a %25 sentence"));
    assert_eq!(annotations(&page(vec![run(1)], "peak=32M")), "");
}

#[test]
fn a_regression_is_in_every_form() {
    let side = |mib: u64, name: &str| {
        let course = Course { firm_peak_bytes: Some(Bytes(mib << 20)), ..Course::default() };
        let saved =
            Saved::of(&page(vec![Run { course, ..run(mib << 20) }], "peak=1G"), name, Timestamp::UNIX_EPOCH);
        Side::of_saved(&saved.unwrap())
    };
    let against = Some(compare(&side(100, "main"), &side(150, "this run"), false).unwrap());
    let page = Page { against, ..page(vec![run(150 << 20)], "peak=1G") };
    let answer = "B uses 50.0 MiB (50 %) more than A";
    assert!(
        text(&page, Style::default())
            .starts_with("more memory than main: B uses 50.0 MiB (50 %) more than A")
    );
    for form in [text(&page, Style::default()), markdown(&page), html(&page), junit(&page)] {
        assert!(form.contains(answer), "{form}");
    }
    assert!(junit(&page).contains("failures=\"1\""));
    let line =
        "::error title=memtrace%3A more memory than before::more memory than main: B uses 50.0 MiB (50 %25)";
    assert!(annotations(&page).starts_with(line), "{}", annotations(&page));
    let json = serde_json::to_string(&page).unwrap();
    assert_eq!(serde_json::from_str::<Page>(&json).unwrap(), page);
}

#[test]
fn json_comes_back() {
    let page = Page { search: Some(found()), ..page(vec![killed()], "peak=32M") };
    let json = serde_json::to_string(&page).unwrap();
    assert_eq!(serde_json::from_str::<Page>(&json).unwrap(), page);
}
