//! Reads the mounts of kills by files in memory, in a thread of its own: a mount may never answer, and kills elsewhere must
//! be recorded meanwhile.
//!
//! [`Wanted`] -> [`Found`], by channels. Must not read by itself: [`Reader`] does.

use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};

use anyhow::Context as _;

use crate::{
    cgroup::hierarchy::is_within,
    health::Beat,
    oom::record::OomRecord,
    reader::{
        NotRead, Reader,
        tmpfs::{self, KnownMounts, Tmpfs},
    },
    units::Bytes,
};

/// The most kills that wait for their mounts.
const MOST: usize = 64;
/// How many processes are asked for their mounts until one answers.
const ASKED: usize = 8;

/// A kill whose mounts are wanted.
pub struct Wanted {
    /// The id of its record.
    id: String,
    /// Path of the owner of the limit.
    owner: String,
    /// Shared memory that the owner was charged.
    shmem: Bytes,
    /// The victim, and other processes under the limit.
    inside: Vec<u32>,
    /// Processes in other mount namespaces, which may see the mounts too.
    outside: Vec<u32>,
    /// The pod of the victim.
    pod: Option<String>,
    /// When they were there: that of the kill, in ns since boot.
    at: u64,
}

impl Wanted {
    /// For this record, whose victim had these ancestors.
    pub fn of(record: &OomRecord, ancestors: &[u32]) -> Self {
        let owner = record.limit_owner.as_ref().and_then(|owner| owner.path.as_deref()).unwrap_or("/");
        let composition = record.circumstances.composition.as_ref();
        let survivors = record.circumstances.processes.iter().filter(|process| !process.is_victim);
        let survivors = survivors
            .filter(|process| process.task.cgroup.as_deref().is_none_or(|cgroup| is_within(cgroup, owner)))
            .filter_map(|process| process.task.pid);
        // The victim is often still readable: its memory is freed before its namespaces.
        let inside = record.victim.task.pid.into_iter().chain(survivors).take(ASKED).collect();
        let outside = ancestors.iter().copied().chain(record.trigger.task.pid);
        Self {
            id: record.id.clone(),
            owner: owner.to_owned(),
            shmem: composition.and_then(|composition| composition.charge.shmem_bytes).unwrap_or_default(),
            inside,
            outside: outside.chain([1, std::process::id()]).collect(),
            pod: record.circumstances.container.as_ref().and_then(|name| name.pod_uid.clone()),
            at: record.ktime_ns,
        }
    }
}

/// The result for one kill.
pub struct Found {
    /// The id of its record.
    pub id: String,
    /// The mounts whose pages are charged to the owner of the limit.
    pub mounts: Result<Vec<Tmpfs>, NotRead>,
}

/// The running thread. It ends when this is dropped, and nothing waits for it.
pub struct Mounts {
    wanted: SyncSender<Wanted>,
    found: Receiver<Found>,
}

impl Mounts {
    /// Starts the thread.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(mut reader: impl Reader + 'static, known: KnownMounts, beat: Beat) -> anyhow::Result<Self> {
        let (wanted, asked) = sync_channel::<Wanted>(MOST);
        let (answers, found) = channel();
        std::thread::Builder::new()
            .name("kill-mounts".to_owned())
            .spawn(move || {
                while let Ok(wanted) = beat.wait(|| asked.recv()) {
                    let mounts = look(&mut reader, &wanted, &known);
                    if answers.send(Found { id: wanted.id, mounts }).is_err() {
                        return;
                    }
                }
            })
            .context("failed to start the kill-mounts thread")?;
        Ok(Self { wanted, found })
    }

    /// Requests the mounts of a kill; false when too many wait.
    pub fn ask(&self, wanted: Wanted) -> bool {
        self.wanted.try_send(wanted).is_ok()
    }

    /// The results since the last call.
    pub fn found(&self) -> impl Iterator<Item = Found> {
        self.found.try_iter()
    }
}

