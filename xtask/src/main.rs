//! Everything that developers and CI run: `cargo xtask <verb>`.
//!
//! Command line -> one verb, one file. Must not know how a verb does its work.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask_base::{grow, outcome};

mod build;
mod chart;
mod ci;
mod demo;
mod image;
mod layers;
mod lint;
mod page;
mod parts;
mod picture;
mod prometheus;
mod setup;
mod stages;
mod test;
mod workloads;

/// Everything that developers and CI run.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, about, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

const EXAMPLES: &str = "Examples:
  cargo xtask setup         install what the build needs and this machine lacks
  cargo xtask build         build target/release/memtrace
  sudo -E cargo xtask demo  let the kernel kill a program at its limit, and show the report
  cargo xtask vm            test memtrace on all supported kernels
  sudo -E cargo xtask bench measure what memtrace costs
  cargo xtask ci            run everything that CI runs

Exit codes: 0 ok, 1 failed, 2 usage, 4 not permitted (the message names the missing permission or feature).";

#[derive(Debug, Subcommand)]
enum Verb {
    Setup(setup::Args),
    Build(build::Args),
    Test(test::Args),
    /// Test memtrace on the supported kernels, in QEMU
    #[command(disable_help_flag = true)]
    Vm(parts::Args),
    /// Measure what memtrace costs, against the same work without it
    #[command(disable_help_flag = true)]
    Bench(parts::Args),
    /// Let programs fail in known ways, and judge what memtrace says of each
    #[command(disable_help_flag = true)]
    Incidents(parts::Args),
    /// Run real programs at the limits that memtrace advises
    #[command(disable_help_flag = true)]
    Proof(parts::Args),
    Demo(demo::Args),
    Image(image::Args),
    Chart(chart::Args),
    Page(page::Args),
    Picture(picture::Args),
    Prometheus(prometheus::Args),
    Lint(lint::Args),
    Layers(layers::Args),
    Ci(ci::Args),
    #[command(hide = true)]
    Grow(grow::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().verb {
        Verb::Setup(args) => setup::run(&args),
        Verb::Build(args) => build::run(&args),
        Verb::Test(args) => test::run(&args),
        Verb::Vm(args) => parts::VM.hand_over(&args),
        Verb::Bench(args) => parts::BENCH.hand_over(&args),
        Verb::Incidents(args) => parts::INCIDENTS.hand_over(&args),
        Verb::Proof(args) => parts::PROOF.hand_over(&args),
        Verb::Demo(args) => demo::run(&args),
        Verb::Chart(args) => chart::run(&args),
        Verb::Image(args) => image::run(&args),
        Verb::Page(args) => page::run(&args),
        Verb::Picture(args) => picture::run(&args),
        Verb::Prometheus(args) => prometheus::run(&args),
        Verb::Lint(args) => lint::run(&args),
        Verb::Layers(args) => layers::run(&args),
        Verb::Ci(args) => ci::run(&args),
        Verb::Grow(args) => grow::run(&args),
    };
    outcome::exit_code(done)
}
