//! `incidents`: programs that fail in known ways, and what memtrace says of each.
//!
//! Recipes and a seed -> a table, JSON, and docs/diagnosis.md when asked. Fails when a wrong answer was called sure, or when a
//! draw could not be judged; other misses are results.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail};
use clap::Parser as _;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use xtask_base::{build, cgroup::Version, outcome, requirements, workspace::Workspace};

mod answer;
mod ask;
mod document;
mod draw;
mod enter;
mod group;
mod incident;
mod judge;
mod prepare;
mod recipe;
mod remedy;
mod results;
mod run;
mod truth;

use ask::Memtrace;
use incident::{Drawn, Scene};
use recipe::Recipe;
use results::{NotRun, Results, repeat};

/// Let programs fail in known ways, and judge what memtrace says of each.
#[derive(Debug, clap::Parser)]
#[command(name = "cargo xtask incidents", bin_name = "cargo xtask incidents", version)]
#[command(after_help = "\
Needs root, a writable memory cgroup (v1 or v2), and a node that lets the kernel kill. Recipes are in incidents/;
docs/incidents.md says how to add one. A recipe whose programs this machine lacks is listed as not run.

Examples:
  sudo -E cargo xtask incidents                     each recipe once
  sudo -E cargo xtask incidents leak burst          all recipes of these kinds
  sudo -E cargo xtask incidents leak-cpp --seed 42  repeat a draw
  sudo -E cargo xtask incidents --draws 300 --jobs 4 --update
  cargo xtask incidents --list

Exit codes: 0 ok, 1 a wrong answer was called sure or a draw was not judged, 2 usage, 4 not permitted.")]
struct Args {
    #[command(subcommand)]
    program: Option<Program>,
    /// Names or kinds of recipes [default: all]
    #[arg(value_name = "KIND")]
    kinds: Vec<String>,
    /// Number of draws [default: one for each recipe]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    draws: Option<u32>,
    /// First seed; the n-th draw has this seed plus n [default: the time]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Number of draws at the same time: most of a draw is waiting
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=16))]
    jobs: u16,
    /// 12 draws of recipes that take less than half a minute
    #[arg(long)]
    quick: bool,
    /// List the recipes and what is missing for them
    #[arg(long)]
    list: bool,
    /// Output format
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t = Form::Text)]
    output: Form,
    /// Rewrite docs/diagnosis.md from the results
    #[arg(long, conflicts_with = "quick")]
    update: bool,
    /// A memtrace to judge instead of building one
    #[arg(long, value_name = "FILE")]
    bin: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Form {
    Text,
    Json,
}

#[derive(Debug, clap::Subcommand)]
enum Program {
    #[command(hide = true)]
    Enter(enter::Args),
}

const DOCUMENT: &str = "docs/diagnosis.md";
const QUICK: usize = 12;

fn main() -> ExitCode {
    let args = Args::parse();
    outcome::exit_code(match &args.program {
        Some(Program::Enter(enter)) => enter::run(enter),
        None => run(&args),
    })
}

fn run(args: &Args) -> Result<()> {
    let workspace = Workspace::find()?;
    let dir = workspace.root().join("incidents");
    let recipes = prepare::recipes(&dir)?;
    let is_wanted = |recipe: &&Recipe| recipe.is_chosen(&args.kinds) && !(args.quick && recipe.is_slow);
    let chosen: Vec<&Recipe> = recipes.iter().filter(is_wanted).collect();
    if chosen.is_empty() {
        bail!("no recipe has one of these names or kinds; `cargo xtask incidents --list` lists them");
    }
    if args.list {
        chosen.iter().for_each(|recipe| println!("{}", listed(recipe)));
        return Ok(());
    }
    let home = requirements::check()?;
    let (ready, not_run): (Vec<&Recipe>, Vec<&Recipe>) =
        chosen.into_iter().partition(|recipe| prepare::lacks(recipe).is_none());
    let bin = match &args.bin {
        Some(bin) => fs::canonicalize(bin).with_context(|| format!("failed to find {}", bin.display()))?,
        None => build::quick(&workspace)?,
    };
    let interrupted = listen()?;
    let target = workspace.target().join("incidents");
    fs::create_dir_all(&target).with_context(|| format!("failed to create {}", target.display()))?;
    let cgroups = if home.version == Version::V1 { "v1" } else { "v2" };
    let scene = Scene {
        memtrace: Memtrace::start(&bin)?,
        home,
        recipes: dir,
        dir: target.clone(),
        tree: prepare::tree(ready.iter().copied())?,
        interrupted: &interrupted,
    };
    let seed = args.seed.unwrap_or_else(now);
    let draws = draw(&scene, &ready, args, seed)?;
    let is_drawn = |recipe: &&Recipe| draws.iter().any(|drawn| drawn.recipe == recipe.name);
    let not_drawn = recipes.iter().filter(|recipe| !is_drawn(recipe) && prepare::lacks(recipe).is_none());
    let results = Results {
        seed,
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
        cgroups,
        not_drawn: not_drawn.map(|recipe| recipe.name.clone()).collect(),
        draws,
        not_run: not_run.into_iter().map(why_not).collect(),
    };
    publish(&results, args, &workspace, &target)?;
    if interrupted.load(Ordering::Relaxed) {
        bail!("interrupted after {} draws", results.draws.len());
    }
    Ok(())
}

