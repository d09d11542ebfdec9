//! The tracer's own resource use, and its losses.
//!
//! [`Own`], read by the daemon, and the snapshot -> families. Unknown values have no series.

use memtrace_common::counter::Counter;

use super::family::Family;
use crate::{
    health::{Health, State},
    ingest::loss::{ENDS_DROPPED, READERS},
    probe::status::ProbeStatus,
    reader::pool::{Counts, NOT_READ},
    snapshot::{MemoryUse, Snapshot, StoreState, Tracer},
    units::Bytes,
};

/// The daemon's own resource use.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Own {
    /// CPU time, seconds.
    pub cpu_seconds: f64,
    /// Resident memory.
    pub rss: Option<Bytes>,
    /// Open descriptors.
    pub descriptors: Option<u64>,
    /// Memory of its BPF maps in the kernel.
    pub map_bytes: Option<Bytes>,
    /// Runs of its kernel programs, by program id; `None` while the kernel does not count them
    /// (`kernel.bpf_stats_enabled`).
    pub runs: Option<Vec<Runs>>,
    /// Size of the store's files.
    pub store_bytes: Option<Bytes>,
    /// Kills in the store.
    pub store_kills: Option<u64>,
    /// Connections that were refused.
    pub refused: u64,
    /// Requests that were refused because too many waited for readers.
    pub overloaded: u64,
    /// Its reader processes.
    pub readers: Counts,
    /// Its threads.
    pub health: Health,
}

/// Run statistics of a kernel program.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Runs {
    /// The kernel's id of the program.
    pub id: u32,
    /// How often it ran.
    pub count: u64,
    /// Total run time, seconds.
    pub seconds: f64,
}

