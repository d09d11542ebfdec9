//! The command from its arguments to its output and exit code.

use std::{io, path::Path};

use clap::{Parser, error::ErrorKind};
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

use super::{ReportArgs, ReportError, When, print, produce};
use crate::{
    oom::record::OomRecord,
    report::Terminal,
    store::{FILE, Store, fixture},
};

#[derive(Debug, Parser)]
struct Command {
    #[command(flatten)]
    args: ReportArgs,
}

fn parse(args: &[&str]) -> Result<ReportArgs, clap::Error> {
    Command::try_parse_from([&["report"], args].concat()).map(|command| command.args)
}

/// Output for these arguments, two minutes after the first kill of the fixture.
fn output(dir: &Path, args: &[&str]) -> Result<String, ReportError> {
    let args = parse(&[&["--state-dir", dir.to_str().unwrap()], args].concat()).unwrap();
    let now = fixture::record(0).time.checked_add(SignedDuration::from_mins(2)).unwrap();
    produce(&args, Terminal::default(), now)
}

fn store_with(records: &[OomRecord]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    Store::open(dir.path()).unwrap().insert_kills(records).unwrap();
    dir
}

fn code(result: Result<String, ReportError>) -> u8 {
    result.unwrap_err().exit_code()
}

#[test]
fn times_are_rfc_3339_or_relative() {
    let hours = |n| Ok(When::Ago(SignedDuration::from_hours(n)));
    assert_eq!(When::parse("2h"), hours(2));
    assert_eq!(When::parse("7d"), hours(7 * 24));
    assert_eq!(When::parse("90s"), Ok(When::Ago(SignedDuration::from_secs(90))));
    let time = Timestamp::new(1_795_374_000, 0).unwrap();
    assert_eq!(When::parse("2026-11-22T20:00:00+01:00"), Ok(When::At(time)));
    for bad in ["", "h", "2", "-2h", "+2h", "2y", "2hä", "9223372036854775807w", "2026-11-22", "yesterday"] {
        assert!(When::parse(bad).is_err(), "{bad}");
    }
    assert_eq!(When::parse("99999999999999d").unwrap().at(time), Timestamp::MIN);
}

#[test]
fn a_kill_of_a_story_says_which_one_it_is() {
    let of = |n: u32| {
        let mut record = fixture::record(n);
        // Each restart is another cgroup; a deployment has another pod after each kill.
        record.circumstances.container = Some(crate::container::name::Name {
            namespace: Some("shop".into()),
            pod: Some(["cart-7d9c5b8f6-x2x4q", "cart-7d9c5b8f6-bcdfg"][n as usize % 2].into()),
            container: Some("redis".into()),
            ..Default::default()
        });
        record
    };
    let (mut records, mut other) = ((0..3).map(of).collect::<Vec<_>>(), of(3));
    other.circumstances.container.as_mut().unwrap().pod = Some("pay-7d9c5b8f6-x2x4q".into());
    records.push(other);
    let dir = store_with(&records);
    let show = |n: usize, form: &str| output(dir.path(), &["show", &records[n].id, "-o", form]).unwrap();
    assert!(show(2, "text").contains("3rd kill of shop/cart/redis in "), "{}", show(2, "text"));
    assert!(show(1, "markdown").contains("2nd kill of shop/cart/redis in "));
    assert!(show(2, "html").contains("3rd kill of shop/cart/redis in "));
    assert!(!show(0, "text").contains("kill of shop"), "the first is no story yet");
    assert!(!show(3, "text").contains("kill of shop"), "nor is another workload's");
    assert!(!show(2, "json").contains("3rd kill"), "the record is as it was stored");
}

#[test]
fn nothing_to_do_is_a_usage_error() {
    assert_eq!(parse(&[]).unwrap_err().kind(), ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand);
    // Also where the environment gives the directory, which counts as an argument.
    let error = parse(&["--state-dir", "/x"]).unwrap_err();
    assert_eq!((error.kind(), error.exit_code()), (ErrorKind::MissingRequiredArgument, 2));
    assert_eq!(parse(&["show", ""]).unwrap_err().exit_code(), 2);
    assert_eq!(parse(&["list", "--since", "soon"]).unwrap_err().exit_code(), 2);
    let dir = store_with(&[fixture::record(0)]);
    assert_eq!(code(output(dir.path(), &["--last", "list"])), 2);
}

#[test]
fn the_state_directory_may_come_before_or_after_the_subcommand() {
    for args in [["--state-dir", "/x", "list"], ["list", "--state-dir", "/x"]] {
        assert_eq!(parse(&args).unwrap().state_dir, Path::new("/x"));
    }
}

#[test]
fn the_last_kill_is_shown_as_text_and_as_json() {
    let dir = store_with(&[fixture::record(0), fixture::record(1)]);
    let text = output(dir.path(), &["--last"]).unwrap();
    assert!(text.starts_with("redis-server (pid 4243) was killed because cgroup"), "{text}");
    let json = output(dir.path(), &["--last", "-o", "json"]).unwrap();
    assert_eq!(serde_json::from_str::<OomRecord>(&json).unwrap(), fixture::record(1));
}

