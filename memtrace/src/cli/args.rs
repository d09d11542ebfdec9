//! Arguments that several commands have: where the daemon is, how to trace, where names come from, colours, forms.
//!
//! Command line -> the settings of the rooms that are called. Must not call them.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::{Args, ColorChoice, ValueEnum};
use memtrace_common::event::stack::{LEAST_BYTES, MOST_BYTES};

use super::Failure;
use crate::{
    api::client::ClientError,
    container::sources::{self, kubelet},
    probe::{options::Options, pins, support::Without},
    report::Terminal,
};

/// The daemon's address.
#[derive(Clone, Debug, Default, Args)]
pub struct SocketArgs {
    /// Unix socket of the daemon [default: /run/memtrace/memtrace.sock].
    #[arg(long, value_name = "PATH", env = "MEMTRACE_SOCKET")]
    pub socket: Option<PathBuf>,
}

/// The default path of the socket.
const SOCKET: &str = "/run/memtrace/memtrace.sock";

impl SocketArgs {
    /// Its path.
    pub fn path(&self) -> &Path {
        self.socket.as_deref().unwrap_or(Path::new(SOCKET))
    }

    /// Continues without a daemon if none answers at the default socket. An explicit socket must answer.
    ///
    /// # Errors
    /// When the socket was explicit, or for any other error.
    pub fn do_without(&self, error: ClientError) -> Result<(), Failure> {
        match (error, &self.socket) {
            (ClientError::NoDaemon(_), None) => Ok(()),
            (error @ ClientError::NoDaemon(_), Some(socket)) => Err(Failure::NoDaemon(anyhow!(
                "{error}; start one with `memtrace daemon --socket {}`, or leave out --socket (MEMTRACE_SOCKET) to do \
                 without",
                socket.display()
            ))),
            (error, _) => Err(error.into()),
        }
    }
}

/// Whether text is coloured.
#[derive(Clone, Copy, Debug, Args)]
pub struct ColorArgs {
    /// When to use colours; auto: on a terminal, unless NO_COLOR is set (CLICOLOR_FORCE: always).
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t = ColorChoice::Auto)]
    pub color: ColorChoice,
}

impl ColorArgs {
    /// Whether output to this terminal is coloured.
    pub fn is_on(self, terminal: Terminal) -> bool {
        match self.color {
            ColorChoice::Auto => terminal.wants_color(),
            ColorChoice::Always => true,
            ColorChoice::Never => false,
        }
    }
}

/// Output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// Plain text.
    Text,
    /// JSON with all figures, in bytes.
    Json,
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

/// Where programs are pinned.
#[derive(Clone, Debug, Args)]
pub struct PinArgs {
    /// Mount point of bpffs, where the programs that record OOM kills are pinned: they stay attached while no daemon
    /// runs, and the next one stores what they recorded.
    #[arg(long, value_name = "DIR", env = "MEMTRACE_BPFFS", default_value = pins::BPFFS)]
    pub bpffs: PathBuf,
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
    pub fn config(&self) -> sources::Config {
        sources::Config {
            host_root: self.host_root.clone(),
            cri_sockets: self.cri_socket.clone(),
            kubelet: self.kubelet.clone().map(|url| kubelet::Config {
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
