//! The recorder's work on a batch: first the kills to disk, then everything that can wait.
//!
//! Records and exits -> the store. A kill is durable before anything is added to it.

use std::{sync::atomic::Ordering, time::Instant};

use jiff::Timestamp;

use super::{MAX_REPLACED, MAX_WAITING, MAX_WAITING_BYTES, Worker};
use crate::{
    container::{
        end::End,
        namer::Change,
        sources::{Asked, Ended as EndedSaid, Record},
        workload_labels::WorkloadLabels,
    },
    model::{Latest, exits::Ended},
    oom::{cause::cause, exit::RuntimeExit},
    probe::links::chain,
    store::StoreError,
};

impl Worker {
    /// Adds facts that arrive after the kill: the exit that the runtime reported, and whether the container lives on.
    pub(super) fn add(&mut self) {
        while let Ok(EndedSaid { record, end }) = self.surroundings.ended.try_recv() {
            let End { reason, exit_code, finished_at } = end;
            let added = self.surroundings.store.write(&self.clock, |store| match &record {
                Record::Kill(id) => store.add_runtime(id, reason.as_deref(), exit_code),
                // A restarted container keeps its id, so this may be a different exit.
                Record::Exit(_, time) if finished_at.is_some_and(|at| !is_same_end(*time, at)) => Ok(()),
                Record::Exit(id, _) => {
                    let said = RuntimeExit { reason: reason.clone(), exit_code: Some(exit_code) };
                    store.add_runtime_to_exit(id, said)
                }
            });
            if let Err(error) = added {
                tracing::error!(?record, ?reason, exit_code, error = %chain(&error),
                    "failed to store the exit that the container runtime reports");
            }
        }
        if !self.member_kills.is_waiting() {
            return;
        }
        let Self { member_kills, follow_up, surroundings, clock, .. } = self;
        let settled = surroundings
            .store
            .write(clock, |store| member_kills.settle(store, |id, lives| follow_up.lives_on(id, lives)));
        if let Err(error) = settled {
            tracing::warn!(error = %chain(&error), "failed to store the kill of a container process; retrying");
        }
    }

    /// Judges exits. Those of kills are recognised by their records, which are on disk now.
    pub(super) fn judge(&mut self, ends: &[(Box<Ended>, Latest)]) {
        for (ended, latest) in ends {
            let mut exit = self.follow_up.ended(ended, latest, &self.surroundings.boot_id);
            if exit.container.is_none() {
                let path = exit.task.cgroup.as_ref();
                exit.container = path.and_then(|path| self.surroundings.names.lock().of_shown(path));
            }
            let container = exit.container.as_ref().and_then(|name| name.container_id.clone());
            if let Some(container) = container.filter(|_| exit.is_main) {
                let record = Record::Exit(exit.id.clone(), exit.time);
                drop(self.surroundings.changes.try_send(Change::Ask(Asked { record, container })));
            }
            self.exits.push(exit);
        }
    }

    /// Work that is not urgent: exits, and facts from them and from /proc for stored kills.
    pub(super) fn follow_up(&mut self) {
        self.follow_up.look_at_mounts(&self.surroundings.mounts);
        self.follow_up.look_at_names(&self.surroundings.stack_names);
        let Self { surroundings, clock, follow_up, exits, more_victims, .. } = self;
        let store = &mut surroundings.store;
        let written =
            if follow_up.is_changed() { store.write(clock, |store| follow_up.write(store)) } else { Ok(()) };
        let stored =
            if exits.is_empty() { Ok(()) } else { store.write(clock, |store| store.insert_exits(exits)) };
        match stored {
            Ok(()) => exits.clear(),
            // Exits are many and less important than kills: keep only the newest for the next try.
            Err(_) => drop(exits.drain(..exits.len().saturating_sub(MAX_WAITING))),
        }
        let counted = if more_victims.is_empty() {
            Ok(())
        } else {
            store.write(clock, |store| store.count_victims(more_victims))
        };
        if counted.is_ok() {
            more_victims.clear();
        }
        if written.is_ok() && counted.is_ok() {
            self.let_members_go();
        }
        if let Err(error) = written.and(stored).and(counted) {
            tracing::warn!(error = %chain(&error), "failed to store the outcome of an OOM kill; retrying");
        }
    }

