//! Cgroups that come and go, against the directories that they are.

use std::{
    collections::HashSet,
    fs,
    os::unix::fs::MetadataExt as _,
    path::Path,
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use memtrace::{
    cgroup::{hierarchy::Hierarchy, memcg, stat},
    ingest::{
        decode::{CgroupEvent, Event},
        loss::Loss,
    },
    mm::procfs::Procfs,
    probe::support::Without,
};

use crate::fixture::{
    PATIENCE, cgroup::Cgroup, daemon::Place, eventually, mib, program::Program, tracer::Tracer, unexpected,
};

#[test]
fn a_cgroup_comes_and_goes_with_its_id_hierarchy_and_path() {
    let mut tracer = Tracer::start(Without::default());
    let group = Cgroup::new();
    let inode = fs::metadata(group.directory()).unwrap().ino();
    let path = group.path().as_bytes().to_vec();
    drop(group);
    let of = |event: &Event| match event {
        Event::Cgroup(CgroupEvent::CgroupMkdir(record)) => Some((true, record.id, **record)),
        Event::Cgroup(CgroupEvent::CgroupRmdir(record)) => Some((false, record.id, **record)),
        _ => None,
    };
    let events = tracer.read_until("the end of the cgroup", |event| {
        of(event).is_some_and(|(came, id, _)| !came && id == inode)
    });
    let seen: Vec<_> = events.iter().filter_map(of).filter(|(_, id, _)| *id == inode).collect();
    assert_eq!(seen.iter().map(|(came, ..)| *came).collect::<Vec<_>>(), [true, false]);
    let hierarchy = Hierarchy::find(Path::new("/proc")).unwrap().unwrap();
    let lines = Procfs::new("/proc").cgroup(std::process::id()).unwrap();
    let ours = lines.iter().find(|line| hierarchy.path_of(std::slice::from_ref(line)).is_some()).unwrap();
    for (_, _, record) in seen {
        assert_eq!(record.path[..record.path_len as usize], path);
        assert_eq!(record.hierarchy, ours.hierarchy);
    }
}

/// Stops the other thread when it is dropped.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Readings of a cgroup that another thread removes and makes again: of one that was there, or none.
#[test]
fn a_cgroup_that_goes_while_it_is_read_is_read_or_not_and_never_mixed_up() {
    let group = Cgroup::new();
    let (directory, path) = (Path::new(group.directory()).join("goes"), format!("{}/goes", group.path()));
    let hierarchy = Hierarchy::find(Path::new("/proc")).unwrap().unwrap();
    let (made, stop) = (Mutex::new(HashSet::new()), AtomicBool::new(false));
    let (mut whole, mut none) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                fs::create_dir(&directory).unwrap();
                made.lock().unwrap().insert(fs::metadata(&directory).unwrap().ino());
                std::thread::sleep(Duration::from_micros(300));
                fs::remove_dir(&directory).unwrap();
                std::thread::sleep(Duration::from_micros(300));
            }
        });
        // Also when this thread panics: the maker would go on without end.
        let _stop = Stop(&stop);
        let mut reader = stat::Reader::default();
        let end = Instant::now() + PATIENCE;
        while (whole < 200 || none < 200) && Instant::now() < end {
            match reader.read(&hierarchy, path.as_bytes()) {
                Some(reading) => {
                    // Its files come and go one by one: some may be missing, but all are of one group.
                    whole += u32::from(reading.charge.usage_bytes.is_some());
                    let _ = reading.charge.remainder();
                    eventually("the maker says so", PATIENCE, || {
                        made.lock().unwrap().contains(&reading.cgroup_id).then_some(())
                    });
                }
                None => none += 1,
            }
            let _ = memcg::lowest(path.as_bytes(), |path| memcg::own_limit(&hierarchy, path));
            let _ = hierarchy.id(path.as_bytes());
        }
    });
    assert!(whole >= 200 && none >= 200, "{whole} whole, {none} none");
}

/// 2,000 at once, with the names of containers, while the daemon runs: it goes on, no ring is full, and a kill in the last
/// one is named, also when all are gone.
#[test]
fn two_thousand_cgroups_come_and_go_and_the_last_one_is_named() {
    const COUNT: u32 = 2000;
    let place = Place::new();
    let _daemon = place.start(&[]);
    let group = Cgroup::new();
    let pod = group.child("pod7260904bbd08e72e4dff95d9fccd2ee8");
    let id = |n: u32| format!("{n:064x}");
    let mut children: Vec<Cgroup> = (0..COUNT).map(|n| pod.child(&id(n))).collect();
    let last = children.pop().unwrap().limit(mib(16));
    let hierarchy = Hierarchy::find(Path::new("/proc")).unwrap().unwrap();
    let begin = Instant::now();
    assert!(hierarchy.walk().len() > COUNT as usize);
    println!("one walk: {:?}", begin.elapsed());
    let before = place.top().time;
    let victim = Program::eat(&["cgroup", last.directory(), "grow"]);
    let pid = victim.pid();
    children.into_iter().for_each(drop);
    let record = place.record(pid);
    let name = record.circumstances.container.unwrap();
    assert_eq!(name.container_id, Some(id(COUNT - 1)));
    assert_eq!(name.pod_uid.as_deref(), Some("7260904bbd08e72e4dff95d9fccd2ee8"));
    let after = eventually("a snapshot after that", PATIENCE, || {
        Some(place.top()).filter(|snapshot| snapshot.time > before)
    });
    // So many at once are over the budget, and found by reading the hierarchy.
    assert_eq!(unexpected(&after.tracer.unwrap().losses), [] as [&Loss; 0]);
}

/// A host without a v2 mount, and one that has no cgroups mounted at all: the daemon gets a mount namespace of its own, in
/// which they are not.
#[test]
fn kills_are_recorded_without_a_v2_mount_and_without_any() {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let at = |kind: &str| {
        let lines = mounts.lines().filter(|line| line.contains(&format!(" - {kind} ")));
        lines.filter_map(|line| line.split(' ').nth(4)).map(str::to_owned).collect::<Vec<_>>()
    };
    let (unified, all) = (at("cgroup2"), [at("cgroup2"), at("cgroup")].concat());
    let hierarchy = Hierarchy::find(Path::new("/proc")).unwrap().unwrap();
    for gone in [&unified, &all] {
        let place = Place::new();
        let script = format!("umount --lazy {} && exec \"$@\"", gone.join(" "));
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", &script, "sh"]);
        let _daemon = place.start_in(command, &["--no-backfill"]);
        let group = Cgroup::new().limit(mib(16));
        let victim = Program::eat(&["cgroup", group.directory(), "grow"]);
        let record = place.record(victim.pid());
        let owner = record.limit_owner.unwrap();
        assert_eq!(owner.limit_bytes.unwrap().0, mib(16));
        // The kernel has the names, whatever is mounted.
        assert_eq!(owner.path.as_deref(), Some(group.path()));
        let is_mounted = gone.iter().all(|mount| Path::new(mount) != hierarchy.mount);
        let rows = place.top().containers;
        assert_eq!(rows.iter().any(|row| row.usage_bytes.is_some()), is_mounted, "without {gone:?}");
    }
}
