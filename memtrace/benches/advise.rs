//! How long `memtrace advise` takes with a full store: 35 days of 30 containers.
//!
//! `cargo bench -p memtrace --bench advise`; with `-- DIR` the store stays there, to run programs on it. Prints and does not
//! judge.

// The generator of the tests, which knows these rooms by the name that they have in the library.
#[path = "../src/sizing/tests/node.rs"]
#[expect(clippy::indexing_slicing, reason = "a test's")]
mod node;
#[path = "../src/sizing/tests/traces.rs"]
#[expect(dead_code, clippy::indexing_slicing, reason = "a test's")]
mod traces;

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context as _, Result, bail};
use clap::Parser as _;
use jiff::Timestamp;
use memtrace::{
    cli::{Cli, Command, advise},
    clock::thread_cpu,
    container, history, sizing,
    store::{FILE, Store},
    units,
};

const WORKLOADS: u32 = 30;
const ROUNDS: usize = 5;
const FORMS: [(&str, &[&str]); 4] = [
    ("table", &[]),
    ("one workload", &["service-7/"]),
    ("JSON", &["-o", "json"]),
    ("backtest", &["--backtest"]),
];

fn fill(dir: &Path) -> Result<()> {
    let now = history::lasting::slot_of(Timestamp::now().as_second());
    let mut store = Store::open(dir)?;
    let mut outcome = Ok(());
    node::each_day(&node::node(WORKLOADS), now - node::DAYS * sizing::days::ROWS, |rows| {
        let stored = store.insert_rows(rows);
        outcome = std::mem::replace(&mut outcome, Ok(())).and(stored);
    });
    Ok(outcome?)
}

/// Wall-clock time, and time of this thread on a CPU.
fn advice(dir: &Path, more: &[&str]) -> Result<(f64, f64)> {
    let dir = dir.to_str().context("the directory is no text")?;
    let arguments = [&["memtrace", "advise", "--state-dir", dir], more].concat();
    let Command::Advise(args) = Cli::try_parse_from(arguments)?.command else { bail!("another command") };
    let mut out = Vec::new();
    let (begin, cpu) = (Instant::now(), thread_cpu());
    if let Err(failure) = advise::run(&args, &mut out) {
        bail!("{failure:?}");
    }
    Ok((begin.elapsed().as_secs_f64(), (thread_cpu() - cpu).as_secs_f64()))
}

fn main() -> Result<()> {
    // `cargo bench` adds --bench.
    let given: Option<PathBuf> = env::args_os().skip(1).find(|word| word != "--bench").map(Into::into);
    let own = tempfile::tempdir()?;
    let dir = given.as_deref().unwrap_or(own.path());
    if !dir.join(FILE).exists() {
        fs::create_dir_all(dir)?;
        fill(dir)?;
    }
    let bytes = fs::metadata(dir.join(FILE))?.len();
    println!("store of {} days, {WORKLOADS} containers: {:.1} MB", node::DAYS, bytes as f64 / 1e6);
    for (what, arguments) in FORMS {
        let mut times = (0..ROUNDS).map(|_| advice(dir, arguments)).collect::<Result<Vec<_>>>()?;
        times.sort_by(|one, other| one.0.total_cmp(&other.0));
        let (wall, cpu) = times.get(ROUNDS / 2).context("no round")?;
        println!("{what}: {wall:.2} s, {cpu:.2} s of them on a CPU (the middle of {ROUNDS})");
    }
    Ok(())
}
