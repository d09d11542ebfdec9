//! `advise` on stores that the test fills.

use std::{path::Path, sync::Arc};

use clap::Parser as _;
use jiff::Timestamp;

use super::{AdviseArgs, AdviseError, Failure, Terminal, produce};
use crate::{
    cli::{Cli, Command},
    container::workload::{OwnerKind, Workload},
    history::lasting::{Row, slot_of},
    sizing::days::ROWS,
    store::Store,
    units::Bytes,
};

const MIB: u64 = 1 << 20;
/// Midnight.
const BEGIN: i64 = 20_000 * 86_400;

fn args(dir: &Path, arguments: &[&str]) -> AdviseArgs {
    let dir = dir.display().to_string();
    let all = [&["memtrace", "advise", "--state-dir", &dir], arguments].concat();
    match Cli::try_parse_from(all).unwrap().command {
        Command::Advise(args) => args,
        other => panic!("{other:?}"),
    }
}

fn told(dir: &Path, days: i64, arguments: &[&str]) -> Result<String, AdviseError> {
    let now = Timestamp::from_second(BEGIN + days * 86_400).unwrap();
    produce(&args(dir, arguments), Terminal::default(), now)
}

/// A store with so many days of a workload at this level, in MiB.
fn fill(store: &mut Store, container: &str, image: &str, days: std::ops::Range<u32>, level: u64) {
    let workload = Arc::new(Workload {
        namespace: "shop".into(),
        owner: "cart".into(),
        container: container.into(),
        image: image.into(),
        kind: OwnerKind::Deployment,
    });
    let mib = |mib: u64| Some(Bytes(mib * MIB));
    let rows: Vec<_> = (days.start * ROWS..days.end * ROWS)
        .map(|at| {
            let slot = slot_of(BEGIN) + at;
            let high = mib(level);
            let row = Row {
                slot,
                readings: 300,
                high,
                crest: high,
                low: high,
                scraped: high,
                limit: mib(2000),
                ..Row::default()
            };
            (Arc::clone(&workload), row)
        })
        .collect();
    store.insert_rows(&rows).unwrap();
}

#[test]
fn a_missing_store_and_an_empty_one_say_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let code = |error: AdviseError| Failure::from(error).code();
    let error = told(dir.path(), 1, &[]).unwrap_err();
    assert!(error.to_string().contains("run `memtrace daemon` for at least a day"), "{error}");
    assert_eq!(code(error), 3);
    drop(Store::open(dir.path()).unwrap());
    let error = told(dir.path(), 1, &[]).unwrap_err();
    assert!(error.to_string().contains("advice needs a day"), "{error}");
    assert_eq!(code(error), 3);
    assert_eq!(code(told(dir.path(), 1, &["--backtest", "-o", "patch"]).unwrap_err()), 2);
}

#[test]
fn workloads_are_named_and_come_as_table_json_and_patch() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    fill(&mut store, "redis", "redis:7", 0..10, 500);
    fill(&mut store, "web", "web:1", 0..10, 100);
    let table = told(dir.path(), 10, &[]).unwrap();
    assert!(table.contains("shop/cart/redis") && table.contains("510.0 MiB"), "{table}");
    let json: serde_json::Value =
        serde_json::from_str(&told(dir.path(), 10, &["redis", "-o", "json"]).unwrap()).unwrap();
    let of = &json["workloads"][0];
    assert_eq!((json["schema"].as_u64(), json["workloads"].as_array().unwrap().len()), (Some(1), 1));
    assert_eq!(
        (of["workload"].as_str(), of["limit_bytes"].as_u64()),
        (Some("shop/cart/redis"), Some(510 * MIB))
    );
    assert_eq!(of["terms"]["peak"]["grade"].as_str(), Some("read"));
    let patch = told(dir.path(), 10, &["shop/cart", "-o", "patch"]).unwrap();
    assert!(patch.contains("name: \"redis\"") && patch.contains("name: \"web\""), "{patch}");
    let error = told(dir.path(), 10, &["nobody"]).unwrap_err();
    assert!(error.to_string().contains("`memtrace advise` lists all"), "{error}");
    let tests = told(dir.path(), 10, &["--backtest"]).unwrap();
    assert!(tests.contains("shop/cart/web"), "{tests}");
}

#[test]
fn a_new_image_counts_alone_when_it_ran_long_enough() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    fill(&mut store, "redis", "redis:7", 0..10, 500);
    fill(&mut store, "redis", "redis:8", 10..12, 300);
    let limit = |days| {
        let json = told(dir.path(), days, &["-o", "json"]).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        (json["workloads"][0]["limit_bytes"].as_u64().unwrap() / MIB, json["workloads"][0]["image"].clone())
    };
    assert_eq!(limit(12), (510, "redis:8".into()));
    fill(&mut store, "redis", "redis:8", 12..14, 300);
    assert_eq!(limit(14), (306, "redis:8".into()));
}

#[test]
fn a_backtest_of_a_few_days_says_how_many_it_needs() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    fill(&mut store, "redis", "redis:7", 0..3, 500);
    let error = told(dir.path(), 3, &["--backtest"]).unwrap_err();
    assert_eq!(error.to_string(), "a backtest needs 9 days of history, and the longest here is 3");
}
