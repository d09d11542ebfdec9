//! `memtrace explain`: one page on the memory of a process, a container or a pod.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use clap::{Args, ColorChoice, ValueEnum};

use super::{Failure, SocketArgs};
use crate::{
    allocator::{counters::process::Budget, evidence::read::Reader},
    api::{
        client::{self, ClientError},
        v1::path::{INSIGHTS, SNAPSHOT},
    },
    daemon::{model::Model, scanner},
    mm::procfs::Procfs,
    report::{
        Style, Terminal,
        explain::{self, Explanation, Facts, Mount, Subject, find},
    },
    snapshot::Snapshot,
    units::{Bytes, escape},
    verdict::Insights,
};

/// Mounts that are looked at.
const MOST_MOUNTS: usize = 256;
/// Processes whose page tables are read without a daemon.
const MOST_READ: usize = 512;

/// What the counters of one process may take where nobody waits for the next: the target is not held up by it.
const ONCE: Budget = Budget { bytes: 1 << 30, time: Duration::from_secs(2) };

/// Arguments of `explain`.
#[derive(Debug, Args)]
#[command(after_help = "\
Asks the daemon. Without one it reads /proc, page tables and the allocators' counters itself, once, and says what only
history can tell. TARGET is a pid, a container's name or id, a pod (name, namespace/name or uid), a systemd unit, or
a cgroup path.

Examples:
  memtrace explain 4711
  memtrace explain shop/cart-0
  memtrace explain redis.service
  memtrace explain cart pay                two targets side by side
  memtrace explain 4711 --format json | jq '.findings[].sentence'")]
pub struct ExplainArgs {
    /// What to explain.
    #[arg(value_name = "TARGET")]
    pub target: String,
    /// A second target, side by side.
    #[arg(value_name = "TARGET")]
    pub other: Option<String>,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Colours; auto: on a terminal, unless NO_COLOR is set.
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = ColorChoice::Auto)]
    pub color: ColorChoice,
    /// Do not ask the daemon.
    #[arg(long)]
    pub alone: bool,
    /// Where the daemon listens.
    #[command(flatten)]
    pub socket: SocketArgs,
}

/// Form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs: everything, in bytes.
    Json,
}

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(args: &ExplainArgs, terminal: Terminal, out: &mut dyn Write) -> Result<(), Failure> {
    let words: Vec<&str> =
        [Some(args.target.as_str()), args.other.as_deref()].into_iter().flatten().collect();
    let (snapshot, insights) = look(args, &words)?;
    let mut explanations = Vec::new();
    for word in words {
        let subject = find(&snapshot, word).map_err(|error| Failure::Usage(error.into()))?;
        let facts = facts(&snapshot, &subject);
        explanations.push(explain::explain(&snapshot, insights.as_ref(), &facts, &subject));
    }
    let color = match args.color {
        ColorChoice::Auto => terminal.wants_color(),
        ColorChoice::Always => true,
        ColorChoice::Never => false,
    };
    print(&explanations, args.format, Style { color, width: terminal.list_width() }, out)
}

fn print(all: &[Explanation], format: Format, style: Style, out: &mut dyn Write) -> Result<(), Failure> {
    match (format, all) {
        (Format::Json, [one]) => {
            let json = serde_json::to_string_pretty(one).context("failed to write JSON")?;
            writeln!(out, "{json}")?;
        }
        (Format::Json, many) => {
            let json = serde_json::to_string_pretty(many).context("failed to write JSON")?;
            writeln!(out, "{json}")?;
        }
        (Format::Text, [one, two]) => write!(out, "{}", explain::pair(one, two, style))?,
        (Format::Text, many) => {
            for one in many {
                write!(out, "{}", explain::text(one, style))?;
            }
        }
    }
    Ok(())
}

