//! `proof`: real programs at the limits that memtrace advises, and with the settings that it names.
//!
//! proof/programs.toml -> tables, JSON in target/proof, and docs/sizing.md when asked. Fails when a program contradicts the
//! advice; times are results, and never a failure.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
};

use anyhow::{Context as _, Result, bail};
use clap::Parser as _;
use xtask_base::{build, outcome, workspace::Workspace};

mod ask;
mod document;
mod limits;
mod program;
mod settings;

use ask::Memtrace;
use document::{NotTried, Scene};
use program::{Giving, Program, Programs};

/// Run real programs at the limits that memtrace advises, and with the settings that it names.
#[derive(Debug, clap::Parser)]
#[command(name = "cargo xtask proof", bin_name = "cargo xtask proof", version)]
#[command(after_help = "\
Needs root or a cgroup of its own, as `memtrace run` does. Programs are in proof/programs.toml; one that this machine lacks is
listed as not tried.

Examples:
  sudo -E cargo xtask proof                     everything, about 20 minutes
  sudo -E cargo xtask proof limits              programs at the advised limit, and below
  sudo -E cargo xtask proof limits sqlite java  two of them
  sudo -E cargo xtask proof settings --update   settings that give memory back, into docs/sizing.md

Exit codes: 0 ok, 1 a program contradicts the advice or was not judged, 2 usage, 4 not permitted.")]
struct Args {
    /// What to do [default: all]
    #[arg(value_name = "PART", value_enum)]
    part: Option<Part>,
    /// Names of programs [default: all]
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Rewrite the tables in docs/sizing.md
    #[arg(long)]
    update: bool,
    /// A memtrace to use instead of building one
    #[arg(long, value_name = "FILE")]
    bin: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Part {
    /// Advised limits.
    Limits,
    /// Settings that give memory back.
    Settings,
}

const DOCUMENT: &str = "docs/sizing.md";
const PROGRAMS: &str = "proof/programs.toml";

fn main() -> ExitCode {
    outcome::exit_code(run(&Args::parse()))
}

fn run(args: &Args) -> Result<()> {
    let workspace = Workspace::find()?;
    let text = fs::read_to_string(workspace.root().join(PROGRAMS)).context("failed to read the programs")?;
    let programs = Programs::read(&text)?;
    let bin = match &args.bin {
        Some(bin) => fs::canonicalize(bin).with_context(|| format!("failed to find {}", bin.display()))?,
        None => {
            build::build(&workspace)?;
            workspace.memtrace()
        }
    };
    let memtrace = Memtrace { bin };
    let target = workspace.target().join("proof");
    fs::create_dir_all(&target).with_context(|| format!("failed to create {}", target.display()))?;
    let place = Place { args, workspace: &workspace, target: &target };
    let is_wanted = |part: Part| args.part.is_none_or(|wanted| wanted == part);
    let mut wrong: Vec<String> = Vec::new();
    if is_wanted(Part::Limits) {
        let scene = scene();
        let (proofs, not_tried) = place.each(&programs.firm, |program| limits::prove(&memtrace, program))?;
        place.publish("limits", &proofs, &document::proofs(&proofs, &not_tried, &scene))?;
        wrong.extend(
            proofs.iter().filter(|proof| !(proof.lived && proof.died)).map(|proof| proof.name.clone()),
        );
    }
    if is_wanted(Part::Settings) {
        let scene = scene();
        let of = |giving: &Giving| settings::prove(&memtrace, giving);
        let (savings, not_tried) = place.each(&programs.giving, of)?;
        place.publish("settings", &savings, &document::savings(&savings, &not_tried, &scene))?;
        wrong.extend(savings.iter().filter(|saving| !saving.is_as_said()).map(|saving| saving.name.clone()));
    }
    if !wrong.is_empty() {
        bail!("not as advised: {}", wrong.join(", "));
    }
    Ok(())
}

/// Where results go.
struct Place<'a> {
    args: &'a Args,
    workspace: &'a Workspace,
    target: &'a Path,
}

impl Place<'_> {
    /// The results of all wanted programs, and what could not be tried.
    fn each<P: AsRef<Program>, T: serde::Serialize>(
        &self,
        programs: &[P],
        of: impl Fn(&P) -> Result<T>,
    ) -> Result<(Vec<T>, Vec<NotTried>)> {
        let names = &self.args.names;
        let is_wanted = |one: &&P| names.is_empty() || names.contains(&one.as_ref().name);
        let (mut done, mut not_tried) = (Vec::new(), Vec::new());
        for one in programs.iter().filter(is_wanted) {
            let program = one.as_ref();
            if let Some(need) = program.lacks() {
                not_tried.push((program.name.clone(), format!("{need} is not here")));
                continue;
            }
            eprintln!("{}: {}", program.name, program.about);
            match of(one) {
                Ok(result) => {
                    eprintln!("  {}", serde_json::to_string(&result).unwrap_or_default());
                    done.push(result);
                }
                Err(error) => {
                    eprintln!("  {error:#}");
                    not_tried.push((program.name.clone(), format!("{error:#}")));
                }
            }
        }
        if done.is_empty() {
            bail!("nothing could be tried: {not_tried:?}");
        }
        Ok((done, not_tried))
    }

    fn publish<T: serde::Serialize>(&self, name: &str, results: &[T], text: &str) -> Result<()> {
        print!("{text}");
        let json = serde_json::to_string_pretty(results).context("failed to write JSON")?;
        write(&self.target.join(format!("{name}.json")), &json)?;
        if self.args.update {
            let file = self.workspace.root().join(DOCUMENT);
            let document = fs::read_to_string(&file).context("failed to read the document")?;
            write(&file, &document::put(&document, name, text)?)?;
        }
        Ok(())
    }
}

fn scene() -> Scene {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let is_v2 = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    Scene {
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        cgroups: if is_v2 { "v2" } else { "v1" },
        load: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
        cpus: thread::available_parallelism().map_or(0, usize::from),
    }
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("failed to write {}", file.display()))
}
