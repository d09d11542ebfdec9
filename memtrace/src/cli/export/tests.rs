//! The command from its arguments to its output, on stores that the tests fill.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use clap::Parser as _;
use tempfile::TempDir;

use crate::{
    cli::{Cli, Command, Failure},
    container::workload::Workload,
    history::lasting::Row,
    oom::record::OomRecord,
    store::{Store, fixture},
};

fn export(arguments: &[&str]) -> Result<String, Failure> {
    let cli = Cli::try_parse_from([&["memtrace", "export"], arguments].concat()).unwrap();
    let Command::Export(args) = cli.command else { panic!("{cli:?}") };
    let mut out = Vec::new();
    super::run(&args, &mut out).map(|()| String::from_utf8(out).unwrap())
}

fn exported(store: &Path, arguments: &[&str]) -> Result<String, Failure> {
    export(&[arguments, &["--state-dir", store.to_str().unwrap()]].concat())
}

fn store_with(records: &[OomRecord]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    Store::open(dir.path()).unwrap().insert_kills(records).unwrap();
    dir
}

fn ids(ndjson: &str) -> Vec<String> {
    let id =
        |line| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_str().unwrap().to_owned();
    ndjson.lines().map(id).collect()
}

#[test]
fn kills_come_oldest_first_in_both_forms_and_in_their_time() {
    let records = [0, 1, 2].map(fixture::record);
    let dir = store_with(&records);
    let all = ids(&exported(dir.path(), &["kills"]).unwrap());
    assert_eq!(all, records.clone().map(|record| record.id));
    let since = records[1].time.to_string();
    assert_eq!(ids(&exported(dir.path(), &["kills", "--since", &since]).unwrap()), all[1..]);
    assert_eq!(ids(&exported(dir.path(), &["kills", "--until", &since]).unwrap()), all[..1]);
    assert_eq!(ids(&exported(dir.path(), &["kills", "-n", "2", "--out", "-"]).unwrap()), all[1..]);
    let csv = exported(dir.path(), &["kills", "-o", "csv"]).unwrap();
    assert!(csv.starts_with("schema,time,id,") && csv.matches("\r\n").count() == 4, "{csv}");
    assert_eq!(exported(dir.path(), &["kills", "--since", "1s"]).unwrap(), "", "no kill is no error");
}

#[test]
fn rows_of_workloads_come_in_their_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let workload = Arc::new(Workload { container: "redis".into(), ..Workload::default() });
    let rows: Vec<_> = (10..20).map(|slot| (Arc::clone(&workload), Row { slot, ..Row::default() })).collect();
    store.insert_rows(&rows).unwrap();
    let lines = |arguments: &[&str]| exported(dir.path(), arguments).unwrap().lines().count();
    assert_eq!(lines(&["rows"]), 10);
    assert_eq!(lines(&["rows", "--since", "1970-01-01T01:00:00Z"]), 8);
    assert_eq!(lines(&["rows", "--until", "1970-01-01T01:00:00Z", "-o", "csv"]), 3, "with the header");
}

#[test]
fn a_file_is_whole_or_as_it_was() {
    let dir = store_with(&[fixture::record(0)]);
    let place = tempfile::tempdir().unwrap();
    let (file, link) = (place.path().join("kills"), place.path().join("link"));
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let to = |path: &Path| exported(dir.path(), &["kills", "--out", path.to_str().unwrap()]);
    assert_eq!(to(&file).unwrap(), "");
    assert_eq!(ids(&fs::read_to_string(&file).unwrap()), [fixture::record(0).id]);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o007, 0, "names are not for everybody");
    fs::write(&file, "old").unwrap();
    to(&link).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_ne!(fs::read_to_string(&file).unwrap(), "old");
    // The store is damaged in the middle of the export.
    fs::write(&file, "old").unwrap();
    let failing = super::OutputArgs { out: file.clone() };
    let error = failing.fill(&mut Vec::new(), |out| {
        out.write_all(b"half")?;
        Err(Failure::Failed(anyhow::anyhow!("the store is gone")))
    });
    assert_eq!(error.unwrap_err().code(), 1);
    assert_eq!(fs::read_to_string(&file).unwrap(), "old");
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 2, "nothing is left behind");
    // A device is not replaced.
    to(Path::new("/dev/null")).unwrap();
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
}

#[test]
fn errors_say_what_to_do() {
    let told = |result: Result<String, Failure>| {
        let failure = result.unwrap_err();
        (failure.code(), format!("{:#}", failure.error().unwrap()))
    };
    let empty = tempfile::tempdir().unwrap();
    for what in ["kills", "rows"] {
        let (code, said) = told(exported(empty.path(), &[what]));
        assert_eq!(code, 3, "{said}");
        assert!(said.contains("run `memtrace daemon`, or name its state directory"), "{said}");
    }
    let dir = store_with(&[]);
    let (code, said) = told(exported(dir.path(), &["kills", "--out", empty.path().to_str().unwrap()]));
    assert_eq!((code, said.contains("name a file in it")), (2, true), "{said}");
    let nowhere = empty.path().join("no/such/file");
    let (code, said) = told(exported(dir.path(), &["kills", "--out", nowhere.to_str().unwrap()]));
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("failed to create a file in") && said.contains("No such file"), "{said}");
}
