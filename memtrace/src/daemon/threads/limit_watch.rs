//! Watches for groups near their limit, so that they are scanned before a kill.
//!
//! Input: snapshots, and two small files of the groups that own a limit: usage, and `memory.events` (v2), whose change
//! wakes it. Output: paths of groups to scan now, and requests for the mounts of those that are full of tmpfs pages. It
//! requests at most `A_SECOND` groups per second, never walks /proc, and waits for no reader, so neither a storm of kills
//! nor a mount that hangs delays it.

use std::{
    collections::HashMap,
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    os::fd::AsFd as _,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, SyncSender, channel},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::watch;

use crate::{
    cgroup::{
        hierarchy::{Hierarchy, is_within},
        memcg,
    },
    clock,
    daemon::threads::{
        LIMIT_WATCH, MOUNT_WATCH,
        mount_watch::{self, Wanted},
    },
    health::{Beat, Thread},
    reader::{Reader, tmpfs::KnownMounts},
    snapshot::Snapshot,
    text::unescape,
};

/// A group is watched above this part of its limit, because a burst may come in the next second.
const WATCHED_FROM: f64 = 0.2;
/// A group is scanned above this part of its limit.
const NEAR: f64 = 0.6;
/// The most groups that are watched; the fullest are chosen.
const WATCHED: usize = 32;
/// How often their usage is read.
const LOOK: Duration = Duration::from_millis(100);
/// A group is scanned again when 1/`PART` of the room that it had left is used up.
const PART: u64 = 4;
/// The least change in bytes that is worth a scan.
const LEAST: u64 = 1 << 20;
/// The least time between two scans of a group.
const AGAIN: Duration = Duration::from_millis(250);
/// Time until the next scan of a group that hits its limit and reclaims while its usage is constant.
const HIT: Duration = Duration::from_secs(2);
/// Mounts are read when shared memory exceeds 1/`OF_FILES` of the limit.
const OF_FILES: u64 = 4;
/// The most processes whose mounts are tried until one can be read.
const ASKED: usize = 4;
/// The most groups that are scanned in a second.
const A_SECOND: usize = 8;

/// Starts the thread, which ends with the sender of the snapshots.
///
/// # Errors
/// When it cannot be started.
pub fn start(
    hierarchy: Option<Hierarchy>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    mounts: KnownMounts,
    reader: impl Reader + 'static,
    beat: impl Fn(Thread) -> Beat,
) -> anyhow::Result<Receiver<String>> {
    let (sender, receiver) = channel();
    if let Some(hierarchy) = hierarchy {
        let wanted = mount_watch::start(reader, mounts, beat(MOUNT_WATCH))?;
        let beat = beat(LIMIT_WATCH);
        std::thread::Builder::new()
            .name("limit-watch".to_owned())
            .spawn(move || run(&hierarchy, snapshots, (&sender, &wanted), &beat))
            .context("failed to start the limit watch thread")?;
    }
    Ok(receiver)
}

fn run(
    hierarchy: &Hierarchy,
    mut snapshots: watch::Receiver<Arc<Snapshot>>,
    (armed, mounts): (&Sender<String>, &SyncSender<Wanted>),
    beat: &Beat,
) {
    let mut groups: HashMap<String, Group> = HashMap::new();
    let (mut second, mut left) = (Instant::now(), A_SECOND);
    while let Ok(is_new) = snapshots.has_changed() {
        if is_new {
            let snapshot = Arc::clone(&snapshots.borrow_and_update());
            let near = near(&snapshot);
            groups.retain(|path, _| near.iter().any(|(cgroup, _)| cgroup == path));
            for (path, limit) in near {
                let group = groups.entry(path.clone()).or_insert_with(|| Group::open(hierarchy, &path));
                group.limit = limit;
            }
        }
        if second.elapsed() >= Duration::from_secs(1) {
            (second, left) = (Instant::now(), A_SECOND);
        }
        for (path, group) in &mut groups {
            let Some(usage) = group.usage() else { continue };
            let hits = group.hits();
            if left > 0 && group.state.is_due(usage, group.limit, hits, Instant::now()) {
                left -= 1;
                if armed.send(path.clone()).is_err() {
                    return;
                }
                let snapshot = Arc::clone(&snapshots.borrow());
                if let Some(wanted) = wanted(path, &snapshot) {
                    // With too many waiting, the next scan of the group asks again.
                    drop(mounts.try_send(wanted));
                }
            }
        }
        beat.wait(|| wait(groups.values().filter_map(|group| group.events.as_ref())));
    }
}

