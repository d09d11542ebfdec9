//! `memtrace report`: recorded OOM kills; works without a daemon.
//!
//! Arguments and the store -> text or JSON on `out`. Must not write to the store, and must not need a daemon.

mod exits;
mod story;
mod which;

use std::{
    io::{self, IsTerminal as _, Write},
    path::PathBuf,
    str::FromStr as _,
};

use clap::{Args, Subcommand, ValueEnum, builder::NonEmptyStringValueParser};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use thiserror::Error;

pub use self::{exits::ExitsArgs, story::StoryArgs, which::Which};
use super::{Failure, args::ColorArgs};
use crate::{
    oom::record::OomRecord,
    report::{self, Style, Terminal, html, markdown, table, text},
    store::{Filter, KillSummary, Store, StoreError},
};

/// The version of the list's JSON form.
const LIST_SCHEMA: u32 = 1;

/// Arguments of `report`.
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    subcommand_negates_reqs = true,
    after_help = "\
Examples:
  memtrace report --last                      the newest kill: victim, limit, trigger, cause
  memtrace report --last --pod cart-0         the newest kill in this pod
  memtrace report list --since 2h             kills of the last two hours
  memtrace report list --cgroup pod6e0b4bb2   kills in one pod, or because of its limit
  memtrace report list --namespace shop --cause leak
  memtrace report --last -o html > kill.html
  memtrace report show 20261122T190501Z-42    one kill; the start of its id is enough
  memtrace report list -o json | jq -r '.kills[].id'
  memtrace report story --since 1d            workloads that were killed more than once

Exit codes: 0 ok, 1 failed (no such record, store unreadable), 2 usage, 3 no store or no kill yet, 4 not permitted."
)]
pub struct ReportArgs {
    /// The subcommand.
    #[command(subcommand)]
    pub command: Option<ReportCommand>,
    /// Show the newest kill.
    #[arg(long, required = true)]
    pub last: bool,
    /// Whose kills.
    #[command(flatten)]
    pub which: Which,
    /// Output format for --last.
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t = Format::Text)]
    pub output: Format,
    /// State directory of the daemon, with the recorded kills.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "MEMTRACE_STATE_DIR",
        default_value = "/var/lib/memtrace"
    )]
    pub state_dir: PathBuf,
    /// Colours.
    #[command(flatten)]
    pub color: ColorArgs,
}

/// The subcommands of `report`.
#[derive(Debug, Subcommand)]
pub enum ReportCommand {
    /// List kills, newest first.
    List(ListArgs),
    /// Show one kill.
    Show(ShowArgs),
    /// List how processes ended: OOM kill, signal from a process, or own exit.
    Exits(ExitsArgs),
    /// Tell which workloads are killed again and again, and what their kills have in common.
    Story(StoryArgs),
}

/// Period and maximum number of entries in a list.
#[derive(Debug, Args)]
pub struct Span {
    /// Only entries since this time: RFC 3339, or an age (90s, 30m, 2h, 7d).
    #[arg(long, value_name = "TIME", value_parser = When::parse)]
    pub since: Option<When>,
    /// Only entries before this time: RFC 3339, or an age.
    #[arg(long, value_name = "TIME", value_parser = When::parse)]
    pub until: Option<When>,
    /// At most N entries, the newest.
    #[arg(short = 'n', long, value_name = "N")]
    pub limit: Option<usize>,
}

impl Span {
    /// The store's filter.
    pub(super) fn filter(&self, now: Timestamp) -> Filter {
        Filter {
            since: self.since.map(|when| when.at(now)),
            until: self.until.map(|when| when.at(now)),
            limit: self.limit,
            ..Filter::default()
        }
    }
}

/// Arguments of `report list`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  memtrace report list -n 20
  memtrace report list --since 7d --comm java
  memtrace report list --since 2026-11-22T18:00:00Z --until 2026-11-22T19:00:00+01:00")]
pub struct ListArgs {
    /// Which entries.
    #[command(flatten)]
    pub span: Span,
    /// Whose kills.
    #[command(flatten)]
    pub which: Which,
    /// Output format.
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t = ListFormat::Table)]
    pub output: ListFormat,
}

/// Arguments of `report show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Id of the record, or the start of it.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub id: String,
    /// Output format.
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t = Format::Text)]
    pub output: Format,
}

/// Output format for one kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Plain text.
    Text,
    /// JSON, described in docs/record.md and docs/record.schema.json.
    Json,
    /// Markdown, for a ticket or a chat.
    Markdown,
    /// One HTML file without scripts, with charts of usage and growth.
    Html,
}

/// Output format for a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    /// Table.
    Table,
    /// JSON, described in docs/record.md.
    Json,
}

/// A time as typed by a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// A point in time.
    At(Timestamp),
    /// This long before now.
    Ago(SignedDuration),
}

impl When {
    /// Parses RFC 3339, or a number with a unit.
    ///
    /// # Errors
    /// The expected forms.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Ok(time) = Timestamp::from_str(text) {
            return Ok(Self::At(time));
        }
        let ago = || {
            let unit = text.chars().last()?;
            let seconds = match unit {
                's' => 1,
                'm' => 60,
                'h' => 3_600,
                'd' => 86_400,
                'w' => 604_800,
                _ => return None,
            };
            let count = text.strip_suffix(unit)?;
            // parse() would take a sign.
            let digits = count.bytes().all(|byte| byte.is_ascii_digit());
            let count: i64 = count.parse().ok().filter(|_| digits)?;
            count.checked_mul(seconds).map(SignedDuration::from_secs)
        };
        ago().map(Self::Ago).ok_or_else(|| {
            "expected a time with a zone (2026-11-22T19:00:00Z) or an age (90s, 30m, 2h, 7d)".to_owned()
        })
    }

    /// The point in time; one before the calendar begins becomes its beginning.
    pub fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::Ago(duration) => now.checked_sub(duration).unwrap_or(Timestamp::MIN),
        }
    }
}

