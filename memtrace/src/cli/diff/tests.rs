//! Comparisons by the command line, with baselines in a directory.

use std::path::Path;

use clap::Parser as _;
use jiff::Timestamp;

use super::run;
use crate::{
    cli::{Cli, Command},
    sizing::{
        diff::{Diff, Verdict},
        run::{Run, course::Course, fixture},
        saved::Saved,
    },
    store::baselines::Baselines,
    units::Bytes,
};

/// What a command line prints, or its failure's code and text.
fn said(dir: &Path, words: &[&str]) -> Result<String, (u8, String)> {
    let dir = dir.to_str().unwrap();
    let words =
        [&["memtrace", "diff"], words, &["--state-dir", dir, "--color", "never", "--socket", "/nowhere"]];
    let Command::Diff(args) = Cli::try_parse_from(words.concat()).unwrap().command else { panic!() };
    let mut out = Vec::new();
    run(&args, &mut out).map_err(|failure| {
        (failure.code(), failure.error().map_or_else(String::new, |error| format!("{error:#}")))
    })?;
    Ok(String::from_utf8(out).unwrap())
}

fn save(dir: &Path, name: &str, command: &str, mib: u64) {
    let firm = Some(Bytes(mib << 20));
    let course = Course { firm_peak_bytes: firm, plateau_bytes: firm, ..Course::default() };
    let mut page = fixture::page(Run { course, ..fixture::run((mib + 7) << 20) });
    page.command = vec![command.to_owned(), "--fast".to_owned()];
    page.runs = vec![page.runs[0].clone(); 6];
    let baselines = Baselines::of(dir);
    baselines.prepare(name).unwrap();
    baselines.save(&Saved::of(&page, name, Timestamp::UNIX_EPOCH).unwrap().into()).unwrap();
}

#[test]
fn saved_runs_are_compared_in_every_form() {
    let dir = tempfile::tempdir().unwrap();
    save(dir.path(), "before", "/usr/bin/redis7", 250);
    save(dir.path(), "after", "/opt/redis8", 300);
    let text = said(dir.path(), &["before", "after"]).unwrap();
    assert!(
        text.starts_with("B uses 50.0 MiB (20 %) more than A; 95 % interval 50.0 MiB to 50.0 MiB"),
        "{text}"
    );
    assert!(text.contains("6 runs of `/opt/redis8 --fast`"), "{text}");
    let json: Diff =
        serde_json::from_str(&said(dir.path(), &["before", "after", "-o", "json"]).unwrap()).unwrap();
    assert_eq!((json.verdict, json.shift.bytes), (Verdict::Regression, 50 << 20));
    assert_eq!(json.also.len(), 2);
    assert!(said(dir.path(), &["before", "after", "-o", "markdown"]).unwrap().starts_with("# B uses"));
    assert!(said(dir.path(), &["before", "after", "-o", "html"]).unwrap().starts_with("<!DOCTYPE html>"));
    let (code, why) = said(dir.path(), &["before", "after", "-o", "svg"]).unwrap_err();
    assert!(code == 1 && why.contains("call stacks"), "{why}");
    let file = dir.path().join("memory.md");
    let to = file.to_str().unwrap();
    assert_eq!(said(dir.path(), &["before", "after", "-o", "markdown", "--out", to]).unwrap(), "");
    assert!(std::fs::read_to_string(&file).unwrap().contains("## Figures"));
}

#[test]
fn exit_codes() {
    let dir = tempfile::tempdir().unwrap();
    save(dir.path(), "before", "redis", 250);
    save(dir.path(), "after", "redis", 300);
    save(dir.path(), "other", "postgres", 300);
    std::fs::write(dir.path().join("baselines/cut.json"), "{").unwrap();
    std::fs::write(dir.path().join("baselines/newer.json"), "{\"schema\":9}").unwrap();
    let file = dir.path().join("baselines/before.json");
    for (words, wanted, why) in [
        (&["before", "after"][..], Ok(()), ""),
        (&["before", "after", "--check"], Err(5), ""),
        (&["after", "before", "--check"], Ok(()), ""),
        (&["before", "before", "--check"], Ok(()), ""),
        (&[file.to_str().unwrap(), "baseline:after", "--check"], Err(5), ""),
        (&["before", "other"], Err(1), "cannot compare: A is of \"redis\" and B is of \"postgres\""),
        (&["before", "other", "--any-program"], Ok(()), ""),
        (&["before", "cut"], Err(1), "side B: failed to read"),
        (&["newer", "before"], Err(1), "its version is 9, which is newer"),
        (&["baseline:none", "before"], Err(1), "side A: no saved run \"none\""),
        (&["baseline:../x", "before"], Err(2), "a name has letters"),
        (&["file:/nowhere.json", "before"], Err(1), "side A: failed to read /nowhere.json"),
        (&["history:web@1d", "before"], Err(1), "side A: no workload of the history"),
        (&["before", "live:redis"], Err(3), "side B: no daemon answers"),
    ] {
        let got = said(dir.path(), words);
        let text = got.as_ref().err().map_or("", |(_, text)| text.as_str());
        assert!(text.contains(why), "{words:?}: {text}");
        assert_eq!(got.as_ref().map(drop).map_err(|(code, _)| *code), wanted, "{words:?}: {text}");
    }
}
