//! The command line: one file a subcommand, each of which parses, calls and prints.
//!
//! Input: arguments. Output: text on stdout, errors on stderr, an exit code. A subcommand is a file with its arguments
//! and `run`, and one entry in [`commands!`](self).

pub mod advise;
pub mod args;
pub mod baseline;
pub mod completions;
pub mod daemon;
pub mod diff;
pub mod doctor;
pub mod explain;
pub mod export;
pub mod failure;
pub mod health;
pub mod kubectl;
pub mod man;
pub mod reader;
pub mod record;
pub mod replay;
pub mod report;
pub mod run;
pub mod show;
pub mod sides;
pub mod top;

use std::io::{self, Write};

use clap::{Parser, Subcommand};

pub use self::failure::Failure;

/// Trace the memory of a node: who owns it, what grows, and why a container was OOM-killed.
///
/// memtrace traces all processes of a node from the kernel, with eBPF, and records every OOM kill with its cause.
/// The traced programs need no restart, no preload and no change.
#[derive(Debug, Parser)]
#[command(name = "memtrace", version, after_help = EXAMPLES)]
pub struct Cli {
    /// The subcommand.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  sudo memtrace doctor               check what works on this kernel, and what is lost
  sudo memtrace daemon               trace this node; OOM kills are stored in /var/lib/memtrace
  memtrace top                       live view of containers: usage, limit, growth, verdict
  memtrace explain redis.service     who owns the memory of this unit, and what to do
  memtrace run -- make test          the peak of a command, and what it was made of
  memtrace diff before after         what a version did to memory, and whether it is noise
  memtrace report --last             the last OOM kill: victim, limit, trigger, cause
  memtrace advise                    requests and limits from true peaks, as a table or a patch
  memtrace report list -o json       all OOM kills, for scripts
  memtrace export kills -o csv       the same as flat rows, for other engines

Exit codes: 0 ok, 1 failed, 2 usage, 3 no daemon or store, 4 not permitted, 5 a budget was
broken. `run` passes on the exit code of its command.";

/// Makes [`Command`], and the call of each one's `run` with its arguments.
macro_rules! commands {
    ($($(#[$about:meta])* $name:ident($room:ident::$args:ident),)+) => {
        /// The subcommands.
        #[derive(Debug, Subcommand)]
        pub enum Command {
            $($(#[$about])* $name($room::$args),)+
        }

        fn dispatch(command: &Command, out: &mut dyn Write) -> Result<(), Failure> {
            match command {
                $(Command::$name(args) => $room::run(args, out),)+
            }
        }
    };
}

commands! {
    /// Trace this node until stopped (SIGTERM or SIGINT).
    Daemon(daemon::DaemonArgs),
    /// Show which containers and processes use memory, how much, and which grow.
    Top(top::TopArgs),
    /// Show recorded OOM kills.
    Report(report::ReportArgs),
    /// Explain the memory of a process, container or pod on one page: used or reserved, and what to do.
    Explain(explain::ExplainArgs),
    /// Run a command in a cgroup of its own, and tell what memory it needs.
    Run(run::RunArgs),
    /// Keep what a run or a workload used, to compare with later.
    Baseline(baseline::BaselineArgs),
    /// Compare the memory of two versions: runs, spans of history, what runs now.
    Diff(diff::DiffArgs),
    /// Advise memory requests and limits from the history of workloads.
    Advise(advise::AdviseArgs),
    /// Export kills, history and profiles for other programs.
    Export(export::ExportArgs),
    /// Check what this kernel supports, and what is lost without the rest.
    Doctor(doctor::DoctorArgs),
    /// Check that the daemon is tracing.
    Health(health::HealthArgs),
    /// Record tracer input for `memtrace replay`.
    Record(record::RecordArgs),
    /// Replay a recording and show its result.
    Replay(replay::ReplayArgs),
    /// Print a completion script for a shell.
    Completions(completions::CompletionsArgs),
    /// Read other processes for the daemon.
    #[command(hide = true)]
    Reader(reader::ReaderArgs),
    /// Write the manual pages.
    #[command(hide = true)]
    Man(man::ManArgs),
}

/// Runs a command.
///
/// # Errors
/// See [`Failure`]. A closed pipe (`memtrace top | head`) is not an error.
pub fn run(cli: &Cli) -> Result<(), Failure> {
    match dispatch(&cli.command, &mut io::stdout().lock()) {
        Err(failure) if failure.error().is_some_and(is_closed_pipe) => Ok(()),
        result => result,
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::{Cli, dispatch};

    /// The exit code and the error of a command that fails.
    fn failure(arguments: &[&str]) -> (u8, String) {
        let cli = Cli::try_parse_from([&["memtrace"], arguments].concat()).unwrap();
        let failure = dispatch(&cli.command, &mut Vec::new()).unwrap_err();
        (failure.code(), failure.error().map_or_else(String::new, |error| format!("{error:#}")))
    }

    #[test]
    fn a_socket_that_is_named_and_not_there_is_an_error_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("absent").display().to_string();
        for command in [
            &["top", "--once"][..],
            &["top", "-o", "json"],
            &["top", "-o", "svg"],
            &["explain", "1"],
            &["explain", "1", "-o", "json"],
        ] {
            let (code, said) = failure(&[command, &["--socket", &socket]].concat());
            assert_eq!(code, 3, "{command:?}: {said}");
            assert!(said.starts_with(&format!("no daemon answers at {socket}; start one with")), "{said}");
            assert!(said.contains("or leave out --socket"), "{said}");
        }
        assert_eq!(failure(&["health", "--socket", &socket]).0, 3);
        assert_eq!(failure(&["top", "--at", "10m", "--socket", &socket]).0, 3);
    }

    #[test]
    fn an_unknown_field_is_a_usage_error_that_lists_the_same_fields_everywhere() {
        let known = |arguments: &[&str]| {
            let (code, said) = failure(&[&["top", "--once", "--by", "process"], arguments].concat());
            assert_eq!(code, 2, "{said}");
            said.split_once("unknown field \"x\"; known are: ").unwrap().1.to_owned()
        };
        let sorted = known(&["--sort", "x"]);
        assert!(sorted.contains("pid, comm (COMMAND), rss_bytes (RSS)"), "{sorted}");
        assert_eq!(known(&["--filter", "x=1"]), sorted);
        assert_eq!(known(&["--fields", "pid,x"]), sorted);
    }

    /// A form is asked for in one way, on every command; a file has other words.
    #[test]
    fn forms_are_asked_for_with_output_alone() {
        fn check(command: &clap::Command) {
            for argument in command.get_arguments() {
                let (long, short) = (argument.get_long().unwrap_or_default(), argument.get_short());
                assert!(!matches!(long, "format" | "form"), "{}", command.get_name());
                if long == "output" || short == Some('o') {
                    let name =
                        argument.get_value_names().unwrap_or_default().first().map(|name| name.as_str());
                    assert_eq!(
                        (long, short, name),
                        ("output", Some('o'), Some("FORM")),
                        "{}",
                        command.get_name()
                    );
                }
            }
            command.get_subcommands().for_each(check);
        }
        let mut all = Cli::command();
        all.build();
        check(&all);
    }
}
