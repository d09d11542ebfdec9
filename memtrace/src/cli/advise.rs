//! `memtrace advise`: requests and limits from the history of workloads; works without a daemon.
//!
//! Arguments and the store -> a table, JSON or a patch on `out`. Must not write to the store.

use std::{
    collections::BTreeSet,
    io::{self, IsTerminal as _, Write},
    path::PathBuf,
};

use clap::{Args, ValueEnum};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use thiserror::Error;

use super::{Failure, args::ColorArgs};
use crate::{
    container::workload::Workload,
    history::lasting::slot_of,
    report::{PatchError, Style, Terminal, advice as table, outcomes, patch},
    sizing::{
        advise::{Advice, advise},
        backtest::{Backtest, TRAINED, backtest},
        days::Day,
        versions::Histories,
    },
    store::{Store, StoreError, workload_rows::DAYS},
};

/// The version of the JSON form.
const SCHEMA: u32 = 1;

/// Arguments of `advise`.
#[derive(Debug, Args)]
#[command(after_help = "\
limit = P + C + m: the highest memory that cannot be reclaimed, the page cache that the workload needs, and a margin for \
the differences between its days. request = the median of the daily peaks + C. docs/sizing.md explains the terms.

Examples:
  memtrace advise                            all workloads of this node, those in danger first
  memtrace advise shop/cart                  all containers of one workload
  memtrace advise shop/cart -o patch > cart.yaml
  kubectl -n shop patch deployment cart --type strategic --patch-file cart.yaml
  memtrace advise --backtest                 what this, VPA and KRR would have done on this history
  memtrace advise -o json | jq '.workloads[] | select(.grows != null) | .workload'

Exit codes: 0 ok, 1 failed (no such workload, no patch possible), 2 usage, 3 no store or no history yet, 4 not permitted.")]
pub struct AdviseArgs {
    /// Workloads with this name, or with this text in their names [default: all].
    #[arg(value_name = "TARGET")]
    pub targets: Vec<String>,
    /// Output format.
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t = Form::Table)]
    pub output: Form,
    /// Test the formulas on the history instead: kills that their limits would have caused, and memory that they would
    /// have wasted.
    #[arg(long)]
    pub backtest: bool,
    /// State directory of the daemon.
    #[arg(long, value_name = "DIR", env = "MEMTRACE_STATE_DIR", default_value = "/var/lib/memtrace")]
    pub state_dir: PathBuf,
    /// Colours.
    #[command(flatten)]
    pub color: ColorArgs,
}

/// Output format of advice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// Table.
    Table,
    /// JSON with all terms, in bytes.
    Json,
    /// A strategic-merge patch for `kubectl patch`, for one workload.
    Patch,
}