fn draw(scene: &Scene<'_>, recipes: &[&Recipe], args: &Args, seed: u64) -> Result<Vec<Drawn>> {
    for recipe in recipes {
        prepare::build(recipe, &scene.places(recipe, &draw::values(recipe, 0), &scene.dir))?;
    }
    let default = if args.quick { QUICK } else { recipes.len() };
    let draws = args.draws.map_or(default, |draws| usize::try_from(draws).unwrap_or(usize::MAX));
    let plan: Vec<(&Recipe, u64)> = draw::plan(recipes.len(), draws, seed)
        .into_iter()
        .filter_map(|(recipe, seed)| Some((*recipes.get(recipe)?, seed)))
        .collect();
    let (next, all) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..args.jobs {
            scope.spawn(|| {
                while let Some((recipe, seed)) = plan.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let drawn = scene.draw(recipe, *seed);
                    if scene.interrupted.load(Ordering::Relaxed) {
                        return;
                    }
                    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
                    eprintln!("{} of {draws}: {}", all.len() + 1, told(&drawn));
                    all.push(drawn);
                }
            });
        }
    });
    let mut all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    all.sort_by_key(|drawn| drawn.seed);
    Ok(all)
}

/// One line on a draw.
fn told(drawn: &Drawn) -> String {
    let what = match &drawn.outcome {
        incident::Outcome::NotJudged(why) => format!("NOT JUDGED: {why}"),
        incident::Outcome::Judged { answer, misses, .. } if misses.is_empty() => {
            format!("right: {}", answer.headline)
        }
        incident::Outcome::Judged { misses, .. } => format!("MISS: {}", misses.join("; ")),
    };
    format!("{} ({:.0} s): {what}", repeat(drawn), drawn.seconds)
}

fn publish(results: &Results, args: &Args, workspace: &Workspace, target: &Path) -> Result<()> {
    let json = serde_json::to_string_pretty(results).context("failed to write JSON")?;
    let markdown = document::markdown(results);
    write(&target.join("incidents.json"), &json)?;
    write(&target.join("diagnosis.md"), &markdown)?;
    if args.update {
        write(&workspace.root().join(DOCUMENT), &markdown)?;
    }
    match args.output {
        Form::Text => print!("{}", document::text(results)),
        Form::Json => println!("{json}"),
    }
    let rows = results.rows();
    let all = rows.last().context("there is no result")?;
    if all.sure_and_wrong > 0 || all.not_judged > 0 {
        bail!(
            "{} wrong answers were called sure, {} draws were not judged",
            all.sure_and_wrong,
            all.not_judged
        );
    }
    Ok(())
}

fn listed(recipe: &Recipe) -> String {
    let why = prepare::lacks(recipe).map(|why| format!(" [not run: {why}]")).unwrap_or_default();
    format!("{:<24} {:<14} {}{why}", recipe.name, recipe.kind, recipe.about)
}

fn why_not(recipe: &Recipe) -> NotRun {
    NotRun { recipe: recipe.name.clone(), why: prepare::lacks(recipe).unwrap_or_default() }
}

/// From here on a signal ends the current wait instead of the process, so that cgroups and programs go.
fn listen() -> Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))
            .with_context(|| format!("failed to listen for signal {signal}"))?;
    }
    Ok(interrupted)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("failed to write {}", file.display()))
}
