//! `memtrace report exits`: how processes ended, and who ended them.
//!
//! Arguments and the store -> a table or JSON. Covers the first processes of containers, and all
//! processes that a signal ended.

use std::fmt::Write as _;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::{ListFormat, ReportError, Span};
use crate::{
    oom::exit::{ExitRecord, SCHEMA},
    store::{Filter, Store},
};

/// Arguments of `report exits`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  memtrace report exits -n 20
  memtrace report exits --since 1h --cgroup pod6e0b4bb2
  memtrace report exits -o json | jq '.exits[] | select(.kind != \"oom_kill\" and .signal == 9)'")]
pub struct ExitsArgs {
    /// Which entries.
    #[command(flatten)]
    pub span: Span,
    /// Only processes with this text in their cgroup path.
    #[arg(long, value_name = "TEXT")]
    pub cgroup: Option<String>,
    /// Output format.
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t = ListFormat::Table)]
    pub output: ListFormat,
}

/// What `report exits` prints.
pub(super) fn exits(args: &ExitsArgs, store: &Store, now: Timestamp) -> Result<String, ReportError> {
    #[derive(Serialize)]
    struct List {
        schema: u32,
        exits: Vec<ExitRecord>,
    }

    let ExitsArgs { span, cgroup, output } = args;
    let exits = store.exits(&Filter { cgroup: cgroup.clone(), ..span.filter(now) })?;
    match output {
        ListFormat::Json => Ok(serde_json::to_string_pretty(&List { schema: SCHEMA, exits })? + "\n"),
        ListFormat::Table if exits.is_empty() => Ok("no process exits recorded\n".to_owned()),
        ListFormat::Table => Ok(table(&exits)),
    }
}

/// One end in two lines: when and who, then how.
fn table(exits: &[ExitRecord]) -> String {
    let mut out = String::new();
    for exit in exits {
        let name = exit.container.as_ref().and_then(|name| name.label());
        let place = name.or_else(|| exit.task.cgroup.clone()).unwrap_or_default();
        let who = exit.task.process_comm.as_ref().unwrap_or(&exit.task.comm);
        let pid = exit.task.pid.unwrap_or(exit.task.tid);
        let time = exit.time.strftime("%Y-%m-%d %H:%M:%S");
        let _ = writeln!(out, "{time}  {who} ({pid})  {place}\n    {}", exit.sentence);
        if let Some(disagreement) = &exit.disagreement {
            let _ = writeln!(out, "    {disagreement}");
        }
    }
    out
}
