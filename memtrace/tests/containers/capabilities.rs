//! What each capability of the DaemonSet is for, by what is not seen without it.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::Path,
    time::{Duration, Instant},
};

use memtrace::{snapshot::ProcessRow, units::Grade};

use crate::{
    cri::{
        ContainerConfig, ContainerMetadata, ImageSpec, Int64Value, LinuxContainerConfig,
        LinuxContainerResources, LinuxContainerSecurityContext, Mount, NamespaceOption,
    },
    daemonset::{DAEMON, agent, capabilities},
    fixture::{PATIENCE, daemon::Place, eventually, mib},
    kills::{EAT, of},
    runtime::{Container, Containerd, NODE, Pod},
};

/// The user of the programs that are watched; any but the daemon's.
const USER: u32 = 1000;
/// As Debian and its like have it.
const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2";

const STARTS: &str = "the daemon starts";
const PAGE_TABLES: &str = "page tables of another user's process are read";
const PRIVATE: &str = "the allocator in a library that its owner alone may read is known";
const DELETED: &str = "the allocator in a library that is deleted is known";
const KERNEL_STACK: &str = "the scope of a kill is read off the kernel's stack";
const MISSED: &str = "a kill that nobody saw is recorded from the kernel log";
const ALL: [&str; 6] = [STARTS, PAGE_TABLES, PRIVATE, DELETED, KERNEL_STACK, MISSED];

/// What each is for: what is not seen without it.
const FOR: [(&str, &[&str]); 6] = [
    ("BPF", &ALL),
    ("PERFMON", &ALL),
    ("SYS_PTRACE", &[PAGE_TABLES, PRIVATE, DELETED]),
    // The directory of links to mapped files is its owner's alone as well.
    ("DAC_READ_SEARCH", &[PRIVATE, DELETED]),
    ("CHECKPOINT_RESTORE", &[DELETED]),
    ("SYSLOG", &[KERNEL_STACK, MISSED]),
];

#[test]
fn without_any_one_capability_something_is_not_seen() {
    let containerd = Containerd::start();
    let all = capabilities();
    let missing = |seen: &BTreeSet<&'static str>| -> BTreeSet<&str> {
        ALL.into_iter().filter(|fact| !seen.contains(fact)).collect()
    };
    let everything = BTreeSet::from(ALL);
    let (seen, enough) = watch(&containerd, &all, &everything, Duration::ZERO);
    let lacking: Vec<_> = FOR.iter().filter(|(name, _)| !all.iter().any(|has| has == name)).collect();
    assert_eq!(
        missing(&seen),
        BTreeSet::new(),
        "not seen; what the manifest lacks, and what it is for: {lacking:?}"
    );
    for without in &all {
        let uses = FOR.iter().find(|(name, _)| name == without);
        let (_, lost) =
            uses.unwrap_or_else(|| panic!("{without} is in the manifest, and no test says what it is for"));
        let rest: Vec<String> = all.iter().filter(|name| *name != without).cloned().collect();
        // What else would be there is there by then.
        let expected = ALL.into_iter().filter(|fact| !lost.contains(fact)).collect();
        let (seen, _) = watch(&containerd, &rest, &expected, enough);
        assert_eq!(missing(&seen), lost.iter().copied().collect(), "not seen without {without}");
    }
}

