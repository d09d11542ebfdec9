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
    probe::{options::Options, support::Without},
    report::Terminal,
};

/// Where the daemon listens.
#[derive(Clone, Debug, Default, Args)]
pub struct SocketArgs {
    /// The daemon's socket [default: /run/memtrace/memtrace.sock].
    #[arg(long, value_name = "PATH", env = "MEMTRACE_SOCKET")]
    pub socket: Option<PathBuf>,
}

/// Where it listens unless it is told otherwise.
const SOCKET: &str = "/run/memtrace/memtrace.sock";

impl SocketArgs {
    /// Its path.
    pub fn path(&self) -> &Path {
        self.socket.as_deref().unwrap_or(Path::new(SOCKET))
    }

    /// Goes on without a daemon where nobody answers at the usual place. A socket that was named is meant.
    ///
    /// # Errors
    /// When the socket was named, or the error is another one than that nobody answers.
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
    /// Colour the text; auto: on a terminal, unless NO_COLOR is set (CLICOLOR_FORCE: everywhere).
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t = ColorChoice::Auto)]
    pub color: ColorChoice,
}

impl ColorArgs {
    /// Whether it is, where the output leads to this terminal.
    pub fn is_on(self, terminal: Terminal) -> bool {
        match self.color {
            ColorChoice::Auto => terminal.wants_color(),
            ColorChoice::Always => true,
            ColorChoice::Never => false,
        }
    }
}

/// Form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// For people.
    Text,
    /// For programs: everything, in bytes.
    Json,
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
