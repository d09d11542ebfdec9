//! `memtrace baseline`: what is kept to compare with later.
//!
//! Arguments and the state directory -> text, JSON or a file. Only `save` of what runs now asks a daemon.

use std::{
    io::{self, IsTerminal as _, Write},
    path::PathBuf,
};

use anyhow::{Context as _, anyhow};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Serialize;

use super::{
    Failure,
    args::{ColorArgs, Form},
    export::output::OutputArgs,
    sides::SideArgs,
};
use crate::{
    report::{Style, Terminal, run as forms},
    sizing::{
        diff::side::Origin,
        kept::Kept,
        saved::{self, SCHEMA},
    },
    store::baselines::{BaselineError, Baselines},
};

/// Arguments of `baseline`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  memtrace run --save before -- ./bench              save a run
  memtrace baseline save main shop/cart/redis@1d     a day of a workload's history
  memtrace baseline list
  memtrace baseline show before
  memtrace baseline show before -o json | jq .peak.bytes
  memtrace baseline export before before.json        for another machine
  memtrace baseline import before.json --name old
  memtrace baseline rm before
  memtrace diff before after

Exit codes: 0 ok, 1 failed (no such saved run, or it cannot be read), 2 usage, 4 not permitted.")]
pub struct BaselineArgs {
    /// The subcommand.
    #[command(subcommand)]
    pub command: BaselineCommand,
    /// Where baselines and history are.
    #[command(flatten)]
    pub sides: SideArgs,
    /// Colours.
    #[command(flatten)]
    pub color: ColorArgs,
}

