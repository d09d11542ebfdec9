//! `memtrace doctor`: what this kernel supports, and what is lost without the rest.

use std::{io::Write, path::Path};

use anyhow::Context as _;
use clap::Args;

use super::{
    Failure,
    args::{Form, NameArgs, PinArgs, ProbeArgs, SocketArgs},
};
use crate::{
    api::{
        client,
        doctor::{Diagnosis, Known},
        v1::path,
    },
    cgroup::hierarchy::Hierarchy,
    container::sources::{self, SourceStatus},
    daemon::setup::tracer,
    health::Health,
    mm::procfs::Procfs,
    probe::{
        attach::AttachError,
        pins,
        status::{HookStatus, Outliving, ProbeStatus},
        tracefs,
    },
    snapshot::Snapshot,
};

/// Arguments of `doctor`.
#[derive(Debug, Args)]
#[command(after_help = "\
Attaches every hook and detaches it again, so it needs root. A running daemon is not disturbed: doctor only \
asks it how much CPU and memory it uses, whether it has reduced its work, and whether its threads make progress.

Examples:
  sudo memtrace doctor
  sudo memtrace doctor -o json
  sudo memtrace doctor --without btf    show what is lost on a kernel without BTF")]
pub struct DoctorArgs {
    /// Output format.
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t = Form::Text)]
    pub output: Form,
    /// How to trace.
    #[command(flatten)]
    pub probe: ProbeArgs,
    /// Where a daemon pins programs.
    #[command(flatten)]
    pub pins: PinArgs,
    /// Sources of container names.
    #[command(flatten)]
    pub names: NameArgs,
    /// The daemon's address, if one is running.
    #[command(flatten)]
    pub socket: SocketArgs,
}

/// Runs the command.
///
/// # Errors
/// 4 when this process may not trace, 1 when OOM kills cannot be watched, 3 when no daemon answers at an
/// explicit socket; the diagnosis is printed in every case.
pub fn run(args: &DoctorArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let options = args.probe.options();
    let support = tracer::probe(&options, tracefs::ensure());
    let procfs = Procfs::new("/proc");
    let hierarchy = Hierarchy::find(Path::new("/proc")).ok().flatten();
    let result = tracer::start(&support, &options, &procfs, hierarchy.as_ref());
    let probes = match &result {
        Ok(probes) => ProbeStatus {
            outliving: pins::possible(&args.pins.bpffs, &probes.links),
            ..probes.status.clone()
        },
        Err(AttachError::Required { status, .. }) => (**status).clone(),
        Err(AttachError::NotPermitted(_) | AttachError::PidNamespace(_) | AttachError::Failed(_)) => {
            ProbeStatus::default()
        }
    };
    // It is only asked what it holds back, and whether it is well.
    let daemon = client::get::<Snapshot>(args.socket.path(), path::SNAPSHOT);
    let health = client::get::<Health>(args.socket.path(), path::HEALTH);
    let diagnosis = Diagnosis {
        works: result.is_ok(),
        failure: result.as_ref().err().map(ToString::to_string),
        name_sources: name_sources(args)?,
        governor: match &daemon {
            Ok(snapshot) => Known::governor(snapshot),
            Err(error) => Known::Unknown(error.to_string()),
        },
        health: health.map_or_else(|error| Known::Unknown(error.to_string()), Known::Known),
        memory: match &daemon {
            Ok(snapshot) => Known::memory(snapshot),
            Err(error) => Known::Unknown(error.to_string()),
        },
        store: match &daemon {
            Ok(snapshot) => Known::store(snapshot),
            Err(error) => Known::Unknown(error.to_string()),
        },
        ..Diagnosis::working(probes, &support.missing_capabilities, hierarchy.as_ref())
    };
    match args.output {
        Form::Text => write!(out, "{}", text(&diagnosis))?,
        Form::Json => {
            let json = serde_json::to_string_pretty(&diagnosis).context("failed to write JSON")?;
            writeln!(out, "{json}")?;
        }
    }
    match result {
        Ok(_) => daemon.map_or_else(|error| args.socket.do_without(error), |_| Ok(())),
        Err(error @ AttachError::NotPermitted(_)) => Err(Failure::NotPermitted(error.into())),
        Err(error) => Err(Failure::Failed(error.into())),
    }
}

/// Checks every source of names.
fn name_sources(args: &DoctorArgs) -> Result<Vec<SourceStatus>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the async runtime")?;
    Ok(runtime.block_on(sources::examine(&args.names.config())))
}

