//! The command line: one file a subcommand, each of which parses, calls and prints.
//!
//! Input: arguments. Output: text on stdout, errors on stderr, an exit code.

pub mod completions;
pub mod daemon;
pub mod doctor;
pub mod explain;
pub mod health;
pub mod record;
pub mod replay;
pub mod report;
pub mod show;
pub mod top;

use std::{
    io::{self, IsTerminal as _},
    path::PathBuf,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use memtrace_common::event::stack::{LEAST_BYTES, MOST_BYTES};

use crate::{
    probe::{options::Options, support::Without},
    report::Terminal,
};

/// What is this memory, and why was my container killed?
///
/// memtrace watches a whole node from the kernel: it records every OOM kill with its cause fields, and shows whose
/// memory grows. The programs that it watches need no restart, no preload and no change.
#[derive(Debug, Parser)]
#[command(name = "memtrace", version, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  memtrace doctor                    what this kernel gives, and what is lost without the rest
  sudo memtrace daemon               watch this node; kills are stored in /var/lib/memtrace
  memtrace top                       containers, live: usage, limit, growth, verdict; Enter goes into them
  memtrace explain redis.service     whose memory it is, what is free in it, and what to do
  memtrace report --last             the last OOM kill: who, by whose limit, asked by whom
  memtrace report list -o json       all of them, for a script

Exit codes: 0 ok, 1 failed, 2 usage, 3 no daemon or store, 4 not permitted.";

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch this node until told to stop (SIGTERM or SIGINT).
    Daemon(daemon::DaemonArgs),
    /// Show who uses memory, how much, and who grows.
    Top(top::TopArgs),
    /// Show the OOM kills that were recorded.
    Report(report::ReportArgs),
    /// Explain the memory of a process, a container or a pod on one page: reserved or used, and what to do.
    Explain(explain::ExplainArgs),
    /// Say what this kernel gives, and what is lost without the rest.
    Doctor(doctor::DoctorArgs),
    /// Say whether the daemon watches.
    Health(health::HealthArgs),
    /// Keep what the tracer sees in a file, to be run again.
    Record(record::RecordArgs),
    /// Show what a recording shows.
    Replay(replay::ReplayArgs),
    /// Print what a shell needs to complete commands and options.
    Completions(completions::CompletionsArgs),
    /// Write the manual pages.
    #[command(hide = true)]
    Man(completions::ManArgs),
}

/// Where the daemon listens.
#[derive(Clone, Debug, Args)]
pub struct SocketArgs {
    /// The daemon's socket.
    #[arg(long, value_name = "PATH", env = "MEMTRACE_SOCKET", default_value = "/run/memtrace/memtrace.sock")]
    pub socket: PathBuf,
}

/// How to trace.
#[derive(Clone, Debug, Args)]
pub struct ProbeArgs {
    /// Sample one page fault of so many, but some 1000 a second and CPU at most: each says for how many it stands. 0 samples
    /// none.
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub fault_period: u64,
    /// Stream so many address-space calls of one process a second; beyond that they are counted, and what it has
    /// mapped is read from /proc. 0 streams all.
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    pub event_budget: u32,
    /// Copy so many bytes of the user stack of a sampled fault, to walk it by the programs' unwind tables: a power of two
    /// from 64 to 16384, or 0 to walk by frame pointers alone.
    #[arg(long, value_name = "BYTES", default_value_t = 8192, value_parser = stack_bytes)]
    pub stack_bytes: u32,
    /// Treat this kernel as if it lacked something: to see what is lost, or to keep away from a broken hook.
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    pub without: Vec<Lacking>,
}

/// Where containers' names come from.
#[derive(Clone, Debug, Args)]
pub struct NameArgs {
    /// Where the host's root is, for the directories and sockets of container runtimes.
    #[arg(long, value_name = "DIR", env = "MEMTRACE_HOST_ROOT", default_value = "/")]
    pub host_root: PathBuf,
    /// A socket of a CRI runtime, beside the usual ones.
    #[arg(long, value_name = "PATH")]
    pub cri_socket: Vec<PathBuf>,
    /// Ask the kubelet at this address for its pods too, such as https://127.0.0.1:10250.
    #[arg(long, value_name = "URL", env = "MEMTRACE_KUBELET")]
    pub kubelet: Option<String>,
    /// The token for that.
    #[arg(long, value_name = "FILE", default_value = "/var/run/secrets/kubernetes.io/serviceaccount/token")]
    pub kubelet_token: PathBuf,
    /// What vouches for its certificate.
    #[arg(long, value_name = "FILE", default_value = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt")]
    pub kubelet_ca: PathBuf,
    /// Take any certificate of it: most kubelets have signed theirs themselves.
    #[arg(long)]
    pub kubelet_insecure_tls: bool,
}