/// The request for the mounts of a group, if it is full of tmpfs pages.
fn wanted(group: &str, snapshot: &Snapshot) -> Option<Wanted> {
    let full = snapshot.containers.iter().filter(|row| row.cgroup == group).find_map(|row| {
        let shmem = row.charge.as_ref()?.shmem_bytes?;
        (shmem.0 >= (row.limit.as_ref()?.bytes.0 / OF_FILES).max(LEAST)).then_some(shmem)
    });
    let shmem = full?;
    let is_inside = |cgroup: &str| is_within(cgroup, group);
    let inside = snapshot.processes.iter().filter(|process| process.cgroup.as_deref().is_some_and(is_inside));
    let pids = inside.take(ASKED).map(|process| process.pid).collect();
    Some(Wanted { group: group.to_owned(), shmem, pids, at: clock::ktime() })
}

/// Waits until a `memory.events` changes or the interval is over. v1 has no such file, so there it waits for the
/// interval.
fn wait<'a>(events: impl Iterator<Item = &'a File>) {
    let begun = Instant::now();
    let mut fds: Vec<PollFd<'_>> =
        events.map(|file| PollFd::from_borrowed_fd(file.as_fd(), PollFlags::PRI)).collect();
    let timeout = Timespec::try_from(LOOK).ok();
    // An interrupted wait counts as an early wakeup.
    let _ = poll(&mut fds, timeout.as_ref());
    // A group that hits its limit all the time must not wake this thread all the time.
    std::thread::sleep((LOOK / 5).saturating_sub(begun.elapsed()));
}

/// Groups that own a limit and may come near it soon, fullest first, with the limit.
fn near(snapshot: &Snapshot) -> Vec<(String, u64)> {
    let mut near: Vec<(f64, &str, u64)> = snapshot
        .containers
        .iter()
        .filter_map(|row| {
            let limit = row.limit.as_ref().filter(|limit| limit.owner == row.cgroup)?.bytes.0;
            let part = row.usage_bytes?.0 as f64 / (limit as f64).max(1.0);
            (part >= WATCHED_FROM).then_some((part, &*row.cgroup, limit))
        })
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    near.into_iter().take(WATCHED).map(|(_, cgroup, limit)| (cgroup.to_owned(), limit)).collect()
}

/// A group that is watched.
#[derive(Debug)]
struct Group {
    limit: u64,
    usage: Option<File>,
    events: Option<File>,
    state: State,
}

impl Group {
    /// Opens the files of a group, given its escaped path.
    fn open(hierarchy: &Hierarchy, shown: &str) -> Self {
        let path = unescape(shown);
        let usage = memcg::usage_file(hierarchy, &path).and_then(|path| File::open(path).ok());
        // v1 has no such file.
        let events = hierarchy.directory(&path).map(|directory| directory.join("memory.events"));
        let events = events.and_then(|path| File::open(path).ok());
        Self { limit: 0, usage, events, state: State::default() }
    }

    fn usage(&mut self) -> Option<u64> {
        read(self.usage.as_mut()?)?.trim().parse().ok()
    }

    /// How often its limit was hit or its `memory.high` exceeded; reading the file also rearms the poll.
    fn hits(&mut self) -> u64 {
        let Some(text) = self.events.as_mut().and_then(read) else { return 0 };
        let counted = text.lines().filter_map(|line| line.split_once(' '));
        let hits = counted.filter(|(key, _)| matches!(*key, "high" | "max"));
        hits.filter_map(|(_, count)| count.parse::<u64>().ok()).sum()
    }
}

/// `None` when the group is gone.
fn read(file: &mut File) -> Option<String> {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0)).ok()?;
    file.read_to_string(&mut text).ok()?;
    Some(text)
}

/// When a group was last scanned, and its values then.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    last: Option<Instant>,
    usage: u64,
    hits: Option<u64>,
}

