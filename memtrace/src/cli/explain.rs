//! `memtrace explain`: one page on the memory of a process, a container or a pod.

use std::{
    io::{self, IsTerminal as _, Write},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::Args;

use super::{
    Failure,
    args::{ColorArgs, Form, SocketArgs},
};
use crate::{
    api::{
        client,
        v1::path::{INSIGHTS, SNAPSHOT},
    },
    clock,
    daemon::{OWN_PROGRAM, threads::READERS},
    explain::{
        self, Explanation, Subject,
        alone::{self, Alone},
        facts, find, fresh, objects,
    },
    health::Beat,
    mm::procfs::Procfs,
    reader::{Reader, Remote, pool::Readers},
    report::{Style, Terminal, explanation},
    snapshot::Snapshot,
    verdict::Insights,
};

/// Where processes are.
const PROC: &str = "/proc";
/// What has begun since the daemon's last tick is in its next snapshot; a busy node may delay it.
const NEXT_TICK: Duration = Duration::from_millis(2500);
/// Between two looks for it.
const PAUSE: Duration = Duration::from_millis(100);

/// Arguments of `explain`.
#[derive(Debug, Args)]
#[command(after_help = "\
Looks at the target now: as root it reads page tables and allocator counters itself, and adds what the daemon knows \
from before (growth, call stacks, verdicts over time). Without root it shows the daemon's last reading. TARGET is a \
pid, a container name or id, a pod (name, namespace/name or uid), a systemd unit, or a cgroup path.

Examples:
  memtrace explain 4711
  memtrace explain shop/cart-0
  memtrace explain redis.service
  memtrace explain 4711 --objects          what fills its heap, by type
  memtrace explain 4711 --objects --watch 30   and which types grow within 30 s
  memtrace explain cart pay                two targets side by side
  memtrace explain 4711 -o json | jq '.findings[].sentence'")]
pub struct ExplainArgs {
    /// Process, container, pod, unit or cgroup to explain.
    #[arg(value_name = "TARGET")]
    pub target: String,
    /// Second target, shown next to the first.
    #[arg(value_name = "TARGET")]
    pub other: Option<String>,
    /// Output format.
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t = Form::Text)]
    pub output: Form,
    /// Colours.
    #[command(flatten)]
    pub color: ColorArgs,
    /// Also show what fills the heap, by type (CPython, HotSpot, Go; needs root).
    #[arg(long)]
    pub objects: bool,
    /// With --objects: look twice, so many seconds apart, and show how each type grew.
    #[arg(long, value_name = "SECONDS", requires = "objects", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub watch: Option<u64>,
    /// Do not ask the daemon; read this machine once, as root.
    #[arg(long)]
    pub alone: bool,
    /// The daemon's address.
    #[command(flatten)]
    pub socket: SocketArgs,
}

/// Runs the command.
///
/// # Errors
/// See [`Failure`].
pub fn run(args: &ExplainArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let terminal = Terminal::from_env(io::stdout().is_terminal());
    let words: Vec<&str> =
        [Some(args.target.as_str()), args.other.as_deref()].into_iter().flatten().collect();
    let looks = match args.watch {
        _ if !args.objects => Looks::None,
        None => Looks::One,
        Some(seconds) => Looks::Two(Duration::from_secs(seconds)),
    };
    let explanations = explanations(&args.socket, args.alone, &words, looks)?;
    let color = args.color.is_on(terminal);
    print(&explanations, args.output, Style { color, width: terminal.list_width() }, out)
}

/// The explanations of targets, as they are now.
///
/// # Errors
/// When one is not found, or nothing can be read.
pub(super) fn explanations(
    socket: &SocketArgs,
    alone: bool,
    words: &[&str],
    looks: Looks,
) -> Result<Vec<Explanation>, Failure> {
    // What is asked about may be hostile: processes with a sandbox, limits and deadlines read it.
    let readers = Readers::start(OWN_PROGRAM.into(), Procfs::new(PROC), Beat::unwatched(READERS))?;
    let mut reader = Remote::new(readers);
    let (snapshot, insights) = look(socket, alone, &mut reader, words)?;
    let mut explanations = Vec::new();
    for word in words {
        let subject = find(&snapshot, word).map_err(|error| Failure::Usage(error.into()))?;
        let facts = facts::gather(&mut reader, &snapshot, &subject);
        let mut explanation = explain::explain(&snapshot, insights.as_ref(), &facts, &subject);
        facts::name_stacks(&mut reader, &mut explanation);
        explanations.push(explanation);
    }
    look_at_objects(&mut reader, &mut explanations, looks);
    Ok(explanations)
}

/// How often the objects are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Looks {
    None,
    One,
    /// Twice, so far apart.
    Two(Duration),
}

