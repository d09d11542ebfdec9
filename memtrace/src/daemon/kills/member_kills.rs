//! Kills that nobody else reports: a member of a container dies and its first process lives, so the runtime sees no
//! exit and the kubelet no restart.
//!
//! Input: kills, and the processes of their cgroup. Output: whether its first process lives on, for each kill; for
//! containers entries in the store, and their count, which survives restarts. A kill is judged `AFTER` it was recorded: a
//! container that dies with its member is gone by then.

use std::{
    collections::VecDeque,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use crate::{
    cgroup::hierarchy::Hierarchy,
    container::{
        name::Name,
        names::{Names, key},
        path,
    },
    mm::procfs::Procfs,
    oom::record::OomRecord,
    store::{MemberKill, Store, StoreError},
};

/// Delay before a kill is judged. A group that is killed as a whole is gone by then.
const AFTER: Duration = Duration::from_secs(2);
/// The most kills that wait to be judged.
const MOST: usize = 10_000;
/// The most cgroups below a container's that are searched.
const MOST_BELOW: usize = 256;

#[derive(Debug)]
pub struct MemberKills {
    procfs: Procfs,
    hierarchy: Option<Hierarchy>,
    names: Names,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    due: Instant,
    first: First,
    /// The id of the record.
    record: String,
    /// The entry, if it is a member of a container that was killed.
    kill: Option<MemberKill>,
}

/// The first process of a container, identified by pid and start time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct First {
    pid: u32,
    start: u64,
}

impl MemberKills {
    /// Loads the state from the store.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(
        procfs: Procfs,
        hierarchy: Option<Hierarchy>,
        names: Names,
        store: &Store,
    ) -> Result<Self, StoreError> {
        for (container, count) in store.member_kills()? {
            names.lock().set_member_kills(container, count);
        }
        Ok(Self { procfs, hierarchy, names, waiting: VecDeque::new() })
    }

    /// Notes a recorded kill, with the current first process of its container, or of its cgroup.
    pub fn note(&mut self, record: &OomRecord, path: Option<&[u8]>) {
        // The root has no first process that would tell anything, and all others are below it.
        let path = path.filter(|path| *path != b"/");
        let (Some(path), Some(hierarchy)) = (path, self.hierarchy.as_ref()) else { return };
        let Some(directory) = hierarchy.directory(whole(path)) else { return };
        let Some(first) = first(&self.procfs, &directory) else { return };
        // The cgroup of a unit is used again, and the kill may be from before the daemon started.
        let tick = 1_000_000_000 / rustix::param::clock_ticks_per_second().max(1);
        if first.start.saturating_mul(tick) > record.ktime_ns || self.waiting.len() >= MOST {
            return;
        }
        let victim = &record.victim.task;
        let is_member = victim.pid.is_some_and(|pid| pid != first.pid);
        let name = record.circumstances.container.as_ref().filter(|_| is_member);
        let kill = name.and_then(|name| {
            Some(MemberKill {
                container: key(name)?,
                record: record.id.clone(),
                time: record.time,
                comm: victim.process_comm.as_ref().unwrap_or(&victim.comm).clone(),
                name: name.clone(),
            })
        });
        let due = Instant::now() + AFTER;
        self.waiting.push_back(Waiting { due, first, record: record.id.clone(), kill });
    }

    /// Stores the entries that are due. Calls `found` with the id of each kill that is judged, and whether the first
    /// process lives.
    ///
    /// # Errors
    /// When the store failed; the next call tries again.
    pub fn settle(&mut self, store: &mut Store, mut found: impl FnMut(&str, bool)) -> Result<(), StoreError> {
        while let Some(Waiting { first, record, kill, .. }) =
            self.waiting.front().filter(|waiting| waiting.due <= Instant::now())
        {
            let lives = is_alive(&self.procfs, *first);
            if let Some(kill) = kill.as_ref().filter(|_| lives) {
                let count = store.insert_member_kill(kill)?;
                tracing::info!(container = %kill.name.label().unwrap_or_default(), victim = %kill.comm, count,
                    "a process of a container was OOM-killed; the container keeps running");
                self.names.lock().set_member_kills(kill.container.clone(), count);
            }
            found(record, lives);
            self.waiting.pop_front();
        }
        Ok(())
    }

    /// Whether a kill waits to be judged.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }
}

/// The container's own cgroup; `path` may be a cgroup below it.
fn whole(path: &[u8]) -> &[u8] {
    let container = |path: &[u8]| {
        path::name(path).map(|Name { container_id, container, unit, .. }| (container_id, container, unit))
    };
    let own = container(path);
    let mut whole = path;
    while let Some(slash) = whole.iter().rposition(|byte| *byte == b'/').filter(|slash| *slash > 0)
        && let Some(above) = whole.get(..slash)
        && own.is_some()
        && container(above) == own
    {
        whole = above;
    }
    whole
}

/// The process that started first in a cgroup or below it.
fn first(procfs: &Procfs, directory: &Path) -> Option<First> {
    let mut open = vec![directory.to_path_buf()];
    let mut first: Option<First> = None;
    let mut seen = 0;
    while let Some(directory) = open.pop().filter(|_| seen < MOST_BELOW) {
        seen += 1;
        let members = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
        for pid in members.lines().filter_map(|line| line.parse().ok()) {
            let Ok(stat) = procfs.stat(pid) else { continue };
            if first.is_none_or(|first| (stat.start_ticks, pid) < (first.start, first.pid)) {
                first = Some(First { pid, start: stat.start_ticks });
            }
        }
        let below = fs::read_dir(&directory).into_iter().flatten().flatten();
        open.extend(
            below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()),
        );
    }
    first
}

fn is_alive(procfs: &Procfs, first: First) -> bool {
    procfs
        .stat(first.pid)
        .is_ok_and(|stat| stat.start_ticks == first.start && !matches!(stat.state, b'Z' | b'X'))
}

#[cfg(test)]
mod tests {
    use super::{First, Procfs, first, fs, is_alive, whole};

    #[test]
    fn a_path_below_a_container_leads_to_the_container() {
        let id = "a".repeat(64);
        let container = format!("/kubepods/pod7260904bbd08e72e4dff95d9fccd2ee8/{id}");
        assert_eq!(whole(format!("{container}/init/x").as_bytes()), container.as_bytes());
        assert_eq!(whole(container.as_bytes()), container.as_bytes());
        assert_eq!(whole(b"/system.slice/a.service/b"), b"/system.slice/a.service");
        assert_eq!(whole(b"/x/y"), b"/x/y");
    }

    #[test]
    fn the_first_process_is_the_oldest_and_lives_as_long_as_it_does() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let (own, later) = (std::process::id(), child.id());
        fs::create_dir(dir.path().join("below")).unwrap();
        fs::write(dir.path().join("cgroup.procs"), format!("{later}\n")).unwrap();
        fs::write(dir.path().join("below/cgroup.procs"), format!("{own}\n")).unwrap();
        let procfs = Procfs::new("/proc");
        let found = first(&procfs, dir.path()).unwrap();
        assert_eq!(found.pid, own);
        assert!(is_alive(&procfs, found));
        assert!(!is_alive(&procfs, First { start: found.start + 1, ..found }));
        fs::write(dir.path().join("below/cgroup.procs"), "").unwrap();
        let found = first(&procfs, dir.path()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!is_alive(&procfs, found));
    }
}
