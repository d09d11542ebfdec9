//! `memtrace baseline`: runs that `memtrace run --save` has saved.
//!
//! Arguments and the state directory -> text or JSON on `out`. Must not need a daemon.

use std::{
    io::{self, IsTerminal as _, Write},
    path::PathBuf,
};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::{
    Failure,
    args::{ColorArgs, Form},
};
use crate::{
    report::{Style, Terminal, run as forms},
    sizing::saved::{self, SCHEMA, Saved},
    store::baselines::{BaselineError, Baselines},
};

/// Arguments of `baseline`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  memtrace run --save before -- ./bench       save a run
  memtrace baseline list
  memtrace baseline show before
  memtrace baseline show before -o json | jq .peak.bytes
  memtrace baseline rm before

Exit codes: 0 ok, 1 failed (no such saved run, or it cannot be read), 2 usage, 4 not permitted.")]
pub struct BaselineArgs {
    /// The subcommand.
    #[command(subcommand)]
    pub command: BaselineCommand,
    /// State directory, with the saved runs.
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

/// The subcommands of `baseline`.
#[derive(Debug, Subcommand)]
pub enum BaselineCommand {
    /// List the saved runs.
    List {
        /// Output format.
        #[arg(short, long, value_name = "FORM", value_enum, default_value_t = Form::Text)]
        output: Form,
    },
    /// Show a saved run.
    Show {
        /// Its name.
        #[arg(value_name = "NAME", value_parser = saved::name)]
        name: String,
        /// Output format.
        #[arg(short, long, value_name = "FORM", value_enum, default_value_t = Form::Text)]
        output: Form,
    },
    /// Remove saved runs.
    Rm {
        /// Their names.
        #[arg(value_name = "NAME", value_parser = saved::name, required = true)]
        names: Vec<String>,
    },
}

impl From<BaselineError> for Failure {
    fn from(error: BaselineError) -> Self {
        if error.is_denied() { Self::NotPermitted(error.into()) } else { Self::Failed(error.into()) }
    }
}

#[derive(Serialize)]
struct List {
    schema: u32,
    runs: Vec<Saved>,
    /// Names of those that cannot be read, with the reason.
    unreadable: Vec<(String, String)>,
}

/// Runs the command.
///
/// # Errors
/// See [`BaselineError`].
pub fn run(args: &BaselineArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let baselines = Baselines::of(&args.state_dir);
    let terminal = Terminal::from_env(io::stdout().is_terminal());
    let style = Style { color: args.color.is_on(terminal), width: terminal.list_width() };
    let text = match &args.command {
        BaselineCommand::List { output } => list(&baselines, *output, style)?,
        BaselineCommand::Show { name, output: Form::Text } => forms::saved(&baselines.load(name)?, style),
        BaselineCommand::Show { name, output: Form::Json } => json(&baselines.load(name)?)?,
        BaselineCommand::Rm { names } => {
            names.iter().try_for_each(|name| baselines.remove(name))?;
            String::new()
        }
    };
    out.write_all(text.as_bytes()).and_then(|()| out.flush())?;
    Ok(())
}

fn list(baselines: &Baselines, output: Form, style: Style) -> Result<String, Failure> {
    let all = baselines.list()?.into_iter();
    let all: Vec<(String, Result<Saved, String>)> = all
        .map(|(name, saved)| (name, saved.map_err(|error| format!("{:#}", anyhow::Error::new(error)))))
        .collect();
    if output == Form::Text {
        return Ok(match all.is_empty() {
            true => "no saved runs: `memtrace run --save NAME -- CMD` saves one\n".to_owned(),
            false => forms::list(&all, style),
        });
    }
    let mut list = List { schema: SCHEMA, runs: Vec::new(), unreadable: Vec::new() };
    for (name, saved) in all {
        match saved {
            Ok(saved) => list.runs.push(saved),
            Err(why) => list.unreadable.push((name, why)),
        }
    }
    json(&list)
}

fn json(value: &impl Serialize) -> Result<String, Failure> {
    Ok(serde_json::to_string_pretty(value).context("failed to write JSON")? + "\n")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use jiff::Timestamp;

    use super::*;
    use crate::{
        cli::{Cli, Command},
        sizing::run::fixture::{page, run as a_run},
    };

    /// What a command line prints, or its failure's code.
    fn said(dir: &std::path::Path, words: &[&str]) -> Result<String, u8> {
        let dir = dir.to_str().unwrap();
        let words = [&["memtrace", "baseline"], words, &["--state-dir", dir, "--color", "never"]].concat();
        let Command::Baseline(args) = Cli::try_parse_from(words).unwrap().command else { panic!() };
        let mut out = Vec::new();
        run(&args, &mut out).map_err(|failure| failure.code())?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn saved_runs_are_listed_shown_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        assert!(said(dir.path(), &["list"]).unwrap().contains("--save NAME"));
        let baselines = Baselines::of(dir.path());
        baselines.prepare("before").unwrap();
        for name in ["before", "after"] {
            baselines.save(&Saved::of(&page(a_run(64 << 20)), name, Timestamp::UNIX_EPOCH).unwrap()).unwrap();
        }
        let list = said(dir.path(), &["list"]).unwrap();
        assert!(list.lines().nth(1).unwrap().starts_with("after"), "{list}");
        assert!(list.contains("64.0 MiB") && list.contains("make test"), "{list}");
        let shown = said(dir.path(), &["show", "before"]).unwrap();
        assert!(shown.starts_with("before: peak 64.0 MiB; exit code 0 after 1.5 s"), "{shown}");
        let json: Saved =
            serde_json::from_str(&said(dir.path(), &["show", "before", "-o", "json"]).unwrap()).unwrap();
        assert_eq!(json, baselines.load("before").unwrap());
        assert_eq!(said(dir.path(), &["rm", "before", "after"]).unwrap(), "");
        assert_eq!(said(dir.path(), &["rm", "before"]), Err(1));
        assert_eq!(said(dir.path(), &["show", "before"]), Err(1));
    }

    #[test]
    fn what_cannot_be_read_is_listed_too() {
        let dir = tempfile::tempdir().unwrap();
        Baselines::of(dir.path()).prepare("x").unwrap();
        std::fs::write(dir.path().join("baselines/cut.json"), "{").unwrap();
        assert!(said(dir.path(), &["list"]).unwrap().contains("it is no saved run"));
        let list: serde_json::Value =
            serde_json::from_str(&said(dir.path(), &["list", "-o", "json"]).unwrap()).unwrap();
        assert_eq!(list["unreadable"][0][0], "cut");
    }
}
