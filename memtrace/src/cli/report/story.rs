//! `memtrace report story`: workloads that are OOM-killed again and again.
//!
//! Arguments and the store -> text or JSON.

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde::Serialize;

use super::{ReportError, Span};
use crate::{
    oom::story::{self, Story},
    report::{Style, stories},
    store::{Filter, Store},
};

/// The version of the JSON form.
const SCHEMA: u32 = 1;
/// The most records that are read, the newest.
const MOST: usize = 2_000;

/// Arguments of `report story`.
#[derive(Debug, Args)]
#[command(after_help = "\
Kills of one workload are one story: restarts of a container, and all pods of a Deployment or DaemonSet.

Examples:
  memtrace report story
  memtrace report story --since 1d cart
  memtrace report story -o json | jq '.stories[] | select(.kills > 5) | .workload'")]
pub struct StoryArgs {
    /// Only workloads whose name contains this text.
    #[arg(value_name = "TEXT")]
    pub workload: Option<String>,
    /// Which kills.
    #[command(flatten)]
    pub span: Span,
    /// Output format.
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t = Form::Text)]
    pub output: Form,
}

/// Output format for stories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// Plain text.
    Text,
    /// JSON.
    Json,
}

/// What `report story` prints.
pub(super) fn story(
    args: &StoryArgs,
    store: &Store,
    now: Timestamp,
    style: Style,
) -> Result<String, ReportError> {
    #[derive(Serialize)]
    struct List {
        schema: u32,
        stories: Vec<Story>,
    }

    let StoryArgs { workload, span, output } = args;
    let filter = span.filter(now);
    let filter = Filter { limit: Some(filter.limit.unwrap_or(MOST).min(MOST)), ..filter };
    let mut records = Vec::new();
    for kill in store.list(&filter)? {
        // One that was deleted in between is no part of a story.
        records.extend(store.kill(&kill.id)?);
    }
    let mut told = story::stories(&records);
    told.retain(|story| workload.as_ref().is_none_or(|text| story.workload.contains(text.as_str())));
    match output {
        Form::Json => Ok(serde_json::to_string_pretty(&List { schema: SCHEMA, stories: told })? + "\n"),
        Form::Text => Ok(stories(&told, style)),
    }
}
