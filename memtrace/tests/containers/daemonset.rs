//! The DaemonSet's container: the built image, the chart's capabilities, mounts and seccomp profile, in a real runtime.

use std::fs;

use caps::{CapSet, Capability as Cap};

use crate::{
    cri::{
        Capability, ContainerConfig, ContainerMetadata, ImageSpec, LinuxContainerConfig,
        LinuxContainerResources, LinuxContainerSecurityContext, Mount, NamespaceOption, SecurityProfile,
    },
    fixture::{PATIENCE, daemon::Place, eventually, mib},
    kills::{EAT, of},
    runtime::{Container, Containerd, NODE, Pod},
};

/// What the manifest adds, in its order.
pub fn capabilities() -> Vec<String> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/manifests/memtrace.yaml");
    let text = fs::read_to_string(manifest).unwrap();
    let add = text.split_once("add:\n").unwrap().1.split_once("seccompProfile").unwrap().0;
    let names: Vec<String> = add
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- ")?.split_whitespace().next())
        .map(str::to_owned)
        .collect();
    assert!(names.len() > 3, "{names:?}");
    // A machine may lack one altogether; nobody can grant it then. Only this one is not missed on every kernel.
    let bounding = caps::read(None, CapSet::Bounding).unwrap();
    let has = |name: &String| bounding.contains(&format!("CAP_{name}").parse::<Cap>().unwrap());
    let (granted, lacking): (Vec<String>, Vec<String>) = names.into_iter().partition(has);
    assert!(lacking.iter().all(|name| name == "SYS_RESOURCE"), "this machine cannot grant {lacking:?}");
    granted
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
    let mount = |host: &std::path::Path, container: &str, readonly| Mount {
        container_path: container.to_owned(),
        host_path: host.display().to_string(),
        readonly,
    };
    let mounts = vec![
        mount(&place.state(), "/var/lib/memtrace", false),
        mount(&run, "/run/memtrace", false),
        mount(&containerd.root().join("run"), "/host/run", true),
        mount("/sys/fs/cgroup".as_ref(), "/sys/fs/cgroup", true),
        mount("/sys/kernel/tracing".as_ref(), "/sys/kernel/tracing", true),
    ];
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
    let _agent = agent(&containerd, &own, &place, capabilities(), &DAEMON);
    eventually("the agent answers", PATIENCE, || place.socket().exists().then(|| place.top())?.tracer);
    let pod = containerd.pod("/burstable", "cart-9", None);
    let container = pod.run("redis", EAT, mib(48));
    let record = eventually("the kill is stored", PATIENCE, || of(&place, &container.cgroup).pop());
    let name = record.circumstances.container.unwrap();
    assert_eq!(name.label().unwrap(), "shop/cart-9/redis");
    // Only the bundle has that: this containerd lists digests.
    assert_eq!(name.image.as_deref(), Some("docker.io/local/busybox:1"));
}

#[test]
fn each_capability_is_missed_and_said_what_for() {
    let containerd = Containerd::start();
    let all = capabilities();
    // It is for kernels older than any that has CAP_BPF's rules for maps; nothing is lost without it here.
    for without in all.iter().filter(|name| *name != "SYS_RESOURCE") {
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
