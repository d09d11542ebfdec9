//! How fast the daemon's own side is.
//!
//! A load without a budget -> events that arrived, events that were lost, and how fast the recording of them replays.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use serde_json::Value;
use xtask_base::{agent::Agent, process};

use super::{
    load::{LOADS, Programs},
    say,
};

/// What the daemon's side can take.
#[derive(Debug, Serialize)]
pub(crate) struct Model {
    /// Events a second that the load made, all of them streamed.
    pub(crate) live_events_per_second: f64,
    /// Of the load's events, how many did not arrive.
    pub(crate) live_losses: u64,
    /// Percent of one CPU that the daemon took.
    pub(crate) live_cpu_percent: f64,
    /// The same with the default budget.
    pub(crate) budget_cpu_percent: f64,
    /// Events a second in a replay of a recording, on one CPU; or why not.
    pub(crate) replayed_events_per_second: Option<f64>,
    pub(crate) replayed_events: u64,
    pub(crate) why_not: Option<String>,
}

const RECORDED: &str = "6";
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn measure(bin: &Path, programs: &Programs) -> Result<Model> {
    say("events per second");
    let (rate, losses, cpu) = live(bin, programs, &["--event-budget", "0"])?;
    let (_, _, budget_cpu) = live(bin, programs, &[])?;
    let (replayed, events, why_not) = match replay(bin, programs) {
        Ok((rate, events)) => (Some(rate), events, None),
        Err(error) => (None, 0, Some(format!("{error:#}"))),
    };
    Ok(Model {
        live_events_per_second: rate,
        live_losses: losses,
        live_cpu_percent: cpu,
        budget_cpu_percent: budget_cpu,
        replayed_events_per_second: replayed,
        replayed_events: events,
        why_not,
    })
}

/// The mmap load on one CPU, the daemon on what is left.
fn live(bin: &Path, programs: &Programs, arguments: &[&str]) -> Result<(f64, u64, f64)> {
    let agent = Agent::start(bin, arguments)?;
    let (events, lost, cpu, start) =
        (counted(&agent, "events")?, losses(&agent)?, agent.cpu_seconds()?, Instant::now());
    let load = LOADS.iter().find(|load| load.name == "mmap").context("no such load")?;
    for _ in 0..4 {
        programs.run(load, &[], None)?;
    }
    let took = start.elapsed().as_secs_f64();
    let used = agent.cpu_seconds()? - cpu;
    // The last of them are still on their way.
    std::thread::sleep(Duration::from_secs(2));
    #[expect(clippy::cast_precision_loss, reason = "shown in thousands")]
    let rate = (counted(&agent, "events")? - events) as f64 / took;
    Ok((rate, losses(&agent)? - lost, used / took * 100.0))
}

fn counted(agent: &Agent, what: &str) -> Result<u64> {
    tracer(agent)?.get(what).and_then(Value::as_u64).with_context(|| format!("no {what}"))
}

/// Events that found no room; the snapshot lists what was lost, and no loss is no row.
fn losses(agent: &Agent) -> Result<u64> {
    let tracer = tracer(agent)?;
    let losses = tracer.get("losses").and_then(Value::as_array).context("no losses")?;
    let is_full = |loss: &&Value| {
        let name = loss.get("name").and_then(Value::as_str);
        name.is_some_and(|name| name == "stream_full" || name == "stream-full")
    };
    Ok(losses.iter().filter(is_full).filter_map(|loss| loss.get("count")?.as_u64()).sum())
}

/// What the daemon says of its own work; its first snapshot, made before it reads events, has none.
fn tracer(agent: &Agent) -> Result<Value> {
    let begin = Instant::now();
    loop {
        let snapshot = agent.get("/v1/snapshot")?;
        match snapshot.get("tracer") {
            Some(tracer) if tracer.is_object() => return Ok(tracer.clone()),
            _ if begin.elapsed() > PATIENCE => bail!("the daemon does not report what it has read"),
            _ => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// Records the mmap load, and runs the recording through the model.
fn replay(bin: &Path, programs: &Programs) -> Result<(f64, u64)> {
    let dir = tempfile::tempdir().context("failed to create a directory")?;
    let file = dir.path().join("recording");
    let mut recorder = Command::new(bin)
        .args(["record", "-o", "json", "--for", RECORDED, "--event-budget", "0", "--out"])
        .arg(&file)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("failed to start memtrace record")?;
    let start = Instant::now();
    let load = LOADS.iter().find(|load| load.name == "mmap").context("no such load")?;
    while start.elapsed() < Duration::from_secs(5) {
        programs.run(load, &[], None)?;
    }
    let output = recorder.stdout.take().context("failed to read from memtrace record")?;
    let snapshot: Value =
        serde_json::from_reader(output).context("failed to read what memtrace record shows")?;
    recorder.wait().context("failed to wait for memtrace record")?;
    let events =
        snapshot.get("tracer").and_then(|tracer| tracer.get("events")?.as_u64()).context("no events")?;
    let begin = Instant::now();
    process::capture(Command::new(bin).arg("replay").arg(&file))?;
    #[expect(clippy::cast_precision_loss, reason = "shown in thousands")]
    let rate = events as f64 / begin.elapsed().as_secs_f64();
    Ok((rate, events))
}
