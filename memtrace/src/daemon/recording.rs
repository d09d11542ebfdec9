//! Records the model's input on this host, for `replay`.
//!
//! Input: tracing options and an output file. Output: a recording, and its last snapshot. Uses the daemon's engine and
//! model, but stores and serves nothing.

use std::{
    collections::HashSet,
    fs::OpenOptions,
    io::BufWriter,
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::channel,
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use super::{DaemonError, OWN_PROGRAM, PROC, attention::Attention, engine::Engine, governor::Governor};
use crate::{
    api::interest::Interest,
    cgroup::hierarchy::Hierarchy,
    clock,
    daemon::{
        kills::recorder::outgoing::Outgoing,
        setup::tracer,
        threads::{ENGINE, READERS, SCANNER, UNWINDER, scanner, unwinder},
    },
    health::Beat,
    ingest::{
        recording::Writer,
        ring_buffer::{Reader, Rings},
    },
    mm::procfs::Procfs,
    model::{
        Latest, Model, geometry,
        journal::{Header, Journal},
    },
    probe::{attach::Probes, options::Options, tracefs},
    reader::{Remote, pool::Readers},
    snapshot::Snapshot,
};

/// Time between two checks for the end of the recording.
const PAUSE: Duration = Duration::from_millis(20);

/// What to record, and where.
#[derive(Clone, Debug)]
pub struct Config {
    /// The output file; it must not exist yet.
    pub file: PathBuf,
    /// The largest size of the file, in bytes.
    pub limit: u64,
    /// The longest duration; `None` records until SIGINT or SIGTERM.
    pub duration: Option<Duration>,
    /// Record only these processes and their descendants; all processes when empty.
    pub pids: Vec<u32>,
    /// How to trace.
    pub options: Options,
    /// The part of one CPU that reading page tables may take, in percent.
    pub scan_share: u32,
}

/// A finished recording.
#[derive(Debug)]
pub struct Recorded {
    /// The last snapshot in it.
    pub snapshot: Arc<Snapshot>,
    /// Bytes of the file.
    pub bytes: u64,
}

/// Records until the time is up, the file is full, or a signal arrives.
///
/// # Errors
/// When the tracer does not start or the file cannot be written.
pub fn record(config: &Config) -> Result<Recorded, DaemonError> {
    let tracefs = tracefs::ensure();
    let support = tracer::probe(&config.options, tracefs);
    let (procfs, hierarchy) = (Procfs::new(PROC), Hierarchy::find(PROC.as_ref()).unwrap_or_default());
    // Open before the tracer starts, so that a wrong path fails early. Only the owner may read paths and names of the
    // whole node.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&config.file);
    let file = file.with_context(|| format!("failed to create {}", config.file.display()))?;
    let probes = tracer::start(&support, &config.options, &procfs, hierarchy.as_ref())?;
    drop(support);
    let writer = Writer::new(BufWriter::new(file), config.limit).context("failed to start the recording")?;
    let header = Header { memtrace: env!("CARGO_PKG_VERSION").to_owned(), geometry: geometry() };
    let family = (!config.pids.is_empty()).then(|| config.pids.iter().copied().collect::<HashSet<u32>>());
    let journal = Journal::recorded(writer, &header, family).context("failed to start the recording")?;
    let mut model = Model::recorded(procfs, hierarchy, journal);
    model.seed().context("failed to list the processes")?;
    Ok(run(config, probes, model)?)
}

fn run(config: &Config, probes: Probes, mut model: Model) -> anyhow::Result<Recorded> {
    let Probes { stream, kills, signals, stacks, counters, governor: held_back, status, object, .. } = probes;
    let (snapshots, latest) = watch::channel(Arc::new(model.snapshot(None)));
    // The file contains kills as events, so the channel is not read.
    let (sender, _kills) = channel();
    let stop = Arc::new(AtomicBool::new(false));
    let readers = Readers::start(OWN_PROGRAM.into(), Procfs::new(PROC), Beat::unwatched(READERS))?;
    let remote = || Remote::new(readers.clone());
    let engine = Engine {
        beat: Beat::unwatched(ENGINE),
        scanner: scanner::start(remote(), config.scan_share, Beat::unwatched(SCANNER))?,
        unwinder: unwinder::start(remote(), Beat::unwatched(UNWINDER))?,
        readers,
        governor: Governor::new(0, config.scan_share),
        // A recording was asked for.
        attention: Attention::new(Interest::always(), clock::ktime()),
        held_back,
        reader: Reader::new(Rings { stream, kills, signals, stacks }, counters),
        model,
        status,
        kills: Outgoing::new(sender, Arc::default()),
        changes: None,
        counts: Arc::default(),
        latest: Latest { snapshot: Arc::clone(&latest.borrow()), at: clock::ktime() },
        snapshots,
        // A replay repeats the questions of a recording but has no limits to watch, so none are watched here.
        armed: channel().1,
        stop: Arc::clone(&stop),
    };
    let engine = std::thread::Builder::new()
        .name("engine".to_owned())
        .spawn(move || engine.run())
        .context("failed to start the engine thread")?;
    wait(config.duration, || engine.is_finished())?;
    stop.store(true, Ordering::Relaxed);
    let Ok(mut model) = engine.join() else { anyhow::bail!("the engine thread failed") };
    drop(object);
    let bytes =
        model.journal().finish().with_context(|| format!("failed to write {}", config.file.display()))?;
    Ok(Recorded { snapshot: latest.borrow().clone(), bytes })
}

/// Waits until the time is up, a signal arrives, or `is_over`.
fn wait(duration: Option<Duration>, is_over: impl Fn() -> bool) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen for SIGINT")?;
        let begun = Instant::now();
        while !is_over() && duration.is_none_or(|duration| begun.elapsed() < duration) {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
        Ok(())
    })
}
