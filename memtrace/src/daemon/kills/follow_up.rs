//! Facts about a kill that arrive after it is on disk: more victims of its group, the victim's exit, mounts.
//!
//! Input: stored records, exits of processes, mounts. Output: the same records with more facts, to be written again, and
//! the records of exits. Runs after the commit, so it never delays the next kill.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{
    mounts::{Found, Mounts, Wanted},
    stack_names::{self, StackNames},
};
use crate::{
    clock,
    model::{Latest, exits::Ended},
    oom::{
        cause::{Cause, CauseKind, cause},
        exit::{self, EndFacts, ExitRecord, SentSignal, judge},
        group::is_member,
        record::{OomRecord, TaskFacts, circumstances::Outcome},
        recorder::{id, task_facts},
    },
    store::{Store, StoreError},
    units::Bytes,
};

/// The most records that may still get more facts, and their size.
const MOST: usize = 512;
const MOST_BYTES: usize = 8 << 20;
/// How long they may, in ns.
const KEPT: u64 = 60_000_000_000;
/// The least time between two reads of mounts: hundreds of kills must not cause as many reads of /proc.
const MOUNTS_EVERY: Duration = Duration::from_millis(500);

struct Recent {
    record: OomRecord,
    is_changed: bool,
    /// Whether it is of a kill from before this daemon: no fact of now is taken for one of then.
    is_earlier: bool,
    /// With the victim's ancestors.
    mounts: Wish<Vec<u32>>,
    names: Wish<()>,
}

/// A fact about a kill that another thread reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish<T> {
    /// To be read; with what the record does not hold.
    Needed(T),
    /// Being read.
    Asked,
    /// Read, or not needed.
    Done,
}

#[derive(Default)]
pub struct FollowUp {
    recent: VecDeque<Recent>,
    mounts_asked: Option<Instant>,
}

impl FollowUp {
    /// Remembers a stored record, with the victim's ancestors. There are none for a kill from before this daemon: other
    /// processes may have the ids now, so neither mounts nor names are read.
    pub fn add(&mut self, record: &OomRecord, ancestors: Option<Vec<u32>>) {
        let is_of_files = |cause: &Cause| cause.kind == CauseKind::FileOrTmpfs;
        let is_of_files = record.circumstances.cause.as_ref().is_some_and(is_of_files);
        self.recent.push_back(Recent {
            record: record.clone(),
            is_changed: false,
            is_earlier: ancestors.is_none(),
            names: if ancestors.is_some() { Wish::Needed(()) } else { Wish::Done },
            mounts: ancestors.filter(|_| is_of_files).map_or(Wish::Done, Wish::Needed),
        });
        let oldest = record.ktime_ns.saturating_sub(KEPT);
        let size = |recent: &Recent| recent.record.footprint();
        while self.recent.len() > MOST
            || (self.recent.len() > 1 && self.recent.iter().map(size).sum::<usize>() > MOST_BYTES)
            || self.recent.front().is_some_and(|first| first.record.ktime_ns < oldest)
        {
            self.recent.pop_front();
        }
    }

    /// Adds another victim to the existing record of its group; false when there is none.
    pub fn merge(&mut self, next: &OomRecord) -> bool {
        let Some(first) = self.recent.iter_mut().rev().find(|recent| is_member(&recent.record, next)) else {
            return false;
        };
        first.record.circumstances.more_victims.push(next.victim.clone());
        first.is_changed = true;
        true
    }

    /// Makes the record of an exit. If a kill caused it, the kill's record gets the outcome.
    pub fn ended(&mut self, ended: &Ended, latest: &Latest, boot_id: &str) -> ExitRecord {
        let now = (Timestamp::now(), clock::ktime());
        let at = ended.exit.header.ktime;
        let time = clock::at(now.0, now.1, at);
        let before = |ktime: u64| at.saturating_sub(ktime) as f64 / 1e9;
        let path_of = |id: u64| {
            let rows = latest.snapshot.containers.iter();
            rows.into_iter().find(|row| row.cgroup_id == Some(id)).map(|row| row.cgroup.clone())
        };
        let mut task = task_facts(&ended.exit.task, now, &path_of);
        task.cgroup = ended.cgroup.clone().or(task.cgroup);
        let status = ended.exit.exit_code;
        let is_it = |victim: &TaskFacts| victim.is_process(&task);
        let kill = self.recent.iter_mut().rev().find(|recent| {
            let more = recent.record.circumstances.more_victims.iter();
            is_it(&recent.record.victim.task) || more.into_iter().any(|victim| is_it(&victim.task))
        });
        let oom_record = kill.as_ref().map(|kill| kill.record.id.clone());
        if let Some(kill) = kill.filter(|kill| is_it(&kill.record.victim.task)) {
            kill.record.circumstances.outcome = Some(Outcome {
                ended: Some(time),
                signal: exit::signal(status),
                exit_code: exit::exit_code(status),
                ..Outcome::default()
            });
            kill.is_changed = true;
        }
        let sent = |signal: &memtrace_common::event::kill::Signal| SentSignal {
            signal: signal.signal,
            sender: task_facts(&signal.sender, now, &path_of),
            from_kernel: signal.from_kernel == 1,
            seconds_before: before(signal.header.ktime),
        };
        let facts = EndFacts {
            task,
            status,
            signals: ended.signals.iter().map(sent).collect(),
            refused: ended.refused.map(|(bytes, ktime)| (Bytes(bytes), before(ktime))),
            oom_record,
        };
        let found = judge(&facts);
        let row =
            latest.snapshot.containers.iter().find(|row| facts.task.cgroup.as_ref() == Some(&row.cgroup));
        let page = rustix::param::page_size() as u64;
        let peak = ended.exit.max_rss;
        ExitRecord {
            schema: exit::SCHEMA,
            id: id(time, ended.exit.task.tgid, boot_id),
            time,
            boot_id: boot_id.to_owned(),
            container: row.and_then(|row| row.name.as_deref().cloned()),
            is_main: ended.is_main,
            kind: found.kind,
            sentence: found.sentence,
            exit_code: exit::exit_code(status),
            signal: exit::signal(status),
            sender: found.sender,
            oom_record: facts.oom_record,
            peak_rss_bytes: (peak != memtrace_common::UNKNOWN).then(|| Bytes(peak.saturating_mul(page))),
            evidence: found.evidence,
            runtime: None,
            disagreement: None,
            task: facts.task,
        }
    }

