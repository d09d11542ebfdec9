//! The recorder and the rings: kills that earlier daemons left come first, and the record of a kill is let go when it is
//! stored.
//!
//! Inherited kills -> waiting records. Their surroundings are gone: no fact of now is taken for one of then.

use std::sync::Arc;

use anyhow::Context as _;
use jiff::Timestamp;
use memtrace_common::counter::Counter;

use super::{Kill, MAX_WAITING, Surroundings, Worker, inputs::Earlier};
use crate::{
    cgroup::{hierarchy::Hierarchy, memcg},
    daemon::kills::{
        follow_up::FollowUp,
        inherited::{Inherited, InheritedKill},
        known::Known,
    },
    ingest::loss::Loss,
    model::{AtKill, Latest},
    oom::{
        dump::Dump,
        owner::Baselines,
        record::{OomRecord, circumstances::Source},
    },
    probe::pins::OldSet,
    snapshot::{self, Snapshot},
};

/// How many kills are stored in one commit: what waits is in memory.
const AT_ONCE: usize = 256;
/// Members of a group may follow the stored record of its first victim within this time, in ns.
const GROUP: u64 = 2_000_000_000;

impl Earlier {
    /// Notes in the record what nobody knows. Returns the kernel's report.
    pub(super) fn note(&self, record: &mut OomRecord) -> Option<Dump> {
        let unknown = "what the victim's memory was used for, and what ran beside it: no daemon ran, or it ended before \
                       it stored this kill";
        record.evidence.unknown.push(unknown.to_owned());
        self.report.clone()
    }
}

/// What the store tells: the kills that need not be recorded again, and those whose groups may get more victims.
pub(super) fn recall(surroundings: &mut Surroundings) -> anyhow::Result<(Known, FollowUp)> {
    let Surroundings { store, backfill, inherited, boot_id, .. } = surroundings;
    let (mut known, mut follow_up) = (Known::default(), FollowUp::default());
    let first = inherited.kills.first().map(|kill| kill.frozen.header.ktime);
    let store = store.store().context("the store is not open")?;
    store.each_kill_of_boot(boot_id, |record| {
        // Without backfill nobody replaces a record from the kernel log.
        if backfill.is_none() || record.circumstances.source == Source::Live {
            known.know(record);
        }
        if first.is_some_and(|first| record.ktime_ns.saturating_add(GROUP) >= first) {
            follow_up.add(record, None);
        }
        if let Some(backfill) = backfill {
            backfill.know(record);
        }
    })?;
    Ok((known, follow_up))
}

/// The counters of the existing groups, for kills from now on.
pub(super) fn baselines(hierarchy: Option<&Hierarchy>) -> Baselines {
    let Some(hierarchy) = hierarchy else { return Baselines::default() };
    let groups = hierarchy.walk().into_iter();
    Baselines::of_existing(groups.map(|(id, path)| (id, memcg::oom_events(hierarchy, &path))))
}

impl Worker {
    /// Records the kills that earlier daemons left.
    pub(super) fn inherit(&mut self) {
        let not_fitting = self.surroundings.inherited.not_fitting;
        let losses = Loss::of_kernel(Counter::KillsFull, not_fitting);
        let Inherited { kills, sets, .. } = &mut self.surroundings.inherited;
        // No set is removed before the kills of all are stored.
        let (kills, sets) = (std::mem::take(kills), std::mem::take(sets));
        let hierarchy = self.surroundings.hierarchy.as_ref().filter(|_| !kills.is_empty());
        let paths = Arc::new(hierarchy.map(Hierarchy::walk).unwrap_or_default());
        for (index, kill) in kills.into_iter().enumerate() {
            self.surroundings.beat.beat();
            if index % AT_ONCE == AT_ONCE - 1 {
                // In this order: a stored record whose group got more victims is not displaced before it is written.
                self.follow_up();
                self.store_waiting();
            }
            let InheritedKill { frozen, hook, watches_signals } = kill;
            let backfill = self.surroundings.backfill.as_ref();
            let report = backfill.and_then(|backfill| backfill.report(&frozen));
            let at = frozen.header.ktime;
            self.take(&Kill {
                losses: losses.clone().into_iter().collect(),
                at_kill: AtKill { victim: None, copies: Vec::new(), ancestors: Vec::new() },
                snapshot: Latest { snapshot: Arc::new(nothing()), at },
                earlier: Some(Earlier { hook, watches_signals, report, paths: Arc::clone(&paths) }),
                frozen,
            });
        }
        self.surroundings.inherited.sets = sets;
        self.store_waiting();
        self.follow_up();
        if let Some(backfill) = &self.surroundings.backfill {
            backfill.tell_unrecorded();
        }
    }

    /// All that was taken is stored, except for further victims.
    pub(super) fn let_go(&mut self) {
        if !self.replaced.is_empty() {
            return;
        }
        self.surroundings.releaser.release(self.taken.drain(..));
        self.remove_old();
    }

    /// The further victims are stored.
    pub(super) fn let_members_go(&mut self) {
        self.surroundings.releaser.release(self.merged.drain(..));
        self.remove_old();
    }

    /// Removes the rings of earlier daemons, once all of their kills are stored. If some were given up, the next daemon
    /// stores them.
    fn remove_old(&mut self) {
        if self.waiting.is_empty() && self.merged.is_empty() && self.replaced.is_empty() && self.given_up == 0
        {
            self.surroundings.inherited.sets.drain(..).for_each(OldSet::remove);
        }
    }

    /// While nothing can be stored, only the newest are remembered: the ring holds no more.
    pub(super) fn bound_taken(&mut self) {
        for keys in [&mut self.taken, &mut self.merged] {
            keys.drain(..keys.len().saturating_sub(MAX_WAITING));
        }
    }
}

/// A snapshot of a time when nobody looked.
fn nothing() -> Snapshot {
    Snapshot {
        schema: snapshot::SCHEMA,
        time: Timestamp::UNIX_EPOCH,
        tracer: None,
        processes: Vec::new(),
        containers: Vec::new(),
        node: snapshot::Node::default(),
    }
}
