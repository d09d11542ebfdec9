//! `prometheus`: the rules, the series and their joins, judged by Prometheus itself.
//!
//! deploy/ and a binary -> passed or not. Must not install anything: Debian's package is unpacked to target/tools.

mod life;
mod query;
mod tools;

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, Result, bail};

use life::Pod;
use query::Server;
use tools::Tools;
use xtask_base::{agent::Agent, process, requirements, workspace::Workspace};

/// Test the alerting rules, and let Prometheus scrape a daemon while a container is killed and restarted.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Uses prometheus and promtool from PATH; otherwise unpacks Debian's package into target/tools.

Examples:
  cargo xtask prometheus --rules      only test the rules; needs no root
  sudo -E cargo xtask prometheus      also scrape for two minutes"
)]
pub(crate) struct Args {
    /// Only test the rules
    #[arg(long)]
    rules: bool,
    /// Seconds to scrape
    #[arg(long, value_name = "N", default_value_t = 120, value_parser = clap::value_parser!(u64).range(20..))]
    seconds: u64,
    /// A memtrace to scrape instead of building one
    #[arg(long, value_name = "FILE")]
    bin: Option<PathBuf>,
}

const RULES: &str = "deploy/prometheus/memtrace.rules.yaml";
const TESTS: &str = "deploy/tests/rules.yaml";
/// Between two scrapes.
const EVERY: &str = "1s";

pub(crate) fn run(args: &Args) -> Result<()> {
    let workspace = Workspace::find()?;
    rules(&workspace)?;
    if args.rules {
        return Ok(());
    }
    let bin = match &args.bin {
        Some(bin) => bin.clone(),
        None => crate::demo::built()?,
    };
    scrape(&workspace, &bin, Duration::from_secs(args.seconds))
}

/// The rules are good, and say what their tests expect.
pub(crate) fn rules(workspace: &Workspace) -> Result<()> {
    let tools = Tools::find(workspace)?;
    process::run(Command::new(&tools.promtool).arg("check").arg("rules").arg(workspace.root().join(RULES)))?;
    process::run(Command::new(&tools.promtool).arg("test").arg("rules").arg(workspace.root().join(TESTS)))
}

/// A real scrape of a real daemon, with two lives of a container.
pub(crate) fn scrape(workspace: &Workspace, bin: &Path, long: Duration) -> Result<()> {
    let home = requirements::check()?;
    let tools = Tools::find(workspace)?;
    let dir = tempfile::tempdir().context("failed to create a directory for Prometheus")?;
    let pod = Pod::create(home, dir.path())?;
    let root = pod.root().display().to_string();
    let agent = Agent::start(bin, &["--no-backfill", "--listen", "127.0.0.1:0", "--host-root", &root])?;
    let target = address(&agent)?;
    check_metrics(&tools, &target)?;

    let server = start(&tools, workspace, dir.path(), &target)?;
    let start = Instant::now();
    let mut joined = Vec::new();
    for number in 1..=2 {
        let life = pod.start(number)?;
        let until = long * number / 2;
        // Early enough that the kill is scraped, late enough that what was before it is.
        sleep_until(start, long * (2 * number - 1) / 4);
        life.kill()?;
        sleep_until(start, until.saturating_sub(Duration::from_secs(2)));
        joined.push(SystemTime::now());
        life.end()?;
        sleep_until(start, until);
    }
    println!("scraped {target} every {EVERY} for {} s, with two lives of a container", long.as_secs());
    judge(&server, &joined, long)
}

/// Prometheus takes its targets up this long after its start at the latest (discovery/manager.go `updatert`).
const DISCOVERY: Duration = Duration::from_secs(5);

fn sleep_until(start: Instant, after: Duration) {
    thread::sleep(after.saturating_sub(start.elapsed()));
}