/// How each hook attached, and what is lost otherwise.
fn hooks(hooks: &[HookStatus]) -> Vec<String> {
    let mut lines = vec!["".to_owned(), "Hooks".to_owned()];
    for hook in hooks {
        lines.push(match (&hook.attached, &hook.lost) {
            (Some(form), _) => format!("  ok    {:<12} {form}", hook.fact),
            (None, lost) => format!("  LOST  {:<12} {}", hook.fact, lost.as_deref().unwrap_or_default()),
        });
        let rejected = hook.passed_over.iter();
        lines.extend(rejected.map(|passed| format!("          rejected {}: {}", passed.hook, passed.why)));
    }
    lines
}

/// Whether kills are recorded while no daemon runs.
fn outliving(Outliving { directory, lost }: &Outliving) -> Vec<String> {
    let mut lines = vec!["".to_owned(), "OOM kills while no daemon runs".to_owned()];
    let lost = lost.iter();
    match directory {
        Some(directory) => {
            lines.push(format!("  ok    recorded by programs that stay attached, pinned in {directory}"));
            lines.extend(lost.map(|lost| format!("  LOST  {lost}")));
        }
        None => lines.extend(lost.map(|why| format!("  LOST  all that is not in the kernel log: {why}"))),
    }
    lines
}

/// The diagnosis for people.
fn text(diagnosis: &Diagnosis) -> String {
    let Diagnosis {
        schema: _,
        works,
        failure,
        probes,
        missing_capabilities,
        memory_controller,
        hidden_cgroups,
        name_sources,
        governor: _,
        health: _,
        memory: _,
        store: _,
    } = diagnosis;
    let mut out = String::new();
    let mut line = |text: &str| {
        out.push_str(text);
        out.push('\n');
    };
    match (works, failure) {
        (true, _) => line("memtrace works here: OOM kills are recorded."),
        (false, Some(why)) => line(&format!("memtrace does not work here: {why}")),
        (false, None) => line("memtrace does not work here."),
    }
    if !probes.hooks.is_empty() {
        hooks(&probes.hooks).iter().chain(&outliving(&probes.outliving)).for_each(|text| line(text));
    }
    line("");
    line("Kernel");
    if !probes.self_check.is_empty() {
        line(&format!("  offsets self-check: {}", probes.self_check));
    }
    for field in &probes.missing_fields {
        line(&format!("  LOST  {field}"));
    }
    match memory_controller {
        Some(controller) => line(&format!("  memory controller: {controller}")),
        None => {
            line("  LOST  memory controller: not mounted (limits and cgroup paths of processes are unknown)")
        }
    }
    if let Some(why) = hidden_cgroups {
        line(&format!("  LOST  cgroups: {why}"));
    }
    if probes.fault_period > 0 && probes.attached("page_fault").is_some() {
        line(&format!(
            "  page faults: 1 in {} is sampled, fewer on a CPU with many faults; each sample carries its weight",
            probes.fault_period
        ));
    }
    for (name, purpose) in missing_capabilities {
        line(&format!("  LOST  {name} is missing: cannot {purpose}"));
    }
    line("");
    line("Daemon");
    daemon(diagnosis).iter().for_each(|text| line(&format!("  {text}")));
    line("");
    line("Names");
    for SourceStatus { source, place, works, detail } in name_sources {
        let works = if *works { "ok  " } else { "LOST" };
        line(&format!("  {works}  {source:<11} {place}: {detail}"));
    }
    if name_sources.is_empty() {
        line("  no container runtime found: systemd units and cgroup paths serve as names");
    }
    out
}

/// What the running daemon says of itself. The reason for what is unknown is told once.
fn daemon(Diagnosis { governor, health, memory, store, .. }: &Diagnosis) -> Vec<String> {
    let mut lines = match governor {
        Known::Known(cpu) => vec![cpu.describe()],
        Known::Unknown(why) => vec![format!("CPU use and limits are unknown: {why}")],
    };
    match health {
        Known::Known(health) => {
            let (all, troubled) = (health.threads.len(), health.troubled());
            lines.push(format!("{} of {all} threads are well", all - troubled.len()));
            lines.extend(troubled.iter().map(|thread| format!("LATE  {thread}")));
        }
        Known::Unknown(why) => lines.push(format!("its threads are unknown: {why}")),
    }
    if let Known::Known(memory) = memory {
        lines.push(memory.describe());
    }
    if let Known::Known(store) = store {
        lines.extend(store.describe());
    }
    lines
}