    /// Reads the kernel log. When no kill waits, records missed kills from it and deletes old records.
    pub(super) fn look(&mut self, is_idle: bool) {
        let now = Instant::now();
        let backfill = self.surroundings.backfill.as_mut();
        let missed = backfill.map(|backfill| {
            backfill.read(now);
            if is_idle { backfill.missed(now) } else { Vec::new() }
        });
        for mut record in missed.unwrap_or_default() {
            record.circumstances.cause = Some(cause(&record));
            tracing::warn!(id = %record.id, "an OOM kill was missed; recording it from the kernel log");
            self.ancestors.insert(record.id.clone(), Vec::new());
            self.waiting.push_back(record);
        }
        if is_idle {
            self.store_rows(false);
            self.tidy();
        }
    }

    /// Replaces records from the kernel log. What cannot be written now is kept for the next try.
    fn replace(&mut self) {
        let Self { surroundings, clock, replaced, member_kills, .. } = self;
        let mut failed = None;
        replaced.retain(|(id, record)| {
            if failed.is_none() {
                failed = surroundings.store.write(clock, |store| store.replace_kill(id, record)).err();
                if failed.is_none() {
                    member_kills.note(record);
                }
            }
            failed.is_some()
        });
        if let Some(error) = failed {
            // What the kernel log told of these kills is in the store.
            replaced.drain(..replaced.len().saturating_sub(MAX_REPLACED));
            tracing::warn!(error = %chain(&error), records = replaced.len(), "failed to replace backfilled records; retrying");
        }
    }

    pub(super) fn store_waiting(&mut self) {
        self.replace();
        if self.waiting.is_empty() {
            return self.let_go();
        }
        let records = &*self.waiting.make_contiguous();
        match self.surroundings.store.write(&self.clock, |store| store.insert_kills(records)) {
            Ok(_) => {
                for record in records.iter() {
                    tracing::info!(id = %record.id, victim = %record.victim.task.comm, tid = record.victim.task.tid,
                        "recorded an OOM kill");
                    let container_name = record.circumstances.container.as_ref();
                    if let Some(container) = container_name.and_then(|name| name.container_id.clone()) {
                        // Without a namer, or when it has thousands of requests, there is no answer.
                        drop(self.surroundings.changes.try_send(Change::Ask(Asked {
                            record: Record::Kill(record.id.clone()),
                            container,
                        })));
                    }
                    let of = WorkloadLabels::of(container_name, record.victim.task.cgroup.as_deref());
                    self.surroundings.shared.count_kills(of, 1);
                    self.member_kills.note(record);
                    self.surroundings.beat.beat();
                    self.follow_up.add(record, self.ancestors.remove(&record.id));
                }
                self.counts.stored.fetch_add(records.len() as u64, Ordering::Relaxed);
                self.waiting.clear();
                self.in_log.clear();
                self.let_go();
            }
            Err(error) => self.keep(&error),
        }
        self.counts.not_stored.store(self.waiting.len() as u64 + self.given_up, Ordering::Relaxed);
    }

    /// After a failed write: prints each record once, and keeps it for the next try.
    pub(super) fn keep(&mut self, error: &StoreError) {
        for record in self.waiting.iter().skip(self.in_log.len()) {
            let json = serde_json::to_string(record).unwrap_or_else(|error| error.to_string());
            tracing::error!(error = %chain(error), record = %json, "failed to store an OOM kill; it is kept in memory and retried");
            self.in_log.push_back(json.len());
        }
        while self.waiting.len() > MAX_WAITING || self.in_log.iter().sum::<usize>() > MAX_WAITING_BYTES {
            self.in_log.pop_front();
            if let Some(record) = self.waiting.pop_front() {
                self.ancestors.remove(&record.id);
            }
            self.given_up += 1;
        }
        self.bound_taken();
    }
}

/// Whether a time from the runtime and one from the kernel are of the same exit.
fn is_same_end(seen: Timestamp, told: Timestamp) -> bool {
    seen.duration_since(told).abs() <= jiff::SignedDuration::from_secs(30)
}
