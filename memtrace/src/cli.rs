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
    probe::{attach::Options, support::Without},
    report::Terminal,
};

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
  memtrace report --last             the last OOM kill: victim, limit, trigger, cause
  memtrace report list -o json       all OOM kills, for scripts

Exit codes: 0 ok, 1 failed, 2 usage, 3 no daemon or store, 4 not permitted.";

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Trace this node until stopped (SIGTERM or SIGINT).
    Daemon(daemon::DaemonArgs),
    /// Show which containers and processes use memory, how much, and which grow.
    Top(top::TopArgs),
    /// Show recorded OOM kills.
    Report(report::ReportArgs),
    /// Explain the memory of a process, container or pod on one page: used or reserved, and what to do.
    Explain(explain::ExplainArgs),
    /// Check what this kernel supports, and what is lost without the rest.
    Doctor(doctor::DoctorArgs),
    /// Check that the daemon is tracing.
    Health(health::HealthArgs),
    /// Record tracer input for `memtrace replay`.
    Record(record::RecordArgs),
    /// Show the result of a recording.
    Replay(replay::ReplayArgs),
    /// Print a completion script for a shell.
    Completions(completions::CompletionsArgs),
    /// Write the manual pages.
    #[command(hide = true)]
    Man(completions::ManArgs),
}

/// The daemon's address.
#[derive(Clone, Debug, Args)]
pub struct SocketArgs {
    /// Unix socket of the daemon.
    #[arg(long, value_name = "PATH", env = "MEMTRACE_SOCKET", default_value = "/run/memtrace/memtrace.sock")]
    pub socket: PathBuf,
}

/// Options of the tracer.
#[derive(Clone, Debug, Args)]
pub struct ProbeArgs {
    /// Sample 1 in N page faults, at most about 1,000/s per CPU; 0 disables.
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub fault_period: u64,
    /// Stream at most N address-space calls of one process per second; the rest are only counted, and the mappings of
    /// the process are read from /proc. 0: no limit.
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    pub event_budget: u32,
    /// Bytes of user stack to copy for each sampled fault, to unwind it by the program's unwind tables: a power of two
    /// from 64 to 16384, or 0 to unwind by frame pointers only.
    #[arg(long, value_name = "BYTES", default_value_t = 8192, value_parser = stack_bytes)]
    pub stack_bytes: u32,
    /// Do not use a feature of this kernel: to see what is lost without it, or to avoid a broken hook.
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    pub without: Vec<Lacking>,
}

/// Sources of container names.
#[derive(Clone, Debug, Args)]
pub struct NameArgs {
    /// Root directory of the host, to find the directories and sockets of container runtimes.
    #[arg(long, value_name = "DIR", env = "MEMTRACE_HOST_ROOT", default_value = "/")]
    pub host_root: PathBuf,
    /// Socket of a CRI runtime, in addition to the usual ones; may be repeated.
    #[arg(long, value_name = "PATH")]
    pub cri_socket: Vec<PathBuf>,
    /// Also ask the kubelet at this URL for its pods, such as https://127.0.0.1:10250.
    #[arg(long, value_name = "URL", env = "MEMTRACE_KUBELET")]
    pub kubelet: Option<String>,
    /// Bearer token for the kubelet.
    #[arg(long, value_name = "FILE", default_value = "/var/run/secrets/kubernetes.io/serviceaccount/token")]
    pub kubelet_token: PathBuf,
    /// CA bundle for the kubelet's certificate.
    #[arg(long, value_name = "FILE", default_value = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt")]
    pub kubelet_ca: PathBuf,
    /// Skip verification of the kubelet's certificate; most kubelets use a self-signed one.
    #[arg(long)]
    pub kubelet_insecure_tls: bool,
}

impl NameArgs {
    /// The namer's configuration.
    pub fn config(&self) -> crate::container::namer::Config {
        crate::container::namer::Config {
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

/// A kernel feature that `--without` disables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Lacking {
    /// BTF, the kernel's type information.
    Btf,
    /// Tracefs and its tracepoints.
    Tracefs,
    /// Programs at the return of kernel functions.
    Fexit,
    /// The BPF helper that finds the saved registers of a task.
    TaskRegisters,
}

fn stack_bytes(text: &str) -> Result<u32, String> {
    let bytes = text.parse::<u32>().map_err(|error| error.to_string())?;
    let is_copied = bytes.is_power_of_two() && (LEAST_BYTES..=MOST_BYTES).contains(&(bytes as usize));
    let wrong = || format!("expected 0 or a power of two from {LEAST_BYTES} to {MOST_BYTES}");
    (bytes == 0 || is_copied).then_some(bytes).ok_or_else(wrong)
}

impl ProbeArgs {
    /// The probes' options.
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

/// Why a command failed; each variant has its exit code.
#[derive(Debug)]
pub enum Failure {
    /// 1: it failed.
    Failed(anyhow::Error),
    /// 2: the arguments contradict each other.
    Usage(anyhow::Error),
    /// 3: there is no daemon, or no store.
    NoDaemon(anyhow::Error),
    /// 4: this process lacks the permission.
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
/// See [`Failure`]. A closed pipe (`memtrace top | head`) is not an error.
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
