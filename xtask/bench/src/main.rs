//! `bench`: what memtrace costs, against the same work without it.
//!
//! This machine -> paired figures, JSON and the document in target/bench, and docs/performance.md when asked. Must not pass or fail by
//! any figure: machines differ, and this one is shared.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use anyhow::{Context as _, Result};
use clap::Parser as _;
use xtask_base::{
    build, grow,
    outcome::{self, NotPermitted},
    workspace::Workspace,
};

mod alone;
mod containers;
mod document;
mod http;
mod load;
mod machine;
mod model;
mod peers;
mod programs;
mod redis;
mod rounds;
mod running;
mod stats;
mod targets;

/// Measure what memtrace costs, against the same work without it.
#[derive(Debug, clap::Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench", version)]
#[command(
    after_help = "Needs root. Everything runs on this machine, without a network. No result is a failure.

Examples:
  sudo -E cargo xtask bench           everything, about 15 minutes
  sudo -E cargo xtask bench --quick   fewer rounds and containers, about 3 minutes
  sudo -E cargo xtask bench --update  everything, and rewrite docs/performance.md"
)]
struct Args {
    #[command(subcommand)]
    program: Option<Program>,
    /// Fewer rounds and fewer containers
    #[arg(long)]
    quick: bool,
    /// Rewrite docs/performance.md from the results
    #[arg(long, conflicts_with = "quick")]
    update: bool,
    /// Number of rounds [default: 12, with --quick 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: Option<u16>,
    /// A memtrace to measure instead of building one
    #[arg(long, value_name = "FILE")]
    bin: Option<PathBuf>,
}

#[derive(Debug, clap::Subcommand)]
enum Program {
    #[command(hide = true)]
    Grow(grow::Args),
}

/// Everything that was measured.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Measured {
    pub(crate) machine: machine::Machine,
    pub(crate) rounds: rounds::Rounds,
    pub(crate) peers: Vec<peers::Peer>,
    pub(crate) programs: Vec<programs::Program>,
    pub(crate) containers: Vec<containers::Idle>,
    pub(crate) model: model::Model,
    pub(crate) alone: alone::Alone,
    pub(crate) running: Vec<running::Running>,
}

const DOCUMENT: &str = "docs/performance.md";

fn main() -> ExitCode {
    let args = Args::parse();
    outcome::exit_code(match &args.program {
        Some(Program::Grow(grow)) => grow::run(grow),
        None => run(&args),
    })
}

fn run(args: &Args) -> Result<()> {
    let workspace = Workspace::find()?;
    if !rustix::process::geteuid().is_root() {
        return Err(NotPermitted("the benchmark needs root to attach kernel programs".to_owned()).into());
    }
    let bin = match &args.bin {
        Some(bin) => bin.clone(),
        None => {
            build::build(&workspace)?;
            workspace.memtrace()
        }
    };
    let start = Instant::now();
    let dir = workspace.target().join("bench");
    let programs = load::Programs::prepare(&workspace, &dir)?;
    let scale = if args.quick { Scale::QUICK } else { Scale::FULL };
    let measured = Measured {
        machine: machine::describe(),
        rounds: rounds::measure(&bin, &programs, args.rounds.map_or(scale.rounds, usize::from))?,
        peers: peers::measure(&programs, scale.peer_rounds)?,
        programs: programs::measure(&bin, &programs)?,
        containers: containers::measure(&bin, scale.containers)?,
        model: model::measure(&bin, &programs)?,
        alone: alone::measure(&bin, scale.kills)?,
        running: running::measure(&bin, &programs, scale.pairs)?,
    };
    let json = serde_json::to_string_pretty(&measured).context("failed to write JSON")?;
    let text = document::render(&measured);
    println!("{text}");
    let file = dir.join("bench.json");
    write(&file, &json)?;
    write(&dir.join("performance.md"), &text)?;
    if args.update {
        write(&workspace.root().join(DOCUMENT), &text)?;
    }
    say(&format!(
        "wrote all results to {} after {:.0} s",
        workspace.relative(&file),
        start.elapsed().as_secs_f64()
    ));
    Ok(())
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("failed to write {}", file.display()))
}

/// How much is done.
struct Scale {
    rounds: usize,
    peer_rounds: usize,
    /// Containers, and the processes in each.
    containers: &'static [(usize, usize)],
    kills: usize,
    /// Pairs of a command with and without `memtrace run`.
    pairs: usize,
}

impl Scale {
    const FULL: Self =
        Self { rounds: 12, peer_rounds: 3, containers: &[(0, 0), (50, 8), (250, 8)], kills: 20, pairs: 40 };
    /// To see that all of it works, and roughly how it stands: too few rounds for a difference of a percent.
    const QUICK: Self = Self { rounds: 3, peer_rounds: 1, containers: &[(50, 8)], kills: 5, pairs: 6 };
}

fn say(what: &str) {
    println!("bench: {what}");
}
