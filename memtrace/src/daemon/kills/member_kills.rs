//! Kills that nobody else reports: a member of a container dies and its first process lives, so the runtime sees no
//! exit and the kubelet no restart.
//!
//! Input: kills, and the processes of their cgroup. Output: whether its first process lives on, for each kill; for
//! containers entries in the store, and their count, which survives restarts. A kill is judged `AFTER` it was recorded: a
//! container that dies with its member is gone by then. Must not read /proc for a kill that is not stored yet, nor without
//! a bound: a container chooses how many processes it has.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::Read as _,
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
    oom::record::{OomRecord, TaskFacts, circumstances::Source},
    store::{MemberKill, Store, StoreError},
    text::unescape,
};

/// Delay before a kill is judged. A group that is killed as a whole is gone by then.
const AFTER: Duration = Duration::from_secs(2);
/// The most kills that wait to be judged.
const MOST: usize = 10_000;
/// The most cgroups below a container's that are searched.
const MOST_BELOW: usize = 256;
/// The most processes that are looked at, and the most of one cgroup. The kernel lists them in the order in which they
/// joined it (v1: of their ids), so the first process is among the first.
const MOST_LOOKS: usize = 1024;
const MOST_OF_ONE: usize = 64;
/// The most bytes of a list of processes that are read: those of so many.
const MOST_LIST: u64 = 11 * MOST_OF_ONE as u64;

#[derive(Debug)]
pub struct MemberKills {
    procfs: Procfs,
    hierarchy: Option<Hierarchy>,
    names: Names,
    waiting: VecDeque<Waiting>,
    /// The container that was last searched. In a storm the kills are often of one.
    searched: Option<(Vec<u8>, First)>,
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

/// The first process of a container, identified by start time, in clock ticks since boot, and pid. The least is the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct First {
    start: u64,
    pid: u32,
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
        Ok(Self { procfs, hierarchy, names, waiting: VecDeque::new(), searched: None })
    }

    /// Notes a stored kill that the tracer saw, with the first process of its container, or of its cgroup.
    pub fn note(&mut self, record: &OomRecord) {
        if record.circumstances.source != Source::Live || self.waiting.len() >= MOST {
            return;
        }
        let path = record.victim.task.cgroup.as_deref().map(unescape);
        // The root has no first process that would tell anything, and all others are below it.
        let (Some(path), Some(hierarchy)) = (path.filter(|path| path != b"/"), &self.hierarchy) else {
            return;
        };
        let path = whole(&path);
        let Some(directory) = hierarchy.directory(path) else { return };
        let tick = 1_000_000_000 / rustix::param::clock_ticks_per_second().max(1);
        // The victim may be gone by now, and all others with it: then it was the first itself.
        let found =
            self.first(path, &directory).into_iter().chain(started(&record.victim.task, record, tick)).min();
        let Some(first) = found else { return };
        // The cgroup of a unit is used again, and the kill may be from before the daemon started.
        if first.start.saturating_mul(tick) > record.ktime_ns {
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

    /// The first process of the cgroup with this path.
    fn first(&mut self, path: &[u8], directory: &Path) -> Option<First> {
        let known = self.searched.as_ref().filter(|(of, first)| of == path && is_alive(&self.procfs, *first));
        if let Some((_, first)) = known {
            return Some(*first);
        }
        let first = first(&self.procfs, directory)?;
        self.searched = Some((path.to_vec(), first));
        Some(first)
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

/// A task of a record as a process of /proc.
fn started(task: &TaskFacts, record: &OomRecord, tick: u64) -> Option<First> {
    // Both times were made from times since boot, by the same clocks.
    let before = u64::try_from(record.time.duration_since(task.started?).as_nanos()).ok()?;
    Some(First { start: record.ktime_ns.checked_sub(before)? / tick, pid: task.pid? })
}

/// The process that started first in a cgroup or below it, of those that are looked at.
fn first(procfs: &Procfs, directory: &Path) -> Option<First> {
    let mut open = vec![directory.to_path_buf()];
    let mut first: Option<First> = None;
    let (mut seen, mut looks) = (0, 0);
    while let Some(directory) = open.pop().filter(|_| seen < MOST_BELOW && looks < MOST_LOOKS) {
        seen += 1;
        for pid in members(&directory) {
            looks += 1;
            let Ok(stat) = procfs.stat(pid) else { continue };
            let found = First { start: stat.start_ticks, pid };
            first = Some(first.map_or(found, |first| first.min(found)));
        }
        let below = fs::read_dir(&directory).into_iter().flatten().flatten();
        open.extend(
            below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()),
        );
    }
    first
}

/// The first members of a cgroup.
fn members(directory: &Path) -> Vec<u32> {
    let mut list = String::new();
    let read = File::open(directory.join("cgroup.procs"))
        .and_then(|file| file.take(MOST_LIST).read_to_string(&mut list));
    // The last line may be cut.
    let whole = list.rfind('\n').filter(|_| read.is_ok()).and_then(|end| list.get(..end)).unwrap_or_default();
    whole.lines().filter_map(|line| line.parse().ok()).take(MOST_OF_ONE).collect()
}

fn is_alive(procfs: &Procfs, first: First) -> bool {
    procfs
        .stat(first.pid)
        .is_ok_and(|stat| stat.start_ticks == first.start && !matches!(stat.state, b'Z' | b'X'))
}

#[cfg(test)]
mod tests {
    use super::{First, MOST_OF_ONE, Procfs, first, fs, is_alive, members, started, whole};
    use crate::oom::cause::fixture;

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

    #[test]
    fn however_many_processes_there_are_only_the_first_are_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let list = |pids: std::ops::Range<u32>| pids.map(|pid| format!("{pid}\n")).collect::<String>();
        fs::write(dir.path().join("cgroup.procs"), list(1..20_000)).unwrap();
        assert_eq!(members(dir.path()), (1..=MOST_OF_ONE as u32).collect::<Vec<_>>());
        let longest = 4_000_000_000_u32..4_000_020_000;
        fs::write(dir.path().join("cgroup.procs"), list(longest.clone())).unwrap();
        assert_eq!(members(dir.path()), longest.take(MOST_OF_ONE).collect::<Vec<_>>(), "no part of a number");
        assert!(members(&dir.path().join("none")).is_empty());
    }

    /// So that a victim that is gone before anybody looks is known to have been the first.
    #[test]
    fn the_victim_of_a_record_is_known_by_its_start() {
        let mut record = fixture::record(10);
        let (tick, task) = (10_000_000, &mut record.victim.task);
        (record.ktime_ns, task.pid) = (70_000_000_123, Some(7));
        task.started = Some(record.time - std::time::Duration::from_millis(9_990));
        let victim = started(&record.victim.task, &record, tick);
        assert_eq!(victim, Some(First { start: 6001, pid: 7 }));
        assert!(victim.unwrap() < First { start: 6001, pid: 8 });
        record.victim.task.started = None;
        assert_eq!(started(&record.victim.task, &record, tick), None);
    }
}
