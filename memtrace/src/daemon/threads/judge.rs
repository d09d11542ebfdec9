//! The judge's thread: a round every second, the log, and systemd's watchdog.
//!
//! Beats -> which threads are late, and `WATCHDOG=1` for as long as no vital one is. Must not wait for another thread.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;

use super::JUDGE;
use crate::{
    clock,
    daemon::setup::systemd::Systemd,
    health::{Beats, Change, Judge, ROUND},
};

/// Starts the thread, which ends with the daemon.
///
/// # Errors
/// When it cannot be started.
pub fn start(beats: Beats, systemd: Arc<Systemd>) -> anyhow::Result<()> {
    let beat = beats.watch(JUDGE);
    let run = move || {
        let mut judge = Judge::default();
        let mut watchdog = Watchdog::new(systemd.watchdog());
        while !beats.is_stopping() {
            beat.beat();
            let changes = judge.round(&beats, clock::ktime(), |thread| *thread != JUDGE);
            // Before the log, which may block.
            if beats.health().is_good() && watchdog.is_due(Instant::now()) {
                systemd.tell("WATCHDOG=1");
            }
            changes.into_iter().for_each(log);
            std::thread::sleep(ROUND);
        }
    };
    std::thread::Builder::new()
        .name("judge".to_owned())
        .spawn(run)
        .context("failed to start the judge thread")?;
    Ok(())
}

/// Logs a change.
pub fn log(change: Change) {
    match change {
        Change::Late(thread, since) => {
            let since = clock::wall(since);
            tracing::error!(thread = thread.name, %since, vital = thread.is_vital, "a thread makes no progress");
        }
        Change::Well(thread) => tracing::info!(thread = thread.name, "the thread makes progress again"),
    }
}

/// When systemd is to be told.
struct Watchdog {
    every: Option<Duration>,
    told: Option<Instant>,
}

impl Watchdog {
    /// With the time after which systemd kills the daemon, if it does. It is told four times in it.
    fn new(patience: Option<Duration>) -> Self {
        Self { every: patience.map(|patience| patience / 4), told: None }
    }

    /// Whether it is to be told now; it is then due again later.
    fn is_due(&mut self, now: Instant) -> bool {
        let Some(every) = self.every else { return false };
        let is_due = self.told.is_none_or(|told| now.saturating_duration_since(told) >= every);
        if is_due {
            self.told = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, Instant, Watchdog};

    #[test]
    fn systemd_is_told_four_times_in_its_patience_and_only_if_it_asks() {
        let now = Instant::now();
        assert!(!Watchdog::new(None).is_due(now));
        let mut watchdog = Watchdog::new(Some(Duration::from_secs(60)));
        let told = (0..60).filter(|second| watchdog.is_due(now + Duration::from_secs(*second)));
        assert_eq!(told.collect::<Vec<_>>(), [0, 15, 30, 45]);
    }
}