/// The daemon's view, or one of our own.
fn look(args: &ExplainArgs, words: &[&str]) -> Result<(Snapshot, Option<Insights>), Failure> {
    if !args.alone {
        let socket = &args.socket.socket;
        match client::get::<Snapshot>(socket, SNAPSHOT) {
            Ok(snapshot) => return Ok((snapshot, client::get(socket, INSIGHTS).ok())),
            Err(ClientError::NoDaemon(_)) => {}
            Err(error @ ClientError::NotPermitted(_)) => return Err(Failure::NotPermitted(error.into())),
            Err(ClientError::Failed(error)) => return Err(Failure::Failed(error)),
        }
    }
    if !rustix::process::geteuid().is_root() {
        let error = anyhow::anyhow!(
            "no daemon answers, and to read other processes' page tables takes root: try sudo memtrace explain"
        );
        return Err(Failure::NotPermitted(error));
    }
    Ok((alone(words)?, None))
}

/// /proc, and the page tables and counters of what is meant.
fn alone(words: &[&str]) -> Result<Snapshot, Failure> {
    let proc = Path::new("/proc");
    let mut model = Model::of_host(proc);
    model.seed().context("failed to list the processes")?;
    model.touch_all();
    let first = model.snapshot(None);
    let mut pids = Vec::new();
    for word in words {
        let subject = find(&first, word).map_err(|error| Failure::Usage(error.into()))?;
        pids.extend(explain::explain(&first, None, &Facts::default(), &subject).processes);
    }
    let procfs = Procfs::new(proc);
    let mut reader = Reader::new(procfs.clone());
    for process in pids.iter().filter(|process| process.rss_bytes > Some(Bytes(0))).take(MOST_READ) {
        let request = model.expect(process.pid);
        model.take(scanner::scan(&procfs, &mut reader, request, ONCE));
    }
    // The totals of the moment, beside the page tables of it.
    model.touch_all();
    Ok(model.snapshot(None))
}

/// What the snapshot does not hold.
fn facts(snapshot: &Snapshot, subject: &Subject<'_>) -> Facts {
    let members = explain::explain(snapshot, None, &Facts::default(), subject).processes;
    let purging = members.iter().map(|process| process.pid).filter(|pid| has_purger(*pid)).collect();
    let tmpfs = members.first().map(|process| tmpfs(process.pid)).unwrap_or_default();
    let has_swap = snapshot.node.swap_free_bytes.is_some_and(|free| free.0 > 0);
    Facts { purging, tmpfs, has_swap }
}

/// Whether jemalloc's background thread runs in a process: by its name, which it gives itself.
fn has_purger(pid: u32) -> bool {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    tasks
        .flatten()
        .any(|task| fs::read(task.path().join("comm")).is_ok_and(|name| name == b"jemalloc_bg_thd\n"))
}

/// The tmpfs file systems that a process sees and that hold something.
fn tmpfs(pid: u32) -> Vec<Mount> {
    let Ok(mounts) = fs::read_to_string(format!("/proc/{pid}/mountinfo")) else { return Vec::new() };
    let mut seen = Vec::new();
    let mut found = Vec::new();
    for line in mounts.lines().take(MOST_MOUNTS) {
        // 24 1 0:22 / /dev/shm rw,nosuid master:3 - tmpfs tmpfs rw
        let fields: Vec<&str> = line.split(' ').collect();
        let kind = fields.iter().position(|field| *field == "-").and_then(|at| fields.get(at + 1));
        let (Some(&"tmpfs"), Some(device), Some(path)) = (kind, fields.get(2), fields.get(4)) else {
            continue;
        };
        if seen.contains(device) {
            continue;
        }
        seen.push(*device);
        let place = PathBuf::from(format!("/proc/{pid}/root")).join(path.trim_start_matches('/'));
        let Ok(stat) = rustix::fs::statvfs(&place) else { continue };
        let used = stat.f_blocks.saturating_sub(stat.f_bfree).saturating_mul(stat.f_frsize);
        if used > 0 {
            found.push(Mount { path: escape(path.as_bytes()), bytes: Bytes(used) });
        }
    }
    found
}