/// The subcommands of `baseline`.
#[derive(Debug, Subcommand)]
pub enum BaselineCommand {
    /// Save what a workload used, or what runs now.
    Save {
        /// The name to save it under; replaces an earlier one of that name.
        #[arg(value_name = "NAME", value_parser = saved::name)]
        name: String,
        /// A workload's history or what runs now, as for `memtrace diff`: shop/cart/redis@1d, redis.service, pid:4711.
        #[arg(value_name = "TARGET")]
        target: String,
    },
    /// List the baselines.
    List {
        /// Output format.
        #[arg(short, long, value_name = "FORM", value_enum, default_value_t = Form::Text)]
        output: Form,
    },
    /// Show a baseline.
    Show {
        /// Its name.
        #[arg(value_name = "NAME", value_parser = saved::name)]
        name: String,
        /// Output format.
        #[arg(short, long, value_name = "FORM", value_enum, default_value_t = Form::Text)]
        output: Form,
    },
    /// Write a baseline to a file.
    Export {
        /// Its name.
        #[arg(value_name = "NAME", value_parser = saved::name)]
        name: String,
        /// File to write, or - for stdout.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Read a baseline from a file.
    Import {
        /// File to read.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Name for it [default: the one in the file].
        #[arg(long, value_name = "NAME", value_parser = saved::name)]
        name: Option<String>,
    },
    /// Remove baselines.
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
    runs: Vec<Kept>,
    /// Names of those that cannot be read, with the reason.
    unreadable: Vec<(String, String)>,
}

/// Runs the command.
///
/// # Errors
/// See [`BaselineError`].
pub fn run(args: &BaselineArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let baselines = Baselines::of(&args.sides.state_dir);
    let terminal = Terminal::from_env(io::stdout().is_terminal());
    let style = Style { color: args.color.is_on(terminal), width: terminal.list_width() };
    let text = match &args.command {
        BaselineCommand::List { output } => list(&baselines, *output, style)?,
        BaselineCommand::Show { name, output: Form::Text } => forms::saved(&baselines.load(name)?, style),
        BaselineCommand::Show { name, output: Form::Json } => json(&baselines.load(name)?)?,
        BaselineCommand::Save { name, target } => {
            baselines.prepare(name)?;
            let side = args.sides.side(target)?;
            if side.origin == Origin::Run {
                return Err(Failure::Usage(anyhow!(
                    "{target:?} is a saved run: `memtrace baseline export` and `import --name` copy it"
                )));
            }
            let path = baselines.save(&Kept::of(side, name, Timestamp::now()))?;
            format!("saved {}\n", path.display())
        }
        BaselineCommand::Export { name, file } => {
            let bytes = baselines.load(name)?.bytes().context("it does not fit its form any more")?;
            let to = OutputArgs { out: file.clone() };
            return to.fill(out, |out| Ok(out.write_all(&bytes)?));
        }
        BaselineCommand::Import { file, name } => {
            let kept = Baselines::read(file)?;
            // The name in a file may be anything.
            let own = || {
                saved::name(kept.name()).map_err(|error| anyhow!("the name in it cannot be used: {error}"))
            };
            let name = name.clone().map_or_else(own, Ok)?;
            baselines.prepare(&name)?;
            let path = baselines.save(&kept.renamed(&name))?;
            format!("saved {}\n", path.display())
        }
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
    let all: Vec<(String, Result<Kept, String>)> = all
        .map(|(name, saved)| (name, saved.map_err(|error| format!("{:#}", anyhow::Error::new(error)))))
        .collect();
    if output == Form::Text {
        return Ok(match all.is_empty() {
            true => "no baselines: `memtrace run --save NAME -- CMD` or `memtrace baseline save NAME TARGET` saves one\n".to_owned(),
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

    use super::*;
    use crate::{
        cli::{Cli, Command},
        sizing::{
            run::fixture::{page, run as a_run},
            saved::Saved,
        },
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
            let saved = Saved::of(&page(a_run(64 << 20)), name, Timestamp::UNIX_EPOCH).unwrap();
            baselines.save(&saved.into()).unwrap();
        }
        let list = said(dir.path(), &["list"]).unwrap();
        assert!(list.lines().nth(1).unwrap().starts_with("after"), "{list}");
        assert!(list.contains("64.0 MiB") && list.contains("make test"), "{list}");
        let shown = said(dir.path(), &["show", "before"]).unwrap();
        assert!(shown.starts_with("before: peak 64.0 MiB; exit code 0 after 1.5 s"), "{shown}");
        let json: Saved =
            serde_json::from_str(&said(dir.path(), &["show", "before", "-o", "json"]).unwrap()).unwrap();
        assert_eq!(Kept::from(json), baselines.load("before").unwrap());
        assert_eq!(said(dir.path(), &["rm", "before", "after"]).unwrap(), "");
        assert_eq!(said(dir.path(), &["rm", "before"]), Err(1));
        assert_eq!(said(dir.path(), &["show", "before"]), Err(1));
    }

    #[test]
    fn a_baseline_goes_to_another_machine_and_keeps_its_bytes() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let baselines = Baselines::of(here.path());
        baselines.prepare("before").unwrap();
        let saved = Saved::of(&page(a_run(64 << 20)), "before", Timestamp::UNIX_EPOCH).unwrap();
        baselines.save(&saved.clone().into()).unwrap();
        let file = here.path().join("x.json");
        let path = file.to_str().unwrap();
        assert_eq!(said(here.path(), &["export", "before", path]).unwrap(), "");
        assert_eq!(said(here.path(), &["export", "before", "-"]).unwrap().as_bytes(), saved.bytes().unwrap());
        assert!(said(there.path(), &["import", path]).unwrap().contains("before.json"));
        said(there.path(), &["import", path, "--name", "old"]).unwrap();
        let there = Baselines::of(there.path());
        assert_eq!(there.load("before").unwrap(), Kept::from(saved));
        assert_eq!(there.load("old").unwrap().name(), "old");
        std::fs::write(&file, std::fs::read_to_string(&file).unwrap().replace("\"before\"", "\"../../x\""))
            .unwrap();
        assert_eq!(said(here.path(), &["import", path]), Err(1), "a name from outside is no path");
        assert_eq!(said(here.path(), &["save", "copy", "baseline:before"]), Err(2));
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