#[test]
fn the_last_kill_of_a_pod_is_shown() {
    let of = |n: u32, pod: &str| {
        let mut record = fixture::record(n);
        let pod = Some(pod.to_owned());
        record.circumstances.container = Some(crate::container::name::Name { pod, ..Default::default() });
        record
    };
    let dir = store_with(&[of(0, "cart-0"), of(1, "cart-0"), of(2, "pay-0")]);
    let json = output(dir.path(), &["--last", "--pod", "cart-0", "-o", "json"]).unwrap();
    assert_eq!(serde_json::from_str::<OomRecord>(&json).unwrap().id, fixture::record(1).id);
    let none = output(dir.path(), &["--last", "--pod", "cart-1"]);
    assert!(none.as_ref().unwrap_err().to_string().contains("that matches these filters"), "{none:?}");
    assert_eq!(code(none), 3);
    // A filter before the subcommand would be ignored.
    assert_eq!(code(output(dir.path(), &["--pod", "cart-0", "list"])), 2);
}

#[test]
fn a_kill_is_shown_by_the_beginning_of_its_id() {
    let dir = store_with(&[fixture::record(0), fixture::record(1)]);
    let id = fixture::record(0).id;
    let json = output(dir.path(), &["show", &id[..20], "-o", "json"]).unwrap();
    assert_eq!(serde_json::from_str::<OomRecord>(&json).unwrap().id, id);
    assert_eq!(code(output(dir.path(), &["show", "2026"])), 1);
    assert_eq!(code(output(dir.path(), &["show", "nothing"])), 1);
}

#[test]
fn the_list_is_filtered_and_has_a_json_form() {
    let dir = store_with(&[fixture::record(0), fixture::record(1)]);
    let lines = |args: &[&str]| output(dir.path(), &[&["list"], args].concat()).unwrap().lines().count();
    assert_eq!(lines(&[]), 3);
    assert_eq!(lines(&["--since", "90s"]), 2);
    assert_eq!(lines(&["-n", "1"]), 2);
    let none = output(dir.path(), &["list", "--comm", "java"]).unwrap();
    assert_eq!(none, "no recorded OOM kill matches these filters\n");
    let json = output(dir.path(), &["list", "-o", "json", "--until", "90s"]).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["schema"], 1);
    assert_eq!(json["kills"].as_array().unwrap().len(), 1);
    assert_eq!(json["kills"][0]["time"], "2026-05-28T20:26:40.123456789Z");
    assert_eq!(json["kills"][0]["scope"], "memcg");
    let empty = output(dir.path(), &["list", "-o", "json", "--comm", "java"]).unwrap();
    assert_eq!(empty, "{\n  \"schema\": 1,\n  \"kills\": []\n}\n");
}

#[test]
fn an_empty_store_is_no_failure_of_the_list_and_has_no_last_kill() {
    let dir = store_with(&[]);
    assert_eq!(output(dir.path(), &["list"]).unwrap(), "no OOM kills recorded\n");
    assert_eq!(code(output(dir.path(), &["--last"])), 3);
}

#[test]
fn exit_codes_tell_no_store_from_a_bad_one() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(code(output(dir.path(), &["list"])), 3);
    assert_eq!(code(output(&dir.path().join("nowhere"), &["list"])), 3);
    std::fs::write(dir.path().join(FILE), "damaged ".repeat(100)).unwrap();
    assert_eq!(code(output(dir.path(), &["list"])), 1);
}

#[test]
fn a_newer_store_is_refused_with_both_versions() {
    let dir = store_with(&[fixture::record(0)]);
    let database = rusqlite::Connection::open(dir.path().join(FILE)).unwrap();
    database.pragma_update(None, "user_version", 99).unwrap();
    let error = output(dir.path(), &["list"]).unwrap_err();
    assert_eq!(error.exit_code(), 1);
    assert!(error.to_string().contains("its version is 99, and this memtrace knows"), "{error}");
}

#[test]
fn colour_is_on_when_asked_for() {
    let dir = store_with(&[fixture::record(0)]);
    let is_coloured = |args: &[&str]| output(dir.path(), args).unwrap().contains('\x1b');
    assert!(!is_coloured(&["--last"]));
    assert!(is_coloured(&["--last", "--color", "always"]));
    assert!(is_coloured(&["list", "--color=always"]));
    assert!(!is_coloured(&["--last", "--color", "always", "-o", "json"]));
}

#[test]
fn a_reader_that_went_away_is_no_failure() {
    struct Closed;
    impl io::Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let dir = store_with(&[fixture::record(0)]);
    let args = parse(&["--last", "--state-dir", dir.path().to_str().unwrap()]).unwrap();
    print(&args, Terminal::default(), &mut Closed).unwrap();
}