fn look(reader: &mut dyn Reader, wanted: &Wanted, known: &KnownMounts) -> Result<Vec<Tmpfs>, NotRead> {
    let Wanted { owner, shmem, inside, outside, pod, at, .. } = wanted;
    let mut why = None;
    let mut seen = None;
    for pid in inside {
        if !reader.was_there(*pid, *at) {
            continue;
        }
        match reader.mounts(*pid) {
            Ok(mounts) => seen = Some(mounts),
            Err(NotRead::Gone) => continue,
            // The other processes are in the same mount namespace.
            Err(error) => why = Some(error),
        }
        break;
    }
    if let Some(seen) = seen.or_else(|| known.of(owner)) {
        return Ok(tmpfs::likely(seen, *shmem));
    }
    if let Some(why) = why {
        return Err(why);
    }
    // Processes outside see the mounts of others too: accept only a mount of the pod, or one that holds as much as is
    // charged.
    let is_its = |mount: &Tmpfs| match pod {
        Some(uid) => mount.mount.contains(uid),
        None => (shmem.0 / 2..=shmem.0 + shmem.0 / 8).contains(&mount.used_bytes.0),
    };
    let were_there = outside.iter().filter(|pid| reader.was_there(**pid, *at)).copied().collect::<Vec<_>>();
    let seen = were_there.into_iter().filter_map(|pid| reader.mounts(pid).ok());
    let mut its = seen.map(|seen| tmpfs::likely(seen.into_iter().filter(is_its).collect(), *shmem));
    Ok(its.find(|its| !its.is_empty()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::{
        model::{
            scan::Scan,
            walk::{self, Unwound},
        },
        reader::job::Job,
        symbols::Place,
    };

    /// Knows the mounts of some processes, and hangs on pid 666. Another process has pid 70 now.
    struct Fake(HashMap<u32, Vec<Tmpfs>>);

    impl Reader for Fake {
        fn scan(&mut self, job: Job) -> Result<Scan, Box<Job>> {
            Err(Box::new(job))
        }

        fn walk(&mut self, jobs: Vec<walk::Job>) -> Vec<Unwound> {
            jobs.into_iter().map(|job| Unwound { key: job.key, walked: None }).collect()
        }

        fn mounts(&mut self, pid: u32) -> Result<Vec<Tmpfs>, NotRead> {
            if pid == 666 {
                return Err(NotRead::Quarantined);
            }
            self.0.get(&pid).cloned().ok_or(NotRead::Gone)
        }

        fn has_thread(&mut self, _: u32, _: &[&str]) -> Result<bool, NotRead> {
            Ok(false)
        }

        fn names(&mut self, places: Vec<Place>) -> Vec<Option<String>> {
            vec![None; places.len()]
        }

        fn was_there(&self, pid: u32, _: u64) -> bool {
            pid != 70
        }

        fn rest(&mut self) {}
    }

    fn tmpfs(mount: &str, mib: u64) -> Tmpfs {
        Tmpfs { mount: mount.to_owned(), used_bytes: Bytes(mib << 20) }
    }

    fn wanted(inside: &[u32], pod: Option<&str>) -> Wanted {
        Wanted {
            id: "id".to_owned(),
            owner: "/owner".to_owned(),
            shmem: Bytes(64 << 20),
            inside: inside.to_vec(),
            outside: vec![1],
            pod: pod.map(str::to_owned),
            at: 0,
        }
    }

    fn found(wanted: &Wanted, known: &KnownMounts) -> Result<Vec<String>, NotRead> {
        let host = vec![tmpfs("/dev/shm", 500), tmpfs("/pods/uid-7/cache", 20), tmpfs("/other", 60)];
        let mut reader = Fake(HashMap::from([
            (7, vec![tmpfs("/cache", 64)]),
            (70, vec![tmpfs("/strange", 64)]),
            (1, host),
        ]));
        let mounts = look(&mut reader, wanted, known)?;
        Ok(mounts.into_iter().map(|tmpfs| tmpfs.mount).collect())
    }

    #[test]
    fn processes_under_the_limit_are_asked_first() {
        let known = KnownMounts::default();
        assert_eq!(found(&wanted(&[5, 6, 70, 7], None), &known).unwrap(), ["/cache"]);
        known.put("/owner", vec![tmpfs("/earlier", 50)]);
        assert_eq!(found(&wanted(&[5, 6], None), &known).unwrap(), ["/earlier"]);
    }

    #[test]
    fn from_outside_only_a_mount_of_the_pod_or_of_that_size_is_taken() {
        let known = KnownMounts::default();
        assert_eq!(found(&wanted(&[5], None), &known).unwrap(), ["/other"]);
        assert_eq!(found(&wanted(&[5], Some("uid-7")), &known).unwrap(), ["/pods/uid-7/cache"]);
    }

    #[test]
    fn a_mount_that_hangs_is_the_reason_unless_they_were_known_before() {
        let known = KnownMounts::default();
        assert_eq!(found(&wanted(&[5, 666, 7], None), &known), Err(NotRead::Quarantined));
        known.put("/owner", vec![tmpfs("/earlier", 50)]);
        assert_eq!(found(&wanted(&[666], None), &known).unwrap(), ["/earlier"]);
    }
}