/// Why there is no report.
#[derive(Debug, Error)]
pub enum ReportError {
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no such record.
    #[error("failed to find a record in {} whose id starts with {id:?}: `memtrace report list` shows all ids", store.display())]
    NoSuchRecord {
        /// The requested id.
        id: String,
        /// Where.
        store: PathBuf,
    },
    /// There is a store, and nothing in it.
    #[error("failed to find an OOM kill in {}: none has been recorded yet", store.display())]
    NoKills {
        /// Where.
        store: PathBuf,
    },
    /// There are kills, but not such ones.
    #[error("failed to find an OOM kill that matches these filters in {}: `memtrace report list` shows all kills", store.display())]
    NoMatch {
        /// Where.
        store: PathBuf,
    },
    /// The arguments exclude each other.
    #[error("--last cannot be used with a subcommand; filters follow the subcommand")]
    Usage,
    /// The record cannot be written as JSON.
    #[error("failed to write JSON")]
    Json(#[from] serde_json::Error),
    /// The output cannot be written.
    #[error("failed to write the report")]
    Write(#[from] io::Error),
}

impl From<ReportError> for Failure {
    fn from(error: ReportError) -> Self {
        match error.exit_code() {
            2 => Self::Usage(error.into()),
            3 => Self::NoDaemon(error.into()),
            4 => Self::NotPermitted(error.into()),
            _ => Self::Failed(error.into()),
        }
    }
}

impl ReportError {
    /// The documented exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage => 2,
            Self::Store(StoreError::Missing { .. }) | Self::NoKills { .. } | Self::NoMatch { .. } => 3,
            Self::Store(error) if error.is_denied() => 4,
            Self::Store(_) | Self::NoSuchRecord { .. } | Self::Json(_) | Self::Write(_) => 1,
        }
    }
}

/// Runs the command.
///
/// # Errors
/// See [`ReportError`].
pub fn run(args: &ReportArgs, out: &mut dyn Write) -> Result<(), Failure> {
    Ok(print(args, Terminal::from_env(io::stdout().is_terminal()), out)?)
}

/// Prints it. `terminal` says where `out` leads. A reader that went away (`memtrace report list | head`) is no failure.
fn print(args: &ReportArgs, terminal: Terminal, out: &mut dyn Write) -> Result<(), ReportError> {
    let text = produce(args, terminal, Timestamp::now())?;
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}

fn produce(args: &ReportArgs, terminal: Terminal, now: Timestamp) -> Result<String, ReportError> {
    let ReportArgs { command, last, which, output, state_dir, color } = args;
    if command.is_some() && (*last || *which != Which::default()) {
        return Err(ReportError::Usage);
    }
    let style = Style { color: color.is_on(terminal), ..Style::default() };
    let store = Store::open_read_only(state_dir)?;
    let path = || store.path().to_owned();
    match command {
        Some(ReportCommand::List(args)) => {
            list(args, &store, now, Style { width: terminal.list_width(), ..style })
        }
        Some(ReportCommand::Exits(args)) => exits::exits(args, &store, now),
        Some(ReportCommand::Story(args)) => story::story(args, &store, now, style),
        Some(ReportCommand::Show(ShowArgs { id, output })) => match store.kill(id)? {
            Some(record) => one(&record, &store, *output, style),
            None => Err(ReportError::NoSuchRecord { id: id.clone(), store: path() }),
        },
        None => match newest(&store, which)? {
            Some(record) => one(&record, &store, *output, style),
            None if store.count()? == 0 => Err(ReportError::NoKills { store: path() }),
            None => Err(ReportError::NoMatch { store: path() }),
        },
    }
}

/// The newest kill that matches.
fn newest(store: &Store, which: &Which) -> Result<Option<OomRecord>, ReportError> {
    if *which == Which::default() {
        return Ok(store.last_kill()?);
    }
    let filter = which.filter(Filter { limit: Some(1), ..Filter::default() });
    match store.list(&filter)?.first() {
        Some(kill) => Ok(store.kill(&kill.id)?),
        None => Ok(None),
    }
}

fn one(record: &OomRecord, store: &Store, format: Format, style: Style) -> Result<String, ReportError> {
    // JSON is the record itself, which knows nothing of other kills.
    if format == Format::Json {
        return Ok(serde_json::to_string_pretty(record)? + "\n");
    }
    let again = store.story_of(record)?.map(|(story, is_more)| report::again(&story, is_more));
    let again = again.as_deref();
    Ok(match format {
        Format::Markdown => markdown(record, again),
        Format::Html => html(record, again),
        Format::Text | Format::Json => text(record, again, style),
    })
}

fn list(args: &ListArgs, store: &Store, now: Timestamp, style: Style) -> Result<String, ReportError> {
    #[derive(Serialize)]
    struct List {
        schema: u32,
        kills: Vec<KillSummary>,
    }

    let ListArgs { span, which, output } = args;
    let filter = which.filter(span.filter(now));
    let kills = store.list(&filter)?;
    match output {
        ListFormat::Json => Ok(serde_json::to_string_pretty(&List { schema: LIST_SCHEMA, kills })? + "\n"),
        ListFormat::Table if kills.is_empty() && store.count()? > 0 => {
            Ok("no recorded OOM kill matches these filters\n".to_owned())
        }
        ListFormat::Table => Ok(table(&kills, style)),
    }
}

#[cfg(test)]
mod tests;