fn judge(server: &Server, joined: &[SystemTime], long: Duration) -> Result<()> {
    let of = r#"namespace="shop",pod="cart-0",container="redis""#;
    let scrapes = server.one(r#"sum_over_time(up{job="memtrace"}[10m])"#, None)?;
    let wanted = long.saturating_sub(DISCOVERY).as_secs_f64() * 0.9;
    if scrapes < wanted {
        bail!("too few scrapes: {scrapes} succeeded in {} s", long.as_secs());
    }
    let failed = server.one(r#"count_over_time(up{job="memtrace"}[10m])"#, None)? - scrapes;
    if failed > 0.0 {
        bail!("{failed} scrapes failed");
    }
    let kills = server.one(&format!(r#"memtrace_oom_kills_total{{{of},scope="memcg"}}"#), None)?;
    let resets =
        server.one(&format!(r#"resets(memtrace_oom_kills_total{{{of},scope="memcg"}}[10m])"#), None)?;
    let increase = server.one(
        &format!(
            r#"max_over_time(memtrace_oom_kills_total{{{of},scope="memcg"}}[10m])
                    - min_over_time(memtrace_oom_kills_total{{{of},scope="memcg"}}[10m])"#
        ),
        None,
    )?;
    println!("kills {kills}, resets {resets}, increase {increase}");
    if (kills, resets, increase) != (2.0, 0.0, 2.0) {
        bail!("failed to count two kills over a restart of their container");
    }
    for (number, at) in joined.iter().enumerate() {
        let join = format!(
            "memtrace_oom_kills_total{{{of},scope=\"memcg\"}} * on (instance, namespace, pod, container)
             group_left memtrace_container_effective_limit_bytes"
        );
        let product = server.one(&join, Some(*at))?;
        let kills = server.one(&format!("memtrace_oom_kills_total{{{of},scope=\"memcg\"}}"), Some(*at))?;
        println!("life {}: kills {kills}, joined with the limit by pod and container {product}", number + 1);
        #[expect(clippy::cast_precision_loss, reason = "a power of two")]
        let expected = kills * life::LIMIT as f64;
        if product != expected || kills < 1.0 {
            bail!("failed to join by pod and container in life {}", number + 1);
        }
    }
    let alert = format!(r#"ALERTS{{alertname="ContainerOOMKilled",alertstate="firing",{of}}}"#);
    server.one(&format!("count({alert})"), None).context("failed to raise the alert of the kill")?;
    println!("the alert ContainerOOMKilled fires");
    Ok(())
}

/// Where the daemon listens; it says so after it watches.
fn address(agent: &Agent) -> Result<String> {
    let start = Instant::now();
    loop {
        let log = agent.log();
        if let Some((_, rest)) = log.split_once("address=") {
            let address: String =
                rest.chars().take_while(|c| c.is_ascii_digit() || ".:".contains(*c)).collect();
            return Ok(address);
        }
        if start.elapsed() > Duration::from_secs(5) {
            bail!("failed to find the address of the daemon; its log:\n{}", process::tail(&log, 20));
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// promtool's own check of the series.
fn check_metrics(tools: &Tools, target: &str) -> Result<()> {
    let text = query::get(target, "/metrics")?;
    let mut command = Command::new(&tools.promtool);
    command.args(["check", "metrics"]).stdin(Stdio::piped());
    println!("$ {} < http://{target}/metrics ({} lines)", process::shown(&command), text.lines().count());
    let mut child = command.spawn().context("failed to run promtool")?;
    child.stdin.take().context("failed to write to promtool")?.write_all(text.as_bytes())?;
    let status = child.wait().context("failed to wait for promtool")?;
    if !status.success() {
        bail!("failed to pass `promtool check metrics`: {status}");
    }
    Ok(())
}

/// A child that is gone when dropped.
pub(crate) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only for a child that is gone already, which is what we want.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn start(tools: &Tools, workspace: &Workspace, dir: &Path, target: &str) -> Result<Server> {
    let rules = workspace.root().join(RULES);
    let config = format!(
        "global: {{ scrape_interval: {EVERY}, evaluation_interval: {EVERY} }}\nrule_files: ['{}']\n\
         scrape_configs:\n  - job_name: memtrace\n    static_configs: [{{ targets: ['{target}'] }}]\n",
        rules.display()
    );
    let file = dir.join("prometheus.yaml");
    fs::write(&file, config).context("failed to write Prometheus' configuration")?;
    let log = fs::File::create(dir.join("prometheus.log")).context("failed to create Prometheus' log")?;
    let address = query::free_address()?;
    let mut command = Command::new(&tools.prometheus);
    command.arg(format!("--config.file={}", file.display()));
    command.arg(format!("--storage.tsdb.path={}", dir.join("data").display()));
    command.arg(format!("--web.listen-address={address}"));
    let child = command.stdout(Stdio::null()).stderr(log).spawn();
    let child = child.with_context(|| format!("failed to start {}", process::shown(&command)))?;
    let server = Server { address, _child: Running(child), log: dir.join("prometheus.log") };
    server.wait_until_ready()?;
    Ok(server)
}