/// Why there is no advice.
#[derive(Debug, Error)]
pub enum AdviseError {
    /// The store cannot be used.
    #[error(transparent)]
    Store(StoreError),
    /// There is none.
    #[error(
        "no store in {}: run `memtrace daemon` for at least a day, or name its state directory with --state-dir",
        dir.display()
    )]
    NoStore {
        /// The directory.
        dir: PathBuf,
    },
    /// There is a store, and no history in it.
    #[error(
        "no history of workloads in {}: `memtrace daemon` stores the first five minutes after its start, and advice \
         needs a day",
        dir.display()
    )]
    NoHistory {
        /// The directory.
        dir: PathBuf,
    },
    /// No workload matches.
    #[error("no workload has {target:?} in its name: `memtrace advise` lists all")]
    NoSuchWorkload {
        /// What was asked for.
        target: String,
    },
    /// Too few days for a backtest.
    #[error("a backtest needs {} days of history, and the longest here is {days}", TRAINED + 1)]
    TooFewDays {
        /// The most days.
        days: usize,
    },
    /// The arguments exclude each other.
    #[error("--backtest has no patch: use -o table or -o json")]
    Usage,
    /// No patch is possible.
    #[error(transparent)]
    Patch(#[from] PatchError),
    /// JSON cannot be written.
    #[error("failed to write JSON")]
    Json(#[from] serde_json::Error),
    /// The output cannot be written.
    #[error("failed to write the advice")]
    Write(#[from] io::Error),
}

impl From<AdviseError> for Failure {
    fn from(error: AdviseError) -> Self {
        match &error {
            AdviseError::Usage => Self::Usage(error.into()),
            AdviseError::NoStore { .. } | AdviseError::NoHistory { .. } => Self::NoDaemon(error.into()),
            AdviseError::Store(store) if store.is_denied() => Self::NotPermitted(error.into()),
            _ => Self::Failed(error.into()),
        }
    }
}

/// Runs the command.
///
/// # Errors
/// See [`AdviseError`].
pub fn run(args: &AdviseArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let terminal = Terminal::from_env(io::stdout().is_terminal());
    let text = produce(args, terminal, Timestamp::now())?;
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(AdviseError::from)?;
    Ok(())
}

#[derive(Serialize)]
struct List {
    schema: u32,
    workloads: Vec<Advice>,
    /// Rows of the store that could not be read.
    damaged_rows: u64,
}

#[derive(Serialize)]
struct Tests {
    schema: u32,
    backtests: Vec<Backtest>,
}

fn produce(args: &AdviseArgs, terminal: Terminal, now: Timestamp) -> Result<String, AdviseError> {
    if args.backtest && args.output == Form::Patch {
        return Err(AdviseError::Usage);
    }
    let style = Style { color: args.color.is_on(terminal), width: terminal.list_width() };
    let (workloads, damaged_rows) = read(args, now)?;
    if args.backtest {
        let tests = workloads.iter().filter_map(|(workload, days)| backtest(workload.label(), days));
        let backtests: Vec<Backtest> = tests.collect();
        if backtests.is_empty() {
            let days = workloads.iter().map(|(_, days)| days.len()).max().unwrap_or_default();
            return Err(AdviseError::TooFewDays { days });
        }
        return Ok(match args.output {
            Form::Json => serde_json::to_string_pretty(&Tests { schema: SCHEMA, backtests })? + "\n",
            Form::Table | Form::Patch => outcomes(&backtests, style),
        });
    }
    let mut all: Vec<Advice> = workloads.iter().map(|(workload, days)| advise(workload, days, now)).collect();
    match args.output {
        Form::Patch => return Ok(patch(&all)?),
        Form::Json | Form::Table => all.sort_by_key(urgency),
    }
    Ok(match args.output {
        Form::Json => {
            serde_json::to_string_pretty(&List { schema: SCHEMA, workloads: all, damaged_rows })? + "\n"
        }
        Form::Table | Form::Patch => {
            let damaged = match damaged_rows {
                0 => String::new(),
                rows => format!("\n{rows} rows of the history are damaged and left out\n"),
            };
            table(&all, style, !terminal.is_terminal) + &damaged
        }
    })
}

/// In danger first: reached its limit, grows, will be above its limit; then the largest savings.
fn urgency(advice: &Advice) -> (bool, bool, std::cmp::Reverse<u64>, String) {
    let Advice { limit_now_bytes: now, limit_bytes: advised, .. } = advice;
    let apart = now.zip(*advised).map_or(0, |(now, advised)| now.0.abs_diff(advised.0));
    let is_short = now.zip(*advised).is_some_and(|(now, advised)| now < advised);
    let is_calm = !(advice.is_lower_bound || advice.grows.is_some() || is_short);
    (is_calm, advice.limit_bytes.is_none() && is_calm, std::cmp::Reverse(apart), advice.workload.clone())
}

/// Workloads and their days.
type Known = Vec<(Workload, Vec<Day>)>;

/// The days of the wanted workloads, each under its newest image; and the number of damaged rows.
fn read(args: &AdviseArgs, now: Timestamp) -> Result<(Known, u64), AdviseError> {
    let dir = || args.state_dir.clone();
    let store = Store::open_read_only(&args.state_dir).map_err(|error| match error {
        StoreError::Missing { .. } => AdviseError::NoStore { dir: dir() },
        error => AdviseError::Store(error),
    })?;
    let begin = now.checked_sub(SignedDuration::from_hours(i64::from(DAYS) * 24)).unwrap_or(Timestamp::MIN);
    let mut known = Histories::default();
    let damaged = store
        .each_row(slot_of(begin.as_second()), u32::MAX, |_| true, |workload, row| known.push(workload, &row))
        .map_err(AdviseError::Store)?;
    if known.labels().next().is_none() {
        return Err(AdviseError::NoHistory { dir: dir() });
    }
    let wanted = wanted(&args.targets, known.labels())?;
    Ok((known.finish(|label| wanted.contains(label)), damaged))
}

/// The labels that the targets name: exactly, or else by a part.
fn wanted<'a>(
    targets: &[String],
    labels: impl Iterator<Item = &'a str> + Clone,
) -> Result<BTreeSet<String>, AdviseError> {
    if targets.is_empty() {
        return Ok(labels.map(str::to_owned).collect());
    }
    let mut wanted = BTreeSet::new();
    for target in targets {
        let exact: Vec<&str> = labels.clone().filter(|label| label == target).collect();
        let found = if exact.is_empty() {
            labels.clone().filter(|label| label.contains(target.as_str())).collect()
        } else {
            exact
        };
        if found.is_empty() {
            return Err(AdviseError::NoSuchWorkload { target: target.clone() });
        }
        wanted.extend(found.into_iter().map(str::to_owned));
    }
    Ok(wanted)
}

#[cfg(test)]
#[path = "advise/tests.rs"]
mod tests;