fn look_at_objects(reader: &mut dyn Reader, explanations: &mut [Explanation], looks: Looks) {
    if looks == Looks::None {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        let why = "that needs root: run `sudo memtrace explain --objects`";
        return explanations.iter_mut().for_each(|explanation| objects::none(explanation, why));
    }
    let began = clock::ktime();
    explanations.iter_mut().for_each(|explanation| objects::fill(reader, explanation));
    if let Looks::Two(apart) = looks {
        thread::sleep(apart);
        explanations.iter_mut().for_each(|explanation| objects::fill_again(reader, explanation, began));
    }
}

fn print(all: &[Explanation], form: Form, style: Style, out: &mut dyn Write) -> Result<(), Failure> {
    match (form, all) {
        (Form::Json, [one]) => {
            let json = serde_json::to_string_pretty(one).context("failed to write JSON")?;
            writeln!(out, "{json}")?;
        }
        (Form::Json, many) => {
            let json = serde_json::to_string_pretty(many).context("failed to write JSON")?;
            writeln!(out, "{json}")?;
        }
        (Form::Text, [one, two]) => write!(out, "{}", explanation::pair(one, two, style))?,
        (Form::Text, many) => {
            for one in many {
                write!(out, "{}", explanation::text(one, style))?;
            }
        }
    }
    Ok(())
}

/// The targets as they are now, with the daemon's history if one runs. Without permission to read page tables, the
/// daemon's last reading.
fn look(
    socket: &SocketArgs,
    is_alone: bool,
    reader: &mut dyn Reader,
    words: &[&str],
) -> Result<(Snapshot, Option<Insights>), Failure> {
    let is_root = rustix::process::geteuid().is_root();
    if !is_alone {
        match daemons(socket, words) {
            Ok(mut snapshot) => {
                let is_unknown = |word: &&str| find(&snapshot, word).is_err() && may_be_new(word);
                if is_root && words.iter().any(is_unknown) {
                    return Ok((alone(reader, words)?, None));
                }
                if is_root {
                    let plain = cgroups(&snapshot, words)?;
                    // What has ended in between keeps its last figures.
                    let fresh = alone(reader, &plain).ok();
                    for (fresh, word) in
                        fresh.iter().flat_map(|fresh| plain.iter().map(move |word| (fresh, word)))
                    {
                        if let Ok(subject) = find(fresh, word) {
                            fresh::refresh(&mut snapshot, fresh, &subject);
                        }
                    }
                }
                return Ok((snapshot, client::get(socket.path(), INSIGHTS).ok()));
            }
            Err(error) => socket.do_without(error)?,
        }
    }
    if !is_root {
        let error = anyhow::anyhow!(
            "no daemon is running, and reading page tables needs root: start the daemon or run `sudo memtrace explain`"
        );
        return Err(Failure::NotPermitted(error));
    }
    Ok((alone(reader, words)?, None))
}

/// The daemon's snapshot, with what has just begun.
fn daemons(socket: &SocketArgs, words: &[&str]) -> Result<Snapshot, client::ClientError> {
    let begun = Instant::now();
    loop {
        let snapshot = client::get::<Snapshot>(socket.path(), SNAPSHOT)?;
        let is_missing = words.iter().any(|word| find(&snapshot, word).is_err() && may_be_new(word));
        if !is_missing || begun.elapsed() >= NEXT_TICK {
            return Ok(snapshot);
        }
        thread::sleep(PAUSE);
    }
}

/// Whether the word names a process that is there, or may name a cgroup.
fn may_be_new(word: &str) -> bool {
    let is_process = || word.parse::<u32>().is_ok_and(|pid| Path::new(PROC).join(pid.to_string()).exists());
    word.starts_with('/') || is_process()
}

/// The targets as words that need no names of containers, which only the daemon knows.
fn cgroups(snapshot: &Snapshot, words: &[&str]) -> Result<Vec<String>, Failure> {
    let mut plain = Vec::new();
    for word in words {
        match find(snapshot, word).map_err(|error| Failure::Usage(error.into()))? {
            Subject::Process(row) => plain.push(row.pid.to_string()),
            Subject::Container(row) => plain.push(row.cgroup.clone()),
            Subject::Pod(_, rows) => plain.extend(rows.iter().map(|row| row.cgroup.clone())),
        }
    }
    Ok(plain)
}

/// A snapshot of /proc, with page tables and counters of the targets.
fn alone(reader: &mut dyn Reader, words: &[impl AsRef<str>]) -> Result<Snapshot, Failure> {
    alone::snapshot(Path::new(PROC), reader, words).map_err(|error| match error {
        Alone::NotFound(error) => Failure::Usage(error.into()),
        error @ Alone::NotListed(_) => Failure::Failed(error.into()),
    })
}