pub(super) fn families(own: &Own, snapshot: &Snapshot, probes: &ProbeStatus) -> Vec<Family> {
    let Own {
        cpu_seconds,
        rss,
        descriptors,
        map_bytes,
        runs,
        store_bytes,
        store_kills,
        refused,
        overloaded,
        readers,
        health,
    } = own;
    let bytes = |bytes: &Option<Bytes>| bytes.map(|Bytes(bytes)| bytes as f64);
    let count = |count: Option<u64>| count.map(|count| count as f64);
    let mut build = Family::gauge("memtrace_build_info", "1, with the version of memtrace.");
    build.add(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    let mut all = vec![
        build,
        // The standard names of client libraries for these.
        Family::counter("process_cpu_seconds_total", "Processor time that memtrace has used, in seconds.")
            .one(Some(*cpu_seconds)),
        Family::gauge("process_resident_memory_bytes", "Resident memory of memtrace.").one(bytes(rss)),
        Family::gauge("process_open_fds", "Open file descriptors of memtrace.").one(count(*descriptors)),
        Family::gauge("memtrace_bpf_map_bytes", "Kernel memory of memtrace's BPF maps.")
            .one(bytes(map_bytes)),
        Family::gauge("memtrace_store_bytes", "Size of the store on disk.").one(bytes(store_bytes)),
        Family::gauge("memtrace_store_kills", "Records of OOM kills in the store.").one(count(*store_kills)),
        Family::counter("memtrace_api_refused_total", "Rejected connections of users without permission.")
            .one(Some(*refused as f64)),
        Family::counter(
            "memtrace_api_overload_total",
            "Requests for explanations and call stacks that were refused because too many waited for processes to be read.",
        )
        .one(Some(*overloaded as f64)),
        Family::gauge("memtrace_snapshot_timestamp_seconds", "Time of the last snapshot.")
            .one(Some(snapshot.time.as_millisecond() as f64 / 1000.0)),
        Family::gauge("memtrace_containers", "Cgroups with processes that memtrace follows.")
            .one(Some(snapshot.containers.len() as f64)),
        Family::gauge("memtrace_processes", "Processes that memtrace follows.")
            .one(Some(snapshot.processes.len() as f64)),
    ];
    all.extend(reader_processes(readers));
    let mut hooks =
        Family::gauge("memtrace_hook_attached", "1 if the hook of this fact is attached, 0 if not.");
    for hook in &probes.hooks {
        hooks.add(&[("fact", &hook.fact)], if hook.attached.is_some() { 1.0 } else { 0.0 });
    }
    all.push(hooks);
    all.push(threads(health));
    all.extend(programs(runs.as_deref(), probes));
    all.extend(snapshot.tracer.as_ref().map(tracer).into_iter().flatten());
    all
}

fn threads(health: &Health) -> Family {
    let mut late = Family::gauge(
        "memtrace_thread_late",
        "1 if the thread has work and makes no progress, or has ended; 0 if it works or waits.",
    );
    for thread in &health.threads {
        let vital = if thread.is_vital { "yes" } else { "no" };
        let value = if thread.state == State::Well { 0.0 } else { 1.0 };
        late.add(&[("thread", &thread.name), ("vital", vital)], value);
    }
    late
}

fn reader_processes(Counts { started, late, died, stuck, .. }: &Counts) -> [Family; 3] {
    let mut failed = Family::counter(
        "memtrace_reader_failures_total",
        "Reader processes that did not answer in time and were killed (late), or died with a question unanswered (died).",
    );
    failed.add(&[("kind", "late")], *late as f64);
    failed.add(&[("kind", "died")], *died as f64);
    [
        Family::counter("memtrace_readers_started_total", "Reader processes that were started.")
            .one(Some(*started as f64)),
        failed,
        Family::gauge(
            "memtrace_readers_stuck",
            "Reader processes that cannot be killed: a file system of a container does not answer.",
        )
        .one(Some(*stuck as f64)),
    ]
}

fn programs(runs: Option<&[Runs]>, probes: &ProbeStatus) -> [Family; 2] {
    let mut seconds = Family::counter(
        "memtrace_bpf_run_seconds_total",
        "Time in memtrace's kernel programs; known only while kernel.bpf_stats_enabled is 1.",
    );
    let mut times = Family::counter(
        "memtrace_bpf_runs_total",
        "Runs of memtrace's kernel programs; known only while kernel.bpf_stats_enabled is 1.",
    );
    for Runs { id, count, seconds: took } in runs.unwrap_or_default() {
        let of = |program: &&crate::probe::status::ProgramCost| program.id == *id;
        let program = probes.hooks.iter().filter_map(|hook| hook.program.as_ref()).find(of);
        if let Some(program) = program {
            seconds.add(&[("program", &program.name)], *took);
            times.add(&[("program", &program.name)], *count as f64);
        }
    }
    [seconds, times]
}

fn tracer(tracer: &Tracer) -> Vec<Family> {
    let Tracer {
        started,
        events,
        wakeups,
        fault_period,
        fault_period_now,
        kills_not_stored,
        store,
        bare_marks,
        losses,
        scans,
        memory,
        ..
    } = tracer;
    let mut lost = Family::counter(
        "memtrace_losses_total",
        "What the tracer lost or failed to read, by kind; `memtrace top` explains each kind.",
    );
    let kinds = Counter::ALL
        .iter()
        .map(|counter| counter.name())
        .chain(READERS.map(|(name, _)| name))
        .chain([NOT_READ.0, ENDS_DROPPED.0]);
    for kind in kinds {
        // Each loss has a count of 0 at first, otherwise the first one would not show as an increase.
        let count = losses.iter().find(|loss| loss.name == kind).map_or(0, |loss| loss.count);
        lost.add(&[("kind", kind)], count as f64);
    }
    let mut families = vec![
        lost,
        Family::gauge("process_start_time_seconds", "Start time of memtrace.")
            .one(Some(started.as_millisecond() as f64 / 1000.0)),
        Family::counter("memtrace_events_total", "Events from the kernel programs.").one(known(*events)),
        Family::counter(
            "memtrace_wakeups_total",
            "Times that events woke memtrace before its next regular read.",
        )
        .one(known(*wakeups)),
        Family::gauge(
            "memtrace_fault_sampling_period",
            "1 in this many page faults is sampled, fewer on a CPU with many; 0: none is.",
        )
        .one(known(*fault_period)),
        Family::gauge(
            "memtrace_fault_sampling_period_now",
            "Page faults per sample in the last second; 0 without samples.",
        )
        .one(known(*fault_period_now)),
        Family::gauge("memtrace_kills_not_stored", "OOM kills that are not stored on disk yet.")
            .one(known(*kills_not_stored)),
        Family::gauge("memtrace_store_usable", "1 while OOM kills can be stored, 0 while they cannot.")
            .one(known(u64::from(store.problem.is_none()))),
        Family::counter(
            "memtrace_store_renewals_total",
            "How often the files of the store were deleted, replaced or damaged while in use.",
        )
        .one(known(store.renewals)),
        history_dropped(store),
        Family::counter("memtrace_bare_marks_total", "OOM marks that killed nobody.").one(known(*bare_marks)),
        Family::counter("memtrace_scans_total", "Reads of page tables.").one(known(scans.done)),
        Family::counter("memtrace_scan_seconds_total", "Time spent reading page tables, in seconds.")
            .one(Some(scans.seconds)),
        Family::gauge(
            "memtrace_held_back_steps",
            "Steps by which the tracer has reduced its work to stay within its CPU budget.",
        )
        .one(known(scans.cpu.step as u64)),
    ];
    families.extend(memory_use(memory));
    families
}

fn history_dropped(store: &StoreState) -> Family {
    let mut dropped = Family::counter(
        "memtrace_history_dropped_total",
        "What is missing in the history of workloads: readings beyond the most workloads that are followed, and \
         five-minute rows that could not be stored.",
    );
    dropped.add(&[("what", "readings")], store.history_readings_dropped as f64);
    dropped.add(&[("what", "rows")], store.history_rows_dropped as f64);
    dropped
}

fn known(value: u64) -> Option<f64> {
    Some(value as f64)
}

fn memory_use(memory: &MemoryUse) -> [Family; 6] {
    [
        Family::gauge("memtrace_memory_budget_bytes", "Memory budget of memtrace and its readers.")
            .one(known(memory.budget_bytes.0)),
        Family::gauge("memtrace_memory_bytes", "Resident memory of memtrace, and private memory of its readers.")
            .one(memory.resident_bytes.map(|Bytes(bytes)| bytes as f64)),
        Family::gauge("memtrace_spaces_bytes", "Memory that memtrace uses for address spaces and their owners.")
            .one(known(memory.spaces_bytes.0)),
        Family::gauge("memtrace_spaces_limit_bytes", "Share of the memory budget for address spaces.")
            .one(known(memory.spaces_share_bytes.0)),
        Family::gauge(
            "memtrace_totals_only_processes",
            "Processes of which only totals are known, because their address spaces exceed the memory budget.",
        )
        .one(known(memory.totals_only as u64)),
        Family::counter(
            "memtrace_totals_only_total",
            "How often a process fell back to totals because of the memory budget.",
        )
        .one(known(memory.given_up)),
    ]
}
