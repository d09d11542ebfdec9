//! The `memtrace` binary: parses the command line, runs the command, and turns a failure into an exit code.

use std::process::ExitCode;

use clap::Parser as _;
use memtrace::{
    cli::{Cli, run},
    run::signals::end_by,
};

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(error) = failure.error() {
                eprintln!("memtrace: {error:#}");
            }
            if let Some(signal) = failure.signal() {
                end_by(signal);
            }
            ExitCode::from(failure.code())
        }
    }
}
