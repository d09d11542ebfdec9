//! The `memtrace` binary: parses the command line, runs the command, and turns a failure into an exit code.

use std::{env, process::ExitCode};

use clap::Parser as _;
use memtrace::{
    cli::{Cli, kubectl, run},
    run::signals::end_by,
};

fn main() -> ExitCode {
    let is_plugin = kubectl::is_called_as_plugin(env::args_os().next().as_deref());
    match if is_plugin { kubectl::run(env::args_os()) } else { run(&Cli::parse()) } {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(error) = failure.error() {
                eprintln!("{}: {error:#}", if is_plugin { "kubectl memtrace" } else { "memtrace" });
            }
            if let Some(signal) = failure.signal() {
                end_by(signal);
            }
            ExitCode::from(failure.code())
        }
    }
}
