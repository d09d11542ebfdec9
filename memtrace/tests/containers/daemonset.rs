//! The DaemonSet's container: the built image, the chart's capabilities, mounts and seccomp profile, in a real runtime.

use std::{fs, path::PathBuf};

use rustix::thread::{CapabilitySet, capability_is_in_bounding_set};

use crate::{
    cri::{
        Capability, ContainerConfig, ContainerMetadata, ImageSpec, LinuxContainerConfig,
        LinuxContainerResources, LinuxContainerSecurityContext, Mount, NamespaceOption, SecurityProfile,
    },
    fixture::{PATIENCE, daemon::Place, eventually, mib},
    kills::{EAT, of},
    names::first,
    runtime::{Container, Containerd, NODE, Pod},
};

fn manifest() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/manifests/memtrace.yaml");
    fs::read_to_string(path).unwrap()
}

/// What the manifest mounts; where from, for the tests, by a mount's name.
fn mounts(from: impl Fn(&str) -> PathBuf) -> Vec<Mount> {
    let text = manifest();
    let mounts = text.split_once("volumeMounts:\n").unwrap().1.split_once("volumes:\n").unwrap().0;
    let mount = |line: &str| {
        let line = line.trim().strip_prefix("- { ").unwrap().strip_suffix(" }").unwrap();
        let value =
            |key: &str| line.split(", ").find_map(|field| field.strip_prefix(key)?.strip_prefix(": "));
        Mount {
            container_path: value("mountPath").unwrap().to_owned(),
            host_path: from(value("name").unwrap()).display().to_string(),
            readonly: value("readOnly") == Some("true"),
        }
    };
    mounts.trim_end().lines().map(mount).collect()
}

/// What the manifest adds, in its order.
pub fn capabilities() -> Vec<String> {
    let text = manifest();
    let add = text.split_once("add:\n").unwrap().1.split_once("seccompProfile").unwrap().0;
    let names: Vec<String> = add
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- ")?.split_whitespace().next())
        .map(str::to_owned)
        .collect();
    assert!(names.len() > 3, "{names:?}");
    // What a machine lacks altogether nobody can grant.
    let has =
        |name: &&String| capability_is_in_bounding_set(CapabilitySet::from_name(name).unwrap()).unwrap();
    assert_eq!(names.iter().find(|name| !has(name)), None, "this machine cannot grant it");
    names
}

/// The agent, as the manifest has it.
pub fn agent<'a>(
    containerd: &Containerd,
    pod: &Pod<'a>,
    place: &Place,
    capabilities: Vec<String>,
    arguments: &[&str],
) -> Container<'a> {
    let run = place.socket().parent().unwrap().to_path_buf();
    for directory in [&place.state(), &run] {
        fs::create_dir_all(directory).unwrap();
    }
    let mounts = mounts(|name| match name {
        "state" => place.state(),
        "socket" => run.clone(),
        "run" => containerd.root().join("run"),
        "cgroup" => "/sys/fs/cgroup".into(),
        "tracing" => "/sys/kernel/tracing".into(),
        // Not the host's: pins would outlive the test.
        "bpf" => {
            let directory = place.file("bpf");
            fs::create_dir_all(&directory).unwrap();
            directory
        }
        other => panic!("{other} is mounted, and no test knows where from"),
    });
    let linux = LinuxContainerConfig {
        resources: Some(LinuxContainerResources {
            memory_limit_in_bytes: i64::try_from(mib(256)).unwrap(),
            oom_score_adj: 0,
        }),
        security_context: Some(LinuxContainerSecurityContext {
            capabilities: Some(Capability {
                add_capabilities: capabilities,
                drop_capabilities: vec!["ALL".to_owned()],
            }),
            namespace_options: Some(NamespaceOption { network: NODE, pid: NODE, ipc: 0 }),
            run_as_user: None,
            readonly_rootfs: true,
            no_new_privs: true,
            seccomp: Some(SecurityProfile::default()),
        }),
    };
    pod.start(ContainerConfig {
        metadata: Some(ContainerMetadata { name: "memtrace".to_owned(), attempt: 0 }),
        image: Some(ImageSpec { image: "docker.io/local/memtrace:1".to_owned() }),
        args: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
        mounts,
        log_path: "memtrace.log".to_owned(),
        linux: Some(linux),
        ..ContainerConfig::default()
    })
}

pub const DAEMON: [&str; 4] =
    ["daemon", "--state-dir=/var/lib/memtrace", "--socket=/run/memtrace/memtrace.sock", "--host-root=/host"];

#[test]
fn the_daemonsets_container_catches_a_kill_in_another_pod() {
    let containerd = Containerd::start();
    let place = Place::new();
    let own = containerd.agent_pod();
    let agent = agent(&containerd, &own, &place, capabilities(), &DAEMON);
    eventually("the agent answers", PATIENCE, || place.socket().exists().then(|| place.top())?.tracer);
    is_confined(&agent);
    let pod = containerd.pod("/burstable", "cart-9", None);
    let container = pod.run("redis", EAT, mib(48));
    let record = eventually("the kill is stored", PATIENCE, || of(&place, &container.cgroup).pop());
    let name = record.circumstances.container.unwrap();
    assert_eq!(name.label().unwrap(), "shop/cart-9/redis");
    // Only the bundle has that: this containerd lists digests.
    assert_eq!(name.image.as_deref(), Some("docker.io/local/busybox:1"));
}

/// As the kernel has it: the set and no more, a seccomp filter, and no way to more rights.
fn is_confined(agent: &Container<'_>) {
    let pid = first(&agent.cgroup).as_raw_nonzero();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| {
        status.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim())).unwrap()
    };
    let bit = |name: &String| CapabilitySet::from_name(name).unwrap().bits();
    let set = capabilities().iter().fold(0, |all, name| all | bit(name));
    assert_eq!(u64::from_str_radix(field("CapBnd"), 16).unwrap(), set, "{status}");
    assert_eq!((field("Seccomp"), field("NoNewPrivs")), ("2", "1"), "{status}");
}

#[test]
fn each_capability_is_missed_and_said_what_for() {
    let containerd = Containerd::start();
    let all = capabilities();
    for without in &all {
        let place = Place::new();
        let own = containerd.agent_pod();
        let rest = all.iter().filter(|name| *name != without).cloned().collect();
        let container = agent(&containerd, &own, &place, rest, &["doctor", "--host-root=/host"]);
        container.ended();
        let log = fs::read_to_string(containerd.root().join("log/memtrace.log")).unwrap();
        assert!(log.contains(&format!("CAP_{without} is missing: cannot ")), "{without}: {log}");
        fs::remove_file(containerd.root().join("log/memtrace.log")).unwrap();
    }
}
