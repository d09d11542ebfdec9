//! `memtrace daemon`: trace this node.

mod otlp;

use std::{
    io::{IsTerminal as _, Write},
    net::SocketAddr,
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use clap::{Args, ValueEnum};
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use tracing_subscriber::EnvFilter;

use self::otlp::OtlpArgs;
use super::{
    Failure,
    args::{NameArgs, PinArgs, ProbeArgs, SocketArgs},
};
use crate::{
    daemon::{self, Config, kills::recorder::Keep, setup::take_over::Pinning},
    model::budget::Budget,
    probe::pins::{Unpinned, unpin},
    units::Bytes,
};

/// The default memory budget in MiB.
const DEFAULT_MIB: u32 = (Budget::DEFAULT.total().0 >> 20) as u32;

/// Arguments of `daemon`.
#[derive(Debug, Args)]
#[command(after_help = "\
Needs CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN; `memtrace doctor` lists what other capabilities add.
The log goes to stderr. MEMTRACE_LOG sets its level or tracing directives (error, info, memtrace=debug).

Examples:
  sudo memtrace daemon
  sudo memtrace daemon --listen 127.0.0.1:9477
  sudo memtrace daemon --otlp http://127.0.0.1:4318
  sudo memtrace daemon --state-dir /tmp/mt --socket /tmp/mt/memtrace.sock --log-format json")]
pub struct DaemonArgs {
    /// Directory for recorded OOM kills and history; created if missing.
    #[arg(long, value_name = "DIR", env = "MEMTRACE_STATE_DIR", default_value = "/var/lib/memtrace")]
    pub state_dir: PathBuf,
    /// Its socket.
    #[command(flatten)]
    pub socket: SocketArgs,
    /// Also serve /metrics, /healthz and /readyz on this TCP address, unencrypted.
    #[arg(long, value_name = "ADDRESS", env = "MEMTRACE_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// Serve the full API on --listen to holders of the bearer token in this file.
    #[arg(long, value_name = "FILE", env = "MEMTRACE_TOKEN_FILE", requires = "listen")]
    pub token_file: Option<PathBuf>,
    /// Maximum number of containers with metrics of their own; the others are only counted.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub metrics_max_containers: usize,
    /// Options of the tracer.
    #[command(flatten)]
    pub probe: ProbeArgs,
    /// CPU limit for reading page tables, in percent of one CPU. A fifth of it is used while nobody looks, no group is near
    /// its limit, and the node has memory.
    #[arg(long, value_name = "PERCENT", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub scan_share: u32,
    /// CPU budget of the daemon, in percent of one CPU; 0: no limit. Above it, page tables are read less often, then
    /// fewer page faults are sampled, then fewer calls of each process are streamed.
    #[arg(long, value_name = "PERCENT", default_value_t = 20)]
    pub cpu_budget: u32,
    /// Memory budget of the daemon and its readers in MiB. Above it, the processes with the most mappings are shown with
    /// totals only: without the owners of their memory.
    #[arg(long, value_name = "MIB", default_value_t = DEFAULT_MIB, value_parser = clap::value_parser!(u32).range(i64::from(Budget::LEAST_MIB)..))]
    pub memory_budget: u32,
    /// Delete recorded OOM kills after this many days; 0: never.
    #[arg(long, value_name = "DAYS", default_value_t = 90)]
    pub keep_days: u32,
    /// Maximum size of the recorded OOM kills in MiB; the oldest are deleted first.
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    pub keep_size: u32,
    /// Do not record missed OOM kills from the kernel log, such as those from before the daemon started.
    #[arg(long)]
    pub no_backfill: bool,
    /// Where programs are pinned.
    #[command(flatten)]
    pub pins: PinArgs,
    /// Detach the programs when the daemon ends: OOM kills are then not recorded while no daemon runs, except from the
    /// kernel log.
    #[arg(long)]
    pub no_pins: bool,
    /// Remove all that memtrace pinned, which detaches its programs, and exit. Run this before uninstalling.
    #[arg(long)]
    pub unpin: bool,
    /// Sources of container names.
    #[command(flatten)]
    pub names: NameArgs,
    /// A collector.
    #[command(flatten)]
    pub otlp: OtlpArgs,
    /// Log format.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// End with this process, which started this one.
    #[arg(long, value_name = "PID", hide = true)]
    pub end_with: Option<u32>,
}

/// Log format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Plain text.
    Text,
    /// One JSON object per line.
    Json,
}

/// Runs the command.
///
/// # Errors
/// 4 when not permitted, else 1.
pub fn run(args: &DaemonArgs, out: &mut dyn Write) -> Result<(), Failure> {
    if args.unpin {
        return remove_pins(args, out);
    }
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
        memory_budget: Budget::new(Bytes(u64::from(args.memory_budget) << 20)),
        keep: Keep {
            age: Duration::from_secs(u64::from(args.keep_days) * 86_400),
            bytes: u64::from(args.keep_size) << 20,
        },
        // A daemon that ends with another process is not started again.
        pinning: if args.no_pins || args.end_with.is_some() {
            Pinning::Off
        } else {
            Pinning::At(args.pins.bpffs.clone())
        },
        backfill: !args.no_backfill,
        names: args.names.config(),
        otlp: args.otlp.config(),
    };
    Ok(daemon::run(&config)?)
}

/// Removes the pins, and says what was removed.
fn remove_pins(args: &DaemonArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let Unpinned { sets, unread, in_use } = unpin(&args.pins.bpffs).map_err(anyhow::Error::msg)?;
    writeln!(
        out,
        "sets of pinned programs removed: {sets}; records in them that no daemon has stored: {unread}"
    )?;
    if in_use > 0 {
        return Err(anyhow!("{in_use} state directories are in use: stop their daemons first").into());
    }
    Ok(())
}

/// Ends this process together with its parent, also when the parent is killed.
fn end_with(parent: u32) -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::TERM))
        .context("failed to request a signal for the end of the parent process")?;
    // It may have ended before.
    if getppid().is_none_or(|pid| pid.as_raw_nonzero().get().cast_unsigned() != parent) {
        bail!("the parent process has ended");
    }
    Ok(())
}