impl State {
    /// Whether it must be scanned now; if so, it is marked as scanned.
    fn is_due(&mut self, usage: u64, limit: u64, hits: u64, now: Instant) -> bool {
        if (usage as f64) < limit as f64 * NEAR {
            self.usage = usage;
            return false;
        }
        let Some(last) = self.last else {
            *self = Self { last: Some(now), usage, hits: Some(hits) };
            return true;
        };
        let since = now.duration_since(last);
        let room = limit.saturating_sub(self.usage);
        let has_moved = usage.saturating_sub(self.usage) >= (room / PART).max(LEAST);
        let is_hit = self.hits.is_some_and(|before| hits > before);
        let is_due = since >= AGAIN && has_moved || since >= HIT && is_hit;
        if is_due {
            *self = Self { last: Some(now), usage, hits: Some(hits) };
        } else if usage < self.usage {
            // It released memory, so growth counts from here.
            self.usage = usage;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::{AGAIN, Group, HIT, Hierarchy, Instant, Snapshot, State, near};
    use crate::{
        cgroup::{hierarchy::Version, memcg::Limit},
        snapshot::{ContainerRow, Node},
        text::escape,
        units::Bytes,
    };

    const MIB: u64 = 1 << 20;

    fn snapshot(usages: &[(&str, &str, u64)]) -> Snapshot {
        let row = |(cgroup, owner, usage): &(&str, &str, u64)| ContainerRow {
            usage_bytes: Some(Bytes(usage * MIB)),
            limit: Some(Limit { bytes: Bytes(100 * MIB), owner: (*owner).into() }),
            ..ContainerRow::empty((*cgroup).into())
        };
        Snapshot {
            schema: 1,
            time: Timestamp::UNIX_EPOCH,
            tracer: None,
            processes: Vec::new(),
            containers: usages.iter().map(row).collect(),
            node: Node::default(),
        }
    }

    #[test]
    fn those_that_may_soon_be_near_their_own_limit_are_watched() {
        let rows =
            [("/calm", "/calm", 5), ("/half", "/half", 50), ("/full", "/full", 90), ("/x/y", "/x", 95)];
        let near = near(&snapshot(&rows));
        let watched = [("/full".to_owned(), 100 * MIB), ("/half".to_owned(), 100 * MIB)];
        assert_eq!(near, watched, "/x/y is under another's limit");
    }

    #[test]
    fn a_group_of_any_name_is_opened() {
        use std::os::unix::ffi::OsStrExt as _;
        let dir = tempfile::tempdir().unwrap();
        for name in [&b"plain"[..], b"a\\x2db", b"\xff\xfe", b"new\nline", "größe\u{202e}".as_bytes()] {
            let group = dir.path().join(std::ffi::OsStr::from_bytes(name));
            std::fs::create_dir(&group).unwrap();
            std::fs::write(group.join("memory.current"), "4096\n").unwrap();
            std::fs::write(group.join("memory.events"), "max 3\n").unwrap();
            let hierarchy = Hierarchy {
                version: Version::V2,
                mount: dir.path().into(),
                root: b"/".to_vec(),
                namespace: b"/".to_vec(),
            };
            let mut group = Group::open(&hierarchy, &escape(&[b"/", name].concat()));
            assert_eq!((group.usage(), group.hits()), (Some(4096), 3), "{}", escape(name));
        }
    }

    #[test]
    fn it_is_read_when_room_is_used_up_and_not_while_nothing_moves() {
        let (mut state, begin) = (State::default(), Instant::now());
        let mut is_due = |usage: u64, hits, at| state.is_due(usage * MIB, 100 * MIB, hits, at);
        assert!(!is_due(59, 0, begin));
        assert!(is_due(60, 0, begin), "when it comes near");
        assert!(!is_due(69, 0, begin + AGAIN), "of 40 that were left, nine");
        assert!(!is_due(80, 0, begin), "too soon");
        assert!(is_due(80, 0, begin + AGAIN));
        assert!(!is_due(80, 0, begin + AGAIN * 100), "nothing moved");
        assert!(is_due(86, 0, begin + AGAIN * 101));
        assert!(!is_due(70, 0, begin + AGAIN * 102));
        assert!(is_due(78, 0, begin + AGAIN * 103), "up again");
    }

    #[test]
    fn a_limit_that_is_hit_is_a_reason_now_and_then() {
        let (mut state, begin) = (State::default(), Instant::now());
        let mut is_due = |hits, at| state.is_due(100 * MIB, 100 * MIB, hits, at);
        assert!(is_due(5, begin));
        assert!(!is_due(6, begin + HIT / 2));
        assert!(is_due(7, begin + HIT));
        assert!(!is_due(7, begin + HIT * 3), "it was not hit since");
    }
}
