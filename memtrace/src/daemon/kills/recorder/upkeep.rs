//! The upkeep of the store: retention, the files beneath it, and what others are told about it.
//!
//! The clocks and the store -> rows of workloads, fewer old kills, a store that works, messages. Must not delay a kill.

use std::{
    path::Path,
    sync::{MutexGuard, PoisonError},
    time::Instant,
};

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};

use super::{Keep, TIDY, Worker};
use crate::{
    clock,
    daemon::setup::lock::StateLock,
    history::lasting::Dropped,
    probe::links::chain,
    snapshot::StoreState,
    store::{Now, Retention, guard::Guard},
};

/// Opens the store. The lock is held as long as the store, and taken again if its directory was deleted.
///
/// # Errors
/// When the store cannot be opened.
pub fn open(state_dir: &Path, mut lock: StateLock, boot_id: &str) -> anyhow::Result<Guard> {
    let prepare = move || lock.renew().map_err(|error| error.to_string());
    let guard =
        Guard::open(state_dir, Box::new(prepare), &now(boot_id)).context("failed to open the store")?;
    if let Some(aside) = guard.store().and_then(|store| store.set_aside()) {
        tracing::error!(path = %aside.display(), "the store is corrupt; moved it aside and created a new one");
    }
    Ok(guard)
}

/// The clocks.
pub(super) fn now(boot_id: &str) -> Now {
    Now { wall: Timestamp::now(), since_boot: clock::ktime(), boot_id: boot_id.into() }
}

impl Worker {
    /// Reads the clocks, and says it if the wall clock has jumped.
    pub(super) fn read_clocks(&mut self) {
        let now = Now { wall: Timestamp::now(), since_boot: clock::ktime(), ..self.clock.clone() };
        if let Some(jump) = now.jump(&self.clock) {
            let direction = if jump.is_negative() { "back" } else { "ahead" };
            // In hours, because the exact time means nothing.
            let by = SignedDuration::from_hours(jump.abs().as_hours());
            tracing::warn!(
                "the wall clock jumped {direction} by {by:#}; old OOM kills are deleted by the store's own time"
            );
        }
        self.clock = now;
    }

    /// Checks the files of the store if that is due, and tells what happened to them.
    pub(super) fn look_after_store(&mut self) {
        self.surroundings.store.look(&self.clock);
        for renewed in self.surroundings.store.news() {
            let aside = renewed.aside.as_ref().map(|aside| aside.display().to_string());
            tracing::error!(reason = %renewed.reason, aside, kills = renewed.kills, "opened the store again: its files were lost or damaged");
            let moved =
                aside.map_or_else(String::new, |aside| format!("; what was left of it is in {aside}"));
            let last = format!("{}: {}{moved}", renewed.time, renewed.reason);
            let mut state = self.store_state();
            state.renewals += 1;
            state.last_renewal = Some(last);
            drop(state);
            self.store_recent();
        }
        let Dropped { readings, rows } = self.surroundings.shared.dropped();
        let mut state = self.store_state();
        (state.history_readings_dropped, state.history_rows_dropped) = (readings, rows);
        drop(state);
        let problem = self.surroundings.store.problem();
        if self.store_state().problem.as_deref() != problem {
            self.store_state().problem = problem.map(str::to_owned);
            // Not under the lock, for which the engine waits: the log may be a pipe that nobody reads.
            match problem {
                Some(why) => tracing::error!("OOM kills cannot be stored now: {why}"),
                None => tracing::info!("OOM kills can be stored again"),
            }
        }
    }

    fn store_state(&self) -> MutexGuard<'_, StoreState> {
        self.counts.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The kills that are still in memory are not lost with their store.
    fn store_recent(&mut self) {
        let recent: Vec<_> = self.follow_up.records().cloned().collect();
        if recent.is_empty() {
            return;
        }
        match self.surroundings.store.write(&self.clock, |store| store.insert_kills(&recent)) {
            Ok(0) => {}
            Ok(kills) => tracing::info!(kills, "stored recent OOM kills again"),
            Err(error) => {
                tracing::warn!(error = %chain(&error), "failed to store recent OOM kills again");
            }
        }
    }

    /// Stores the finished rows of workloads; at the end also the present ones.
    pub(super) fn store_rows(&mut self, is_end: bool) {
        let rows = self.surroundings.shared.finished_rows(is_end);
        if rows.is_empty() {
            return;
        }
        match self.surroundings.store.write(&self.clock, |store| store.insert_rows(&rows)) {
            Ok(()) => self.surroundings.shared.forget_rows(rows.len()),
            // They wait, up to a bound; the store's problem is told elsewhere.
            Err(error) => {
                tracing::debug!(error = %chain(&error), rows = rows.len(), "failed to store the history of workloads; retrying");
            }
        }
    }

    /// Deletes old kills if that is due.
    pub(super) fn tidy(&mut self) {
        if self.tidied.is_some_and(|at| at.elapsed() < TIDY) {
            return;
        }
        self.tidied = Some(Instant::now());
        let Keep { age, bytes } = self.surroundings.keep;
        let retention = Retention { age: (!age.is_zero()).then_some(age), bytes };
        let now = &self.clock;
        match self.surroundings.store.write(now, |store| store.keep(retention, now)) {
            Ok(0) => {}
            Ok(deleted) => tracing::info!(deleted, "deleted old OOM kills"),
            Err(error) => tracing::warn!(error = %chain(&error), "failed to delete old OOM kills"),
        }
        if let Err(error) = self.surroundings.store.write(now, |store| store.keep_rows(now)) {
            tracing::warn!(error = %chain(&error), "failed to delete old history of workloads");
        }
        if let Err(error) = self.surroundings.store.write(now, |store| store.keep_tallies()) {
            tracing::warn!(error = %chain(&error), "failed to add up the counts of old OOM kills");
        }
    }
}