    /// Requests the mounts of the kills that need it, takes those that were read, and judges their kills again.
    pub fn look_at_mounts(&mut self, mounts: &Mounts) {
        for found in mounts.found() {
            self.take(found);
        }
        if self.mounts_asked.is_some_and(|asked| asked.elapsed() < MOUNTS_EVERY) {
            return;
        }
        for recent in self.recent.iter_mut().rev() {
            let Wish::Needed(ancestors) = &recent.mounts else { continue };
            if mounts.ask(Wanted::of(&recent.record, ancestors)) {
                recent.mounts = Wish::Asked;
            }
            self.mounts_asked = Some(Instant::now());
            return;
        }
    }

    /// Takes whether the first process of a victim's cgroup lives on.
    pub fn lives_on(&mut self, id: &str, lives: bool) {
        let recent = self.recent.iter_mut().find(|recent| recent.record.id == id);
        if let Some(recent) = recent.filter(|recent| !recent.is_earlier) {
            recent.record.circumstances.lives_on = Some(lives);
            recent.is_changed = true;
        }
    }

    /// Requests the names that a stored record still lacks, and takes those that were found.
    pub fn look_at_names(&mut self, names: &StackNames) {
        for stack_names::Found { id, stacks } in names.found() {
            let Some(recent) = self.recent.iter_mut().find(|recent| recent.record.id == id) else { continue };
            recent.names = Wish::Done;
            let record = &mut recent.record;
            let Some(memory) = record.circumstances.victim_memory.as_mut() else { continue };
            if memory.growth_stacks != stacks {
                memory.growth_stacks = stacks;
                // Its evidence names the function that grows.
                record.circumstances.cause = Some(cause(record));
                recent.is_changed = true;
            }
        }
        for recent in self.recent.iter_mut().rev().filter(|recent| recent.names == Wish::Needed(())) {
            match stack_names::Wanted::of(&recent.record) {
                None => recent.names = Wish::Done,
                Some(wanted) => {
                    if !names.ask(wanted) {
                        return;
                    }
                    recent.names = Wish::Asked;
                }
            }
        }
    }

    fn take(&mut self, Found { id, mounts }: Found) {
        let Some(recent) = self.recent.iter_mut().find(|recent| recent.record.id == id) else { return };
        recent.mounts = Wish::Done;
        let record = &mut recent.record;
        let Some(composition) = record.circumstances.composition.as_mut() else { return };
        match mounts {
            Ok(tmpfs) if tmpfs.is_empty() => return,
            Ok(tmpfs) => composition.tmpfs = tmpfs,
            Err(why) => composition.tmpfs_not_read = Some(why.to_string()),
        }
        record.circumstances.cause = Some(cause(record));
        recent.is_changed = true;
    }

    /// Whether a kill waits for its mounts or names to be read, or for its new facts to be written.
    pub fn is_waiting(&self) -> bool {
        let waits = |recent: &Recent| {
            !matches!(recent.mounts, Wish::Done) || recent.names != Wish::Done || recent.is_changed
        };
        self.recent.iter().any(waits)
    }

    /// The records, oldest first.
    pub fn records(&self) -> impl Iterator<Item = &OomRecord> {
        self.recent.iter().map(|recent| &recent.record)
    }

    /// Whether a record got more facts.
    pub fn is_changed(&self) -> bool {
        self.recent.iter().any(|recent| recent.is_changed)
    }

    /// Writes the records that got more facts.
    ///
    /// # Errors
    /// When the write failed; the next call tries again.
    pub fn write(&mut self, store: &mut Store) -> Result<(), StoreError> {
        if !self.is_changed() {
            return Ok(());
        }
        store.update_kills(
            self.recent.iter().filter(|recent| recent.is_changed).map(|recent| &recent.record),
        )?;
        self.recent.iter_mut().for_each(|recent| recent.is_changed = false);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{FollowUp, Wish};
    use crate::oom::cause::fixture;

    #[test]
    fn a_kill_from_before_this_daemon_gets_no_fact_of_now() {
        let record = fixture::record(10);
        let mut follow_up = FollowUp::default();
        follow_up.add(&record, None);
        follow_up.lives_on(&record.id, true);
        assert!(!follow_up.is_waiting(), "for mounts, names, or to be written");

        let mut follow_up = FollowUp::default();
        follow_up.add(&record, Some(Vec::new()));
        assert_eq!(follow_up.recent[0].names, Wish::Needed(()));
        follow_up.lives_on(&record.id, true);
        assert_eq!(follow_up.recent[0].record.circumstances.lives_on, Some(true));
        assert!(follow_up.recent[0].is_changed);
    }
}
