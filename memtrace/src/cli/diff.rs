//! `memtrace diff`: two versions of a program, compared.
//!
//! Arguments -> two sides -> the comparison on `out`, or in a file. Must not write to the store.

use std::io::{self, IsTerminal as _, Write};

use anyhow::{Context as _, anyhow};
use clap::{Args, ValueEnum};

use super::{Failure, args::ColorArgs, export::output::OutputArgs, sides::SideArgs};
use crate::{
    report::{Style, Terminal, diff as forms},
    sizing::{
        diff::{Diff, Refusal, Verdict, compare},
        run::{End, judge::BROKEN},
    },
};

/// Arguments of `diff`.
#[derive(Debug, Args)]
#[command(after_help = "\
A and B are each one of:
  NAME                 a baseline: `memtrace run --save NAME`, `memtrace baseline save NAME TARGET`
  FILE                 one that `memtrace baseline export` wrote
  WORKLOAD             a workload of the daemon's history, in its newest version
  WORKLOAD@previous    in the version before that; WORKLOAD@TEXT: in the version with TEXT in its image
  WORKLOAD@2d..1d      its rows of a span: from 2 days ago to 1 day ago; 1d: since a day ago; times as RFC 3339
  TARGET               what runs now, as for `memtrace explain`: pid, container, pod, unit, cgroup
baseline:, file:, history: and live: (or pid:) before a name say which is meant.

A regression is shown when the whole 95 % interval of the shift is above 2 % and 4 MiB. docs/diff.md explains the rules.

Examples:
  memtrace run --save before --repeat 6 -- ./bench
  memtrace run --save after --repeat 6 -- ./bench
  memtrace diff before after
  memtrace diff before after -o markdown --out memory.md     for a pull request
  memtrace diff shop/cart/redis@previous shop/cart/redis     two versions of a workload
  memtrace diff 'redis.service@2d..1d' redis.service@1d      yesterday and today
  memtrace diff pid:4711 pid:4712 -o svg --out diff.svg      flame graph of the difference
  memtrace diff before after --check                         exit code 5 on a regression

Exit codes: 0 ok, 1 failed (a side cannot be read, or the two cannot be compared), 2 usage, 3 no daemon, 4 not permitted, \
5 a regression, with --check.")]
pub struct DiffArgs {
    /// The side to compare with: the old version.
    #[arg(value_name = "A")]
    pub a: String,
    /// The side that is judged: the new version.
    #[arg(value_name = "B")]
    pub b: String,
    /// Output format.
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t = Form::Text)]
    pub output: Form,
    /// Where to.
    #[command(flatten)]
    pub to: OutputArgs,
    /// End with exit code 5 on a regression.
    #[arg(long)]
    pub check: bool,
    /// Also compare different programs.
    #[arg(long)]
    pub any_program: bool,
    /// Colours.
    #[command(flatten)]
    pub color: ColorArgs,
    /// Where sides are.
    #[command(flatten)]
    pub sides: SideArgs,
}

/// Form of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// Plain text.
    Text,
    /// Markdown, for a pull request.
    Markdown,
    /// One HTML file without scripts.
    Html,
    /// JSON with all figures, in bytes.
    Json,
    /// Flame graph of the difference, where call stacks are known.
    Svg,
}

impl From<Refusal> for Failure {
    fn from(error: Refusal) -> Self {
        Self::Failed(anyhow::Error::new(error).context("cannot compare"))
    }
}

/// Runs the command.
///
/// # Errors
/// See [`Failure`]; a regression is one with `--check`.
pub fn run(args: &DiffArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let of = |name: char, word: &str| {
        // Of two sides the user has to know which one failed.
        args.sides.side(word).map_err(|failure| failure.context(format!("side {name}")))
    };
    let diff = compare(&of('A', &args.a)?, &of('B', &args.b)?, args.any_program)?;
    let terminal = Terminal::from_env(io::stdout().is_terminal() && args.to.is_stdout());
    let style = Style { color: args.color.is_on(terminal), width: terminal.list_width() };
    let text = form(&diff, args.output, style)?;
    args.to.fill(out, |out| Ok(out.write_all(text.as_bytes())?))?;
    if args.check && diff.verdict == Verdict::Regression {
        return Err(Failure::Ended(End::Exited(BROKEN)));
    }
    Ok(())
}

fn form(diff: &Diff, form: Form, style: Style) -> Result<String, Failure> {
    Ok(match form {
        Form::Text => forms::text(diff, style),
        Form::Markdown => forms::markdown(diff),
        Form::Html => forms::html(diff),
        Form::Json => serde_json::to_string_pretty(diff).context("failed to write JSON")? + "\n",
        Form::Svg => forms::svg(diff).ok_or_else(|| {
            Failure::Failed(anyhow!(
                "no flame graph: neither side has call stacks. They are kept while a daemon runs, of what grew in the \
                 minute before"
            ))
        })?,
    })
}

#[cfg(test)]
#[path = "diff/tests.rs"]
mod tests;
