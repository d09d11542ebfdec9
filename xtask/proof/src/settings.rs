//! Programs that do give something up: the setting saves what memtrace says is free.
//!
//! A program -> [`Saving`]: what was said without the setting, and what the process has less with it.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Serialize;
use serde_json::Value;
use xtask_base::process;

use super::{ask::Memtrace, program::Giving};

/// What was saved is within this share of what was said.
const ERROR: f64 = 0.1;
/// A program is at rest when its memory has not changed by more than a percent for this long.
const REST: Duration = Duration::from_secs(2);
const STEP: Duration = Duration::from_millis(200);
/// It is given up after this time.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a setting did.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Saving {
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) setting: String,
    /// Anonymous memory of the process without and with it.
    pub(crate) before_bytes: u64,
    pub(crate) after_bytes: u64,
    /// What memtrace said is free and in memory, without the setting.
    pub(crate) said_bytes: u64,
}

impl Saving {
    pub(crate) fn saved_bytes(&self) -> u64 {
        self.before_bytes.saturating_sub(self.after_bytes)
    }

    /// Saved to said.
    pub(crate) fn ratio(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "compared to a tenth")]
        let ratio = self.saved_bytes() as f64 / self.said_bytes.max(1) as f64;
        ratio
    }

    pub(crate) fn is_as_said(&self) -> bool {
        (self.ratio() - 1.0).abs() <= ERROR
    }
}

/// Runs it without and with the setting.
///
/// # Errors
/// When it does not get ready, or memtrace says nothing of its allocator.
pub(crate) fn prove(memtrace: &Memtrace, giving: &Giving) -> Result<Saving> {
    let dir = tempfile::tempdir().context("failed to create a directory")?;
    giving.program.prepare(dir.path())?;
    let before = Ready::start(giving, &giving.base, dir.path())?;
    let said_bytes = said(memtrace, giving, before.child.id())?;
    let before_bytes = before.bytes;
    drop(before);
    let after = Ready::start(giving, &giving.setting, dir.path())?;
    Ok(Saving {
        name: giving.program.name.clone(),
        about: giving.program.about.clone(),
        setting: giving.setting.clone(),
        before_bytes,
        after_bytes: after.bytes,
        said_bytes,
    })
}

/// A program that has said that it is ready and is at rest.
struct Ready {
    child: Child,
    bytes: u64,
}

impl Ready {
    fn start(giving: &Giving, setting: &str, dir: &Path) -> Result<Self> {
        let [shell, option, run] = giving.program.words();
        let mut command = Command::new(shell);
        command.args([option, run]).env("SETTING", setting).current_dir(dir);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let child = child.with_context(|| format!("failed to run {}", process::shown(&command)))?;
        let mut ready = Self { child, bytes: 0 };
        let stdout = ready.child.stdout.take().context("there is no output")?;
        let is_ready = BufReader::new(stdout).lines().map_while(Result::ok).any(|line| line == "ready");
        ensure!(is_ready, "it ended before it was ready");
        ready.bytes = ready.at_rest()?;
        Ok(ready)
    }

    fn at_rest(&self) -> Result<u64> {
        let begin = Instant::now();
        let (mut bytes, mut since) = (anonymous(self.child.id())?, begin);
        while since.elapsed() < REST {
            if begin.elapsed() > PATIENCE {
                bail!("its memory does not come to rest");
            }
            thread::sleep(STEP);
            let now = anonymous(self.child.id())?;
            if now.abs_diff(bytes) * 100 > bytes {
                (bytes, since) = (now, Instant::now());
            }
        }
        anonymous(self.child.id())
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        // Both fail only for one that is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Anonymous memory of a process, as the kernel counts it page by page.
fn anonymous(pid: u32) -> Result<u64> {
    let file = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&file).with_context(|| format!("failed to read {file}"))?;
    kib(&text, "Anonymous:").map(|kib| kib << 10).with_context(|| format!("{file} has no anonymous memory"))
}

fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// What memtrace says is free in the allocator.
fn said(memtrace: &Memtrace, giving: &Giving, pid: u32) -> Result<u64> {
    let mut command = Command::new(&memtrace.bin);
    command.args(["explain", "--alone", "-o", "json", &pid.to_string()]);
    let page = serde_json::from_str(&process::capture(&mut command)?).context("failed to read the page")?;
    free(&page, &giving.allocator).with_context(|| format!("nothing was said of {}", giving.allocator))
}

fn free(page: &Value, allocator: &str) -> Option<u64> {
    let all = page.get("allocators")?.as_array()?.iter();
    let is_it = |of: &&Value| of.get("allocator").and_then(Value::as_str) == Some(allocator);
    let free: Vec<u64> = all.filter(is_it).filter_map(|of| of.get("free_resident_bytes")?.as_u64()).collect();
    (!free.is_empty()).then(|| free.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_free_is_that_of_the_allocator_alone() {
        let page = serde_json::json!({"allocators": [
            {"allocator": "glibc", "free_resident_bytes": 3},
            {"allocator": "jvm", "free_resident_bytes": 40},
            {"allocator": "jvm", "free_resident_bytes": 2},
        ]});
        assert_eq!(free(&page, "jvm"), Some(42));
        assert_eq!(free(&page, "go"), None);
        assert_eq!(kib("Rss:  9 kB\nAnonymous:   12 kB\n", "Anonymous:"), Some(12));
    }

    #[test]
    fn a_saving_is_as_said_within_a_tenth() {
        let saving = |after_bytes| Saving {
            name: String::new(),
            about: String::new(),
            setting: String::new(),
            before_bytes: 300,
            after_bytes,
            said_bytes: 200,
        };
        assert!(saving(100).is_as_said() && saving(119).is_as_said() && saving(81).is_as_said());
        assert!(!saving(125).is_as_said() && !saving(70).is_as_said() && !saving(400).is_as_said());
    }
}
