//! `memtrace top`: which containers and processes use memory, how much, and which grow.

mod live;
mod own_tracer;

use std::{
    io::{self, IsTerminal as _, Write},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::Args;
use jiff::Timestamp;

use super::{
    Failure,
    args::{ColorArgs, SocketArgs},
    report::When,
    show::{Format, ShowArgs, picture, show, snapshot_alone},
};
use crate::{
    api::{
        client::{self, ClientError},
        v1::{Kills, Update, path},
    },
    model::Model,
    snapshot::Snapshot,
    top::rows::{By, Data},
};

/// Arguments of `top`.
#[derive(Debug, Args)]
#[command(after_help = "\
On a terminal this is a live view (? shows its keys). With --once or -n, or when the output is not a terminal, it \
prints rows and exits.
It asks the daemon. Without a daemon the live view attaches its own probes (as root), and printed rows come from /proc \
and cgroups only; both say so.
USED is the memory that the kernel charges to a cgroup. RSS is the resident memory of a process, including shared \
pages; it is not the heap. LIMIT is the lowest limit from the cgroup up to the root.

Examples:
  memtrace top                                          live view of containers
  memtrace top --by process --sort growth               live view of processes, fastest growth first
  memtrace top --once --filter 'ns=shop %>80'           containers near their limits
  memtrace top --once --by arena --top 50               memory by owner: allocator, use, size
  memtrace top -n 60 -d 1 -o csv --fields name,used,limit > minute.csv
  memtrace top -o ndjson | jq 'select(.growth_bytes_per_second > 1048576) | .name'
  memtrace top -o json | jq .processes[0].memory        all fields, once
  memtrace top --at 10m                                 10 minutes ago, from the daemon's history
  memtrace top -o svg > top.svg                         a picture for a ticket")]
pub struct TopArgs {
    /// Print once and exit (default when the output is not a terminal).
    #[arg(long)]
    pub once: bool,
    /// Print N times and exit.
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub iterations: Option<u64>,
    /// Seconds between updates.
    #[arg(short, long, value_name = "SECONDS", default_value_t = 1.0, value_parser = seconds)]
    pub delay: f64,
    /// Show this time from the daemon's history: RFC 3339, or an age (90s, 30m, 2h). Left and Right move in time.
    #[arg(long, value_name = "TIME", value_parser = When::parse)]
    pub at: Option<When>,
    /// Options of the output.
    #[command(flatten)]
    pub show: ShowArgs,
    /// Colours in the live view.
    #[command(flatten)]
    pub color: ColorArgs,
    /// Use ASCII only (default outside UTF-8 locales).
    #[arg(long)]
    pub ascii: bool,
    /// Do not attach probes when no daemon is running.
    #[arg(long)]
    pub no_probes: bool,
    /// Keys to press before `-o svg` takes its picture.
    #[arg(long, value_name = "KEYS", default_value = "", hide = true)]
    pub keys: String,
    /// The daemon's address.
    #[command(flatten)]
    pub socket: SocketArgs,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.1..=3600.0).contains(seconds));
    seconds.ok_or_else(|| "expected a number of seconds from 0.1 to 3600".to_owned())
}

/// Runs the command.
///
/// # Errors
/// When the daemon's answer is invalid, or /proc cannot be read.
pub fn run(args: &TopArgs, out: &mut dyn Write) -> Result<(), Failure> {
    // Report wrong arguments before waiting for anything.
    let (sort, filter) = (args.show.order()?, args.show.rows_shown()?);
    args.show.columns()?;
    let is_batch = args.once || args.iterations.is_some() || args.show.output != Format::Table;
    if !is_batch && io::stdout().is_terminal() && io::stdin().is_terminal() {
        return live::run(args, sort, filter);
    }
    let every = Duration::from_secs_f64(args.delay);
    let mut local = None;
    let mut next = Instant::now();
    if args.show.output == Format::Svg {
        // Rates need two snapshots.
        let by = args.show.by();
        let first = known(&args.socket, by, &mut local)?;
        std::thread::sleep(every);
        let second = known(&args.socket, by, &mut local)?;
        return picture(&[&first, &second], &args.show, &args.keys, out);
    }
    for iteration in 0..args.iterations.unwrap_or(1) {
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        next = Instant::now() + every;
        let data = match args.at {
            Some(at) => past(args.socket.path(), at.at(Timestamp::now()))?,
            None => known(&args.socket, args.show.by(), &mut local)?,
        };
        show(&data, &args.show, iteration == 0, out)?;
    }
    Ok(())
}

/// The daemon's data for rows of this kind; without a daemon, a reading of /proc.
fn known(args: &SocketArgs, by: By, local: &mut Option<Model>) -> Result<Data, Failure> {
    let socket = args.path();
    let snapshot = match client::get::<Snapshot>(socket, path::SNAPSHOT) {
        Ok(snapshot) => snapshot,
        Err(error) => {
            args.do_without(error)?;
            return Ok(snapshot_alone(from_proc(local)?));
        }
    };
    let mut data = snapshot_alone(snapshot);
    let failed = |error: ClientError| Failure::Failed(error.into());
    match by {
        By::Pod | By::Container => data.insights = client::get(socket, path::INSIGHTS).map_err(failed)?,
        By::Kill => data.kills = Some(Arc::new(client::get::<Kills>(socket, path::KILLS).map_err(failed)?)),
        By::Probe => data.probes = Some(client::get(socket, path::PROBES).map_err(failed)?),
        By::Process | By::Arena | By::Stack => {}
    }
    Ok(data)
}

/// The state at a time, from the daemon's history.
fn past(socket: &Path, at: Timestamp) -> Result<Data, Failure> {
    match client::get::<Update>(socket, &format!("{}{at}", path::HISTORY)) {
        Ok(update) => Ok(Data { insights: update.insights, ..snapshot_alone(update.snapshot) }),
        Err(ClientError::Failed(error)) => {
            Err(Failure::Failed(error.context(format!("failed to show {at} from history"))))
        }
        Err(error) => Err(error.into()),
    }
}

/// A reading of /proc; the first call reads twice, a second apart, to see growth.
fn from_proc(local: &mut Option<Model>) -> anyhow::Result<Snapshot> {
    let is_first = local.is_none();
    let model = local.get_or_insert_with(|| Model::of_host(Path::new("/proc")));
    model.seed().context("failed to list the processes")?;
    if is_first {
        std::thread::sleep(Duration::from_secs(1));
    }
    model.touch_all();
    Ok(model.snapshot(None))
}