impl NameArgs {
    /// As the namer takes it.
    pub fn config(&self) -> crate::container::sources::Config {
        crate::container::sources::Config {
            host_root: self.host_root.clone(),
            cri_sockets: self.cri_socket.clone(),
            kubelet: self.kubelet.clone().map(|url| crate::container::sources::kubelet::Config {
                url,
                token: self.kubelet_token.clone(),
                authority: (!self.kubelet_insecure_tls).then(|| self.kubelet_ca.clone()),
            }),
        }
    }
}

/// What `--without` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Lacking {
    /// The kernel's type information.
    Btf,
    /// Tracefs and its events.
    Tracefs,
    /// Programs at kernel functions' returns.
    Fexit,
    /// The helper that finds a task's saved registers.
    TaskRegisters,
}

fn stack_bytes(text: &str) -> Result<u32, String> {
    let bytes = text.parse::<u32>().map_err(|error| error.to_string())?;
    let is_copied = bytes.is_power_of_two() && (LEAST_BYTES..=MOST_BYTES).contains(&(bytes as usize));
    let wrong = || format!("neither 0 nor a power of two from {LEAST_BYTES} to {MOST_BYTES}");
    (bytes == 0 || is_copied).then_some(bytes).ok_or_else(wrong)
}

impl ProbeArgs {
    /// As the probes take it.
    pub fn options(&self) -> Options {
        Options {
            without: self.without(),
            fault_period: self.fault_period,
            event_budget: self.event_budget,
            stack_bytes: self.stack_bytes,
        }
    }

    fn without(&self) -> Without {
        let lacks = |what| self.without.contains(&what);
        Without {
            btf: lacks(Lacking::Btf),
            tracefs: lacks(Lacking::Tracefs),
            function_exit: lacks(Lacking::Fexit),
            task_registers: lacks(Lacking::TaskRegisters),
        }
    }
}

/// Why a command failed, as the exit code says it.
#[derive(Debug)]
pub enum Failure {
    /// 1: it failed.
    Failed(anyhow::Error),
    /// 2: the arguments make no sense together.
    Usage(anyhow::Error),
    /// 3: there is no daemon, or no store.
    NoDaemon(anyhow::Error),
    /// 4: this process may not.
    NotPermitted(anyhow::Error),
}

impl Failure {
    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::NoDaemon(_) => 3,
            Self::NotPermitted(_) => 4,
        }
    }

    /// What to print.
    pub fn error(&self) -> &anyhow::Error {
        let (Self::Failed(error) | Self::Usage(error) | Self::NoDaemon(error) | Self::NotPermitted(error)) =
            self;
        error
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<report::ReportError> for Failure {
    fn from(error: report::ReportError) -> Self {
        match error.exit_code() {
            2 => Self::Usage(error.into()),
            3 => Self::NoDaemon(error.into()),
            4 => Self::NotPermitted(error.into()),
            _ => Self::Failed(error.into()),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// Runs a command.
///
/// # Errors
/// See [`Failure`]. A reader that went away (`memtrace top | head`) is no failure.
pub fn run(cli: Cli) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let result = match cli.command {
        Command::Daemon(args) => daemon::run(&args),
        Command::Top(args) => top::run(&args, &mut out),
        Command::Report(args) => report::run(&args, Terminal::from_env(io::stdout().is_terminal()), &mut out)
            .map_err(Failure::from),
        Command::Explain(args) => {
            explain::run(&args, Terminal::from_env(io::stdout().is_terminal()), &mut out)
        }
        Command::Doctor(args) => doctor::run(&args, &mut out),
        Command::Health(args) => health::run(&args, &mut out),
        Command::Record(args) => record::run(&args, &mut out),
        Command::Replay(args) => replay::run(&args, &mut out),
        Command::Completions(args) => completions::run(&args, &mut out),
        Command::Man(args) => completions::man(&args),
    };
    match result {
        Err(failure) if is_closed_pipe(failure.error()) => Ok(()),
        result => result,
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}
