//! Facts about a kill that arrive after it is on disk: more victims of its group, the victim's exit, mounts.
//!
//! Input: stored records, exits of processes, /proc. Output: the same records with more facts, to be written again, and
//! the records of exits. Runs after the commit, so it never delays the next kill.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use crate::{
    cgroup::hierarchy::is_within,
    clock,
    model::{Latest, exits::Ended},
    oom::{
        cause::{Cause, CauseKind, cause},
        exit::{self, EndFacts, ExitRecord, SentSignal, judge},
        group::is_member,
        record::{OomRecord, TaskFacts, circumstances::Outcome},
        recorder::{id, task_facts},
    },
    reader::{
        NotRead, Reader,
        tmpfs::{self, KnownMounts, Tmpfs},
    },
    store::{Store, StoreError},
    units::Bytes,
};

/// The most records that may still get more facts.
const MOST: usize = 512;
/// How long they may, in ns.
const KEPT: u64 = 60_000_000_000;
/// The least time between two reads of mounts: hundreds of kills must not cause as many reads of /proc.
const MOUNTS_EVERY: Duration = Duration::from_millis(500);
/// The most processes whose mounts are tried until one can be read.
const ASKED: usize = 8;

struct Recent {
    record: OomRecord,
    is_changed: bool,
    /// The victim's ancestors, if its mounts are still to be read.
    needs_mounts: Option<Vec<u32>>,
}

#[derive(Default)]
pub struct FollowUp {
    recent: VecDeque<Recent>,
    mounts_read: Option<Instant>,
}

impl FollowUp {
    /// Remembers a record that has just been stored.
    pub fn add(&mut self, record: &OomRecord, ancestors: Vec<u32>) {
        let is_of_files = |cause: &Cause| cause.kind == CauseKind::FileOrTmpfs;
        let is_of_files = record.circumstances.cause.as_ref().is_some_and(is_of_files);
        self.recent.push_back(Recent {
            record: record.clone(),
            is_changed: false,
            needs_mounts: is_of_files.then_some(ancestors),
        });
        let oldest = record.ktime_ns.saturating_sub(KEPT);
        while self.recent.len() > MOST
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

    /// Reads the mounts of the kills that need it, if any, and judges those kills again.
    pub fn look_at_mounts(&mut self, reader: &mut dyn Reader, known: &KnownMounts) {
        let is_due = self.mounts_read.is_none_or(|read| read.elapsed() >= MOUNTS_EVERY);
        let Some((recent, ancestors)) = self
            .recent
            .iter_mut()
            .rev()
            .filter(|_| is_due)
            .find_map(|recent| recent.needs_mounts.take().map(|ancestors| (recent, ancestors)))
        else {
            return;
        };
        self.mounts_read = Some(Instant::now());
        let found = mounts(reader, &recent.record, &ancestors, known);
        let record = &mut recent.record;
        let Some(composition) = record.circumstances.composition.as_mut() else { return };
        match found {
            Ok(tmpfs) if tmpfs.is_empty() => return,
            Ok(tmpfs) => composition.tmpfs = tmpfs,
            Err(why) => composition.tmpfs_not_read = Some(why.to_string()),
        }
        record.circumstances.cause = Some(cause(record));
        recent.is_changed = true;
    }

    /// Whether a kill waits for its mounts to be read.
    pub fn is_waiting(&self) -> bool {
        self.recent.iter().any(|recent| recent.needs_mounts.is_some() || recent.is_changed)
    }

    /// Writes the records that got more facts.
    ///
    /// # Errors
    /// When the write failed; the next call tries again.
    pub fn write(&mut self, store: &mut Store) -> Result<(), StoreError> {
        if !self.recent.iter().any(|recent| recent.is_changed) {
            return Ok(());
        }
        store.update_kills(
            self.recent.iter().filter(|recent| recent.is_changed).map(|recent| &recent.record),
        )?;
        self.recent.iter_mut().for_each(|recent| recent.is_changed = false);
        Ok(())
    }
}

/// The tmpfs mounts whose pages are charged to the owner of the limit.
fn mounts(
    reader: &mut dyn Reader,
    record: &OomRecord,
    ancestors: &[u32],
    known: &KnownMounts,
) -> Result<Vec<Tmpfs>, NotRead> {
    let owner = record.limit_owner.as_ref().and_then(|owner| owner.path.as_deref()).unwrap_or("/");
    let composition = record.circumstances.composition.as_ref();
    let shmem = composition.and_then(|composition| composition.charge.shmem_bytes).unwrap_or_default();
    let survivors = record.circumstances.processes.iter().filter(|process| !process.is_victim);
    let survivors = survivors
        .filter(|process| process.task.cgroup.as_deref().is_none_or(|cgroup| is_within(cgroup, owner)))
        .filter_map(|process| process.task.pid);
    // The victim is often still readable: its memory is freed before its namespaces.
    let inside = record.victim.task.pid.into_iter().chain(survivors).take(ASKED);
    let (seen, why) = ask(reader, inside);
    if let Some(seen) = seen.or_else(|| known.of(owner)) {
        return Ok(tmpfs::likely(seen, shmem));
    }
    if let Some(why) = why {
        return Err(why);
    }
    // Processes outside see the mounts of others too: accept only a mount of the pod, or one that holds as much as is
    // charged.
    let pod = record.circumstances.container.as_ref().and_then(|name| name.pod_uid.as_deref());
    let is_its = |mount: &Tmpfs| match pod {
        Some(uid) => mount.mount.contains(uid),
        None => (shmem.0 / 2..=shmem.0 + shmem.0 / 8).contains(&mount.used_bytes.0),
    };
    let outside = ancestors.iter().copied().chain(record.trigger.task.pid).chain([1, std::process::id()]);
    let seen = outside.into_iter().filter_map(|pid| reader.mounts(pid).ok());
    let its = seen.map(|seen| tmpfs::likely(seen.into_iter().filter(is_its).collect(), shmem));
    Ok(its.into_iter().find(|its| !its.is_empty()).unwrap_or_default())
}

/// The mounts of the first process that can be read. When a reader fails, the reason: the other processes are in the same
/// mount namespace.
fn ask(reader: &mut dyn Reader, pids: impl Iterator<Item = u32>) -> (Option<Vec<Tmpfs>>, Option<NotRead>) {
    for pid in pids {
        match reader.mounts(pid) {
            Ok(seen) => return (Some(seen), None),
            Err(NotRead::Gone) => {}
            Err(why) => return (None, Some(why)),
        }
    }
    (None, None)
}
