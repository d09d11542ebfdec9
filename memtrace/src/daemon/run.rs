//! The daemon's life cycle: starts the threads, serves until a signal, and stops them in order.
//!
//! [`Config`] -> records in the state directory and an API. Must not contain decisions that belong to another module.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use aya::Ebpf;
use aya_log::EbpfLogger;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use super::{
    Config, DaemonError, OWN_PROGRAM, PROC,
    attention::Attention,
    engine::Engine,
    governor::Governor,
    kills::{
        backfill::{self, Backfill},
        heaps::Heaps,
        inherited::Inherited,
        mounts::Mounts,
        recorder::{self, Surroundings, outgoing::Outgoing},
        stack_names::StackNames,
    },
    setup::{
        lock::{self, StateLock},
        malloc, privileges, seccomp,
        systemd::Systemd,
        take_over::take_over,
        tracer,
    },
    threads::{
        self, advice,
        history_file::HistoryFile,
        judge, limit_watch, otlp, scanner,
        serving::{self, Listeners, Published},
        unwinder, verdict_task,
    },
};
use crate::{
    api::{doctor::Diagnosis, server, state::Source},
    cgroup::hierarchy::Hierarchy,
    clock,
    container::namer,
    health::Beats,
    history::shared::Shared,
    ingest::ring_buffer::{Reader, Rings},
    mm::procfs::Procfs,
    model::{Latest, Model},
    probe::{attach::Probes, status::ProbeStatus, tracefs},
    reader::{Remote, pool::Readers, tmpfs},
    web,
};

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// When it cannot start: not permitted, no OOM hook, state directory in use or not writable, socket in use.
pub fn run(config: &Config) -> Result<(), DaemonError> {
    // Both run before any thread: the second may unshare the mount namespace.
    malloc::keep_small();
    let tracefs = tracefs::ensure();
    let hierarchy = Hierarchy::find(Path::new(PROC)).unwrap_or_default();
    let boot_id = clock::boot_id(Path::new(PROC)).context("failed to read the boot id")?;
    // Before any slow step: in a storm of kills the log is overwritten within seconds.
    let mut backfill =
        config.backfill.then(|| Backfill::start(backfill::boot(boot_id.clone(), hierarchy.as_ref())));
    let support = tracer::probe(&config.options, tracefs);
    let lock = lock::lock(&config.state_dir)?;
    let mut probes = tracer::start(&support, &config.options, &Procfs::new(PROC), hierarchy.as_ref())?;
    let (_pins, inherited) = take_over(&config.pinning, &config.state_dir, &mut probes);
    // Kills before this point were not traced by this daemon.
    if let Some(backfill) = &mut backfill {
        backfill.read(Instant::now());
    }
    let diagnosis =
        Diagnosis::working(probes.status.clone(), &support.missing_capabilities, hierarchy.as_ref());
    if let Some(why) = &diagnosis.hidden_cgroups {
        tracing::warn!("{why}");
    }
    // It holds the kernel's BTF, 5 MiB that are not needed again.
    drop(support);
    log_status(&probes.status);
    // Bind while the process may still chown the socket and bind a low port.
    let beats = Beats::default();
    let listeners = serving::listeners(config, &beats)?;
    match privileges::drop_others() {
        Ok(kept) => tracing::info!(?kept, "dropped all other capabilities"),
        Err(error) => tracing::warn!(%error, "failed to drop capabilities"),
    }
    if let Err(error) = seccomp::refuse() {
        tracing::warn!(%error, "failed to refuse system calls that the daemon does not need");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        // These threads wait for disks; a flood of requests must not start a thread for each. Those that wait for readers
        // take three at most (`api::lane`).
        .max_blocking_threads(4)
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let before = Before { hierarchy, boot_id, backfill, inherited, diagnosis, beats, lock };
    let result = runtime.block_on(run_attached(config, probes, before, listeners));
    // A request that waits for a disk must not delay the shutdown.
    runtime.shutdown_background();
    Ok(result?)
}

/// Facts from before the threads started.
struct Before {
    hierarchy: Option<Hierarchy>,
    boot_id: String,
    backfill: Option<Backfill>,
    inherited: Inherited,
    diagnosis: Diagnosis,
    beats: Beats,
    lock: StateLock,
}

/// The running threads, and the work after their end.
struct Running {
    engine: JoinHandle<Model>,
    recorder: JoinHandle<()>,
    stop: Arc<AtomicBool>,
    file: HistoryFile,
    shared: Shared,
    /// Keeps the programs attached.
    object: Ebpf,
}

async fn run_attached(
    config: &Config,
    mut probes: Probes,
    before: Before,
    Listeners { socket, port }: Listeners,
) -> anyhow::Result<()> {
    // Before any slow step, so that a signal is not missed.
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen for SIGINT")?;
    forward_kernel_log(&mut probes.object);
    malloc::keep_giving_back();
    let beats = before.beats.clone();
    serving::beat(&beats);
    let systemd = Arc::new(Systemd::from_env());
    let (source, running) = start(config, probes, before)?;
    tracing::info!(socket = %config.socket.display(), state_dir = %config.state_dir.display(), "watching");
    if let Some(address) = port.as_ref().and_then(|port| port.listener.local_addr().ok()) {
        tracing::info!(%address, "serving metrics and health");
    }
    systemd.tell("READY=1");
    judge::start(beats.clone(), Arc::clone(&systemd))?;
    let mut lost = None;
    let stopping = async {
        tokio::select! {
            _ = terminate.recv() => tracing::info!(signal = "SIGTERM", "stopping"),
            _ = interrupt.recv() => tracing::info!(signal = "SIGINT", "stopping"),
            // Nothing starts it again; what started the daemon starts the daemon again.
            thread = beats.ended() => {
                tracing::error!(thread, "a thread ended unexpectedly, stopping");
                lost = Some(thread);
            }
        }
        beats.stop();
        systemd.tell("STOPPING=1");
    };
    let served = server::serve((socket, port), source, web::pages(), stopping).await;
    running.end()?;
    if let Some(thread) = lost {
        anyhow::bail!("the {thread} thread ended unexpectedly");
    }
    served
}

/// Starts the threads and tasks, each after those that it sends requests to.
fn start(config: &Config, probes: Probes, before: Before) -> anyhow::Result<(Source, Running)> {
    let Probes { stream, kills, signals, stacks, counters, governor: held_back, status, object, .. } = probes;
    let Before { hierarchy, boot_id, backfill, inherited, diagnosis, beats, lock } = before;
    let (not_fitting, unreadable) = (inherited.not_fitting, inherited.unreadable);
    let readers = Readers::start(OWN_PROGRAM.into(), Procfs::new(PROC), beats.watch(threads::READERS))?;
    let remote = || Remote::new(readers.clone());
    let file = HistoryFile::new(&config.state_dir, &boot_id);
    let shared = Shared::with(file.load());
    file.clone().keep(shared.clone(), beats.watch(threads::HISTORY));
    let own = namer::hierarchy_id(&Procfs::new(PROC), hierarchy.as_ref());
    let namer = namer::start(&config.names, hierarchy.clone(), own, beats.watch(threads::NAMER))?;
    let mounts = tmpfs::KnownMounts::default();
    let mut model = Model::new(Procfs::new(PROC), hierarchy.clone());
    let (snapshots, latest) = watch::channel(Arc::new(model.snapshot(None)));
    let recorder = recorder::start(Surroundings {
        mounts: Mounts::start(remote(), mounts.clone(), beats.watch(threads::KILL_MOUNTS))?,
        stack_names: StackNames::start(remote(), latest.clone(), beats.watch(threads::STACK_NAMES))?,
        heaps: Heaps::start(remote(), latest.clone(), beats.watch(threads::HEAPS))?,
        store: recorder::open(&config.state_dir, lock, &boot_id)?,
        boot_id,
        hook: status.attached("oom_kill").unwrap_or_default().to_owned(),
        watches_signals: status.attached("signal").is_some(),
        hierarchy: hierarchy.clone(),
        keep: config.keep,
        backfill,
        inherited,
        releaser: kills.releaser(),
        shared: shared.clone(),
        names: namer.names.clone(),
        changes: namer.changes.clone(),
        ended: namer.ended,
        beat: beats.watch(threads::RECORDER),
    })?;
    model.name_by(namer.names.clone());
    model.keep_within(config.memory_budget);
    model.seed().context("failed to list the processes")?;
    snapshots.send_replace(Arc::new(model.snapshot(None)));
    let watch_thread = |thread| beats.watch(thread);
    let armed = limit_watch::start(hierarchy.clone(), latest.clone(), mounts, remote(), watch_thread)?;
    let advised = advice::start(&config.state_dir);
    let insights = verdict_task::start(
        latest.clone(),
        hierarchy,
        shared.clone(),
        advised,
        beats.watch(threads::VERDICT),
    );
    let published = Published { snapshots: latest.clone(), insights, beats: beats.clone() };
    let sent = config.otlp.as_ref().map(|otlp| otlp::start(otlp, &config.state_dir)).transpose()?;
    let source = serving::source(config, published, diagnosis, shared.clone(), readers.clone(), sent)?;
    let stop = Arc::new(AtomicBool::new(false));
    let engine = Engine {
        scanner: scanner::start(remote(), config.scan_share, beats.watch(threads::SCANNER))?,
        unwinder: unwinder::start(remote(), beats.watch(threads::UNWINDER))?,
        readers,
        governor: Governor::new(config.cpu_budget, config.scan_share),
        attention: Attention::new(source.interest.clone(), clock::ktime()),
        held_back,
        reader: Reader::new(Rings { stream, kills, signals, stacks }, counters)
            .after(not_fitting, unreadable),
        model,
        status,
        kills: Outgoing::new(recorder.sender, Arc::clone(&recorder.counts)),
        changes: Some(namer.changes),
        counts: Arc::clone(&recorder.counts),
        latest: Latest { snapshot: Arc::clone(&latest.borrow()), at: clock::ktime() },
        snapshots,
        beat: beats.watch(threads::ENGINE),
        armed,
        stop: Arc::clone(&stop),
    };
    let engine = std::thread::Builder::new()
        .name("engine".to_owned())
        .spawn(move || engine.run())
        .context("failed to start the engine thread")?;
    Ok((source, Running { engine, recorder: recorder.thread, stop, file, shared, object }))
}

impl Running {
    /// Ends the engine first: the recorder ends when the engine's last kill is stored.
    fn end(self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let engine = self.engine.join().is_ok();
        let recorder = self.recorder.join().is_ok();
        for (name, is_well) in [("engine", engine), ("recorder", recorder)] {
            anyhow::ensure!(is_well, "the {name} thread failed");
        }
        self.file.save_or_say(&self.shared);
        drop(self.object);
        Ok(())
    }
}

/// Prints what the kernel programs log; they log rare errors only.
fn forward_kernel_log(object: &mut Ebpf) {
    let mut logger = match EbpfLogger::init(object) {
        Ok(logger) => logger,
        Err(error) => return tracing::warn!(%error, "failed to read the log of the kernel programs"),
    };
    // Polled: waiting for the descriptor has no safe form, and these lines are rare.
    tokio::spawn(async move {
        let mut every = tokio::time::interval(Duration::from_secs(1));
        loop {
            every.tick().await;
            logger.flush();
        }
    });
}

fn log_status(status: &ProbeStatus) {
    for hook in &status.hooks {
        match (&hook.attached, &hook.lost) {
            (Some(form), _) => tracing::debug!(fact = %hook.fact, %form, "attached"),
            (None, Some(lost)) => {
                tracing::warn!(fact = %hook.fact, %lost, "failed to attach a hook; see `memtrace doctor`")
            }
            (None, None) => {}
        }
    }
    for field in &status.missing_fields {
        tracing::warn!(%field, "field not found in this kernel");
    }
    tracing::info!(
        attached = status.hooks.iter().filter(|hook| hook.attached.is_some()).count(),
        of = status.hooks.len(),
        self_check = %status.self_check,
        "hooks"
    );
}
