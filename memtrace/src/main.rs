//! The `memtrace` binary: parses the command line, runs the command, and turns a failure into an exit code.

use std::process::ExitCode;

use clap::Parser as _;
use memtrace::cli::{Cli, run};

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("memtrace: {:#}", failure.error());
            ExitCode::from(failure.code())
        }
    }
}
