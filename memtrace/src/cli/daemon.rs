//! `memtrace daemon`: watch this node.

use std::{
    io::{IsTerminal as _, Write},
    net::SocketAddr,
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use tracing_subscriber::EnvFilter;

use super::{
    Failure,
    args::{NameArgs, ProbeArgs, SocketArgs},
};
use crate::daemon::{self, Config, kills::recorder::Keep};

/// Arguments of `daemon`.
#[derive(Debug, Args)]
#[command(after_help = "\
Needs CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN; `memtrace doctor` says what else is of use. Logs to stderr;
MEMTRACE_LOG takes a level or tracing directives (error, info, memtrace=debug).

Examples:
  sudo memtrace daemon
  sudo memtrace daemon --listen 127.0.0.1:9477
  sudo memtrace daemon --state-dir /tmp/mt --socket /tmp/mt/memtrace.sock --log-format json")]
pub struct DaemonArgs {
    /// Where records are kept; made if it is not there.
    #[arg(long, value_name = "DIR", env = "MEMTRACE_STATE_DIR", default_value = "/var/lib/memtrace")]
    pub state_dir: PathBuf,
    /// Where it listens.
    #[command(flatten)]
    pub socket: SocketArgs,
    /// Also listen on this TCP address, for /metrics, /healthz and /readyz alone: there is no encryption.
    #[arg(long, value_name = "ADDRESS", env = "MEMTRACE_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// Open the rest of the API there to who has the token in this file ("Authorization: Bearer TOKEN").
    #[arg(long, value_name = "FILE", env = "MEMTRACE_TOKEN_FILE", requires = "listen")]
    pub token_file: Option<PathBuf>,
    /// Containers that have series of their own in the metrics; what is left out is counted.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub metrics_max_containers: usize,
    /// How to trace.
    #[command(flatten)]
    pub probe: ProbeArgs,
    /// Spend at most this part of one CPU, in percent, on reading page tables.
    #[arg(long, value_name = "PERCENT", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub scan_share: u32,
    /// Take at most this part of one CPU, in percent, for all of it: above, page tables are read less often, then page
    /// faults are sampled more coarsely, then fewer calls of one process are streamed. 0 for any.
    #[arg(long, value_name = "PERCENT", default_value_t = 20)]
    pub cpu_budget: u32,
    /// Keep OOM kills for so many days; 0: for ever.
    #[arg(long, value_name = "DAYS", default_value_t = 90)]
    pub keep_days: u32,
    /// Keep as many OOM kills as fit into so many MiB, the newest.
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    pub keep_size: u32,
    /// Do not record kills from the kernel log that happened while no daemon ran, or were lost.
    #[arg(long)]
    pub no_backfill: bool,
    /// Where container runtimes are.
    #[command(flatten)]
    pub names: NameArgs,
    /// Form of the log.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// End with this process, which started this one.
    #[arg(long, value_name = "PID", hide = true)]
    pub end_with: Option<u32>,
}

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Runs the command.
///
/// # Errors
/// 4 when not permitted, else 1.
pub fn run(args: &DaemonArgs, _: &mut dyn Write) -> Result<(), Failure> {
    let filter = EnvFilter::try_from_env("MEMTRACE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal());
    match args.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    if let Some(parent) = args.end_with {
        end_with(parent)?;
    }
    let config = Config {
        state_dir: args.state_dir.clone(),
        socket: args.socket.path().to_owned(),
        listen: args.listen,
        token_file: args.token_file.clone(),
        metrics_containers: args.metrics_max_containers,
        options: args.probe.options(),
        scan_share: args.scan_share,
        cpu_budget: args.cpu_budget,
        keep: Keep {
            age: Duration::from_secs(u64::from(args.keep_days) * 86_400),
            bytes: u64::from(args.keep_size) << 20,
        },
        backfill: !args.no_backfill,
        names: args.names.config(),
    };
    Ok(daemon::run(&config)?)
}

/// Has this process end with the one that started it, also when that one is killed.
fn end_with(parent: u32) -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::TERM))
        .context("failed to ask for a signal at the parent's end")?;
    // It may have ended before.
    if getppid().is_none_or(|pid| pid.as_raw_nonzero().get().cast_unsigned() != parent) {
        bail!("the process that started this one has ended");
    }
    Ok(())
}