/// What an agent with these capabilities sees of two programs and a kill, and how long that took: until it has seen what is
/// expected, and for so long at least.
fn watch(
    containerd: &Containerd,
    capabilities: &[String],
    expected: &BTreeSet<&'static str>,
    least: Duration,
) -> (BTreeSet<&'static str>, Duration) {
    let place = Place::new();
    let pod = containerd.pod("", "watched", None);
    let before = pod.run("before", EAT, mib(48));
    before.ended();
    let own = containerd.agent_pod();
    let agent = agent(containerd, &own, &place, capabilities.to_vec(), &DAEMON);
    let starts = eventually("the agent answers or ends", PATIENCE, || {
        if agent.status()?.state == 2 {
            return Some(false);
        }
        place.socket().exists().then(|| place.top())?.tracer.map(|_| true)
    });
    if !starts {
        let log = fs::read_to_string(containerd.root().join("log/memtrace.log")).unwrap();
        assert_eq!(agent.ended().exit_code, 4, "not permitted: {log}");
        return (BTreeSet::new(), Duration::ZERO);
    }
    let libraries = tempfile::tempdir().unwrap();
    fs::set_permissions(libraries.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let private = program(&pod, libraries.path(), "private", 0o500);
    let deleted = program(&pod, libraries.path(), "deleted", 0o755);
    let killed = pod.run("killed", EAT, mib(48));
    let record = eventually("the kill is stored", PATIENCE, || of(&place, &killed.cgroup).pop());
    let mut seen = BTreeSet::from([STARTS]);
    if record.scope.grade == Grade::Read {
        seen.insert(KERNEL_STACK);
    }
    let begin = Instant::now();
    let is_over = |seen: &BTreeSet<_>| {
        let is_long = begin.elapsed() >= least && seen.is_superset(expected);
        seen.len() == ALL.len() || is_long || begin.elapsed() >= least + PATIENCE
    };
    while !is_over(&seen) {
        if !of(&place, &before.cgroup).is_empty() {
            seen.insert(MISSED);
        }
        let top = place.top();
        let row = |container: &Container<'_>| {
            let is_it = |row: &&ProcessRow| {
                row.cgroup.as_deref() == Some(container.cgroup.as_str()) && row.comm == "tail"
            };
            top.rows().find(is_it)
        };
        for (container, fact) in [(&private, PRIVATE), (&deleted, DELETED)] {
            let Some(memory) = row(container).and_then(|row| row.memory.as_ref()) else { continue };
            seen.insert(PAGE_TABLES);
            if memory.arenas.iter().any(|arena| arena.allocator == "jemalloc") {
                seen.insert(fact);
            }
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    (seen, begin.elapsed())
}

/// A program of another user on jemalloc, whose library has this mode; the one called `deleted` has it no more.
fn program<'a>(pod: &Pod<'a>, libraries: &Path, name: &str, mode: u32) -> Container<'a> {
    let library = libraries.join(format!("{name}.so"));
    fs::copy(LIBRARY, &library).expect("libjemalloc2 is installed");
    fs::set_permissions(&library, fs::Permissions::from_mode(mode)).unwrap();
    chown(&library, Some(USER), Some(USER)).unwrap();
    let mount = |host: &Path, container: &str| Mount {
        container_path: container.to_owned(),
        host_path: host.display().to_string(),
        readonly: true,
    };
    let script =
        format!("(head -c 30000000 /dev/zero; sleep 1000) | LD_PRELOAD=/libraries/{name}.so /usr/bin/tail");
    let container = pod.start(ContainerConfig {
        metadata: Some(ContainerMetadata { name: name.to_owned(), attempt: 0 }),
        image: Some(ImageSpec { image: "docker.io/local/busybox:1".to_owned() }),
        command: vec!["/bin/sh".to_owned(), "-c".to_owned(), script],
        mounts: vec![
            mount(libraries, "/libraries"),
            mount("/usr".as_ref(), "/usr"),
            mount("/lib".as_ref(), "/lib"),
            mount("/lib64".as_ref(), "/lib64"),
        ],
        linux: Some(LinuxContainerConfig {
            resources: Some(LinuxContainerResources {
                memory_limit_in_bytes: i64::try_from(mib(96)).unwrap(),
                oom_score_adj: 0,
            }),
            security_context: Some(LinuxContainerSecurityContext {
                namespace_options: Some(NamespaceOption { network: NODE, ..NamespaceOption::default() }),
                run_as_user: Some(Int64Value { value: i64::from(USER) }),
                ..LinuxContainerSecurityContext::default()
            }),
        }),
        ..ContainerConfig::default()
    });
    eventually("the program has its memory", PATIENCE, || (container.usage() > 30_000_000).then_some(()));
    if name == "deleted" {
        fs::remove_file(&library).unwrap();
    }
    container
}
