//! A containerd of the tests' own, on a root and a socket of its own, and pods in it as a kubelet makes them.

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use memtrace::{
    cgroup::hierarchy::{Hierarchy, Version},
    container::sources::cri::messages::{
        ContainerStatus, ContainerStatusRequest, ContainerStatusResponse, ListPodSandboxResponse, Pair,
    },
};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{
    cri::{
        ContainerConfig, ContainerMetadata, ContainerRequest, CreateContainerRequest,
        CreateContainerResponse, Empty, ImageSpec, LinuxContainerConfig, LinuxContainerResources,
        LinuxContainerSecurityContext, LinuxPodSandboxConfig, LinuxSandboxSecurityContext, NamespaceOption,
        PodSandboxConfig, PodSandboxMetadata, RunPodSandboxRequest, RunPodSandboxResponse, SandboxRequest,
        Times, TimesResponse, call,
    },
    fixture::{PATIENCE, eventually},
};

/// The pod's own network would need plugins: it has the node's.
pub const NODE: i32 = 2;
static MADE: AtomicU32 = AtomicU32::new(0);

/// A running containerd; with all that is in it gone when dropped.
pub struct Containerd {
    directory: TempDir,
    child: Child,
    /// `/memtrace-test-PID`, above all pods.
    parent: String,
}

impl Containerd {
    /// Starts one, with the images of the tests.
    pub fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("mtc").tempdir().unwrap();
        let root = directory.path();
        let state = root.join("run/containerd");
        fs::create_dir_all(&state).unwrap();
        fs::create_dir_all(root.join("log")).unwrap();
        let config = format!(
            r#"version = 2
root = "{root}/root"
state = "{state}"
[grpc]
  address = "{state}/containerd.sock"
[ttrpc]
  address = "{state}/ttrpc.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/local/pause:1"
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{root}/none"
    conf_dir = "{root}/none"
[plugins."io.containerd.internal.v1.opt"]
  path = "{root}/opt"
"#,
            root = root.display(),
            state = state.display(),
        );
        fs::write(root.join("config.toml"), config).unwrap();
        let mut containerd =
            Self { child: spawn(root), directory, parent: format!("/memtrace-test-{}", std::process::id()) };
        containerd.wait();
        let images = std::env::var_os("MEMTRACE_TEST_IMAGES").expect("`cargo xtask test` makes the images");
        for image in ["pause.tar", "busybox.tar", "memtrace.tar"] {
            let path = Path::new(&images).join(image);
            if path.exists() {
                containerd.ctr(&["images", "import", path.to_str().unwrap()]);
            }
        }
        containerd
    }

    /// The root below which a host would have `/run/containerd`.
    pub fn root(&self) -> &Path {
        self.directory.path()
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.root().join("run/containerd/containerd.sock")
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Ends it and starts it again; its containers live on.
    pub fn restart(&mut self) {
        self.signal(Signal::TERM);
        self.child.wait().unwrap();
        self.child = spawn(self.root());
        self.wait();
    }

    /// A pod with a cgroup as the kubelet makes it, and a limit of its own if wanted.
    pub fn pod(&self, class: &str, name: &str, limit: Option<u64>) -> Pod<'_> {
        self.pod_with(class, name, limit, NamespaceOption { network: NODE, ..NamespaceOption::default() })
    }

    /// A pod that sees the node's processes.
    pub fn agent_pod(&self) -> Pod<'_> {
        self.pod_with("", "memtrace", None, NamespaceOption { network: NODE, pid: NODE, ipc: 0 })
    }

    fn pod_with(&self, class: &str, name: &str, limit: Option<u64>, namespaces: NamespaceOption) -> Pod<'_> {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let uid = format!("{:08x}-1111-4222-8333-{number:012x}", std::process::id());
        let parent = format!("{}/kubepods{class}/pod{uid}", self.parent);
        let hierarchy = Hierarchy::find(Path::new("/proc")).unwrap().unwrap();
        assert_eq!(
            hierarchy.version,
            Version::V1,
            "on v2 the kubelet would switch controllers on all the way"
        );
        let directory = hierarchy.directory(parent.as_bytes()).unwrap();
        fs::create_dir_all(&directory).unwrap();
        if let Some(limit) = limit {
            fs::write(directory.join("memory.limit_in_bytes"), limit.to_string()).unwrap();
        }
        let config = PodSandboxConfig {
            metadata: Some(PodSandboxMetadata {
                name: name.to_owned(),
                uid: uid.clone(),
                namespace: "shop".to_owned(),
                attempt: 0,
            }),
            log_directory: self.root().join("log").display().to_string(),
            labels: labels(name, &uid),
            linux: Some(LinuxPodSandboxConfig {
                cgroup_parent: parent.clone(),
                security_context: Some(LinuxSandboxSecurityContext { namespace_options: Some(namespaces) }),
            }),
        };
        let request = RunPodSandboxRequest { config: Some(config.clone()) };
        let answer: RunPodSandboxResponse = call(&self.socket(), "RunPodSandbox", request).unwrap();
        Pod { containerd: self, id: answer.pod_sandbox_id, uid, cgroup: parent, directory, config }
    }

    /// Ends every sandbox that is left.
    pub fn end_all(&self) {
        let list: ListPodSandboxResponse = call(&self.socket(), "ListPodSandbox", Empty {}).unwrap();
        for sandbox in list.items {
            for method in ["StopPodSandbox", "RemovePodSandbox"] {
                let pod_sandbox_id = String::from_utf8(sandbox.id.clone()).unwrap();
                let _: Empty = call(&self.socket(), method, SandboxRequest { pod_sandbox_id }).unwrap();
            }
        }
    }

    fn wait(&mut self) {
        eventually("containerd answers", PATIENCE, || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("containerd ended with {status}: {}", self.log());
            }
            call::<_, Empty>(&self.socket(), "Status", Empty {}).ok()
        });
    }

    fn log(&self) -> String {
        fs::read_to_string(self.root().join("containerd.log")).unwrap_or_default()
    }

    fn ctr(&self, arguments: &[&str]) {
        let output = Command::new("ctr")
            .arg("--address")
            .arg(self.socket())
            .args(["--namespace", "k8s.io"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "ctr {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        // A stopped one does not see SIGTERM.
        self.signal(Signal::CONT);
        self.signal(Signal::TERM);
        let _ = self.child.wait();
        // Of a test that failed: its shims and containers live on without it.
        for directory in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let pid = directory.file_name().to_str().and_then(|name| Pid::from_raw(name.parse().ok()?));
            let read = |file: &str| fs::read_to_string(directory.path().join(file)).unwrap_or_default();
            let root = self.root().to_str().unwrap();
            let is_ours = read("cmdline").contains(root) || read("cgroup").contains(&self.parent);
            if let Some(pid) = pid.filter(|pid| *pid != rustix::process::getpid() && is_ours) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        remove_cgroups(&self.parent);
    }
}

fn spawn(root: &Path) -> Child {
    let log = File::create(root.join("containerd.log")).unwrap();
    Command::new("containerd")
        .arg("--config")
        .arg(root.join("config.toml"))
        .stdout(Stdio::from(log.try_clone().unwrap()))
        .stderr(Stdio::from(log))
        .spawn()
        .expect("containerd is installed")
}

fn labels(pod: &str, uid: &str) -> Vec<Pair> {
    [("io.kubernetes.pod.name", pod), ("io.kubernetes.pod.namespace", "shop"), ("io.kubernetes.pod.uid", uid)]
        .map(|(key, value)| Pair { key: key.into(), value: value.into() })
        .into()
}

/// A pod, removed when dropped.
pub struct Pod<'a> {
    containerd: &'a Containerd,
    id: String,
    /// Its uid.
    pub uid: String,
    /// Its cgroup.
    pub cgroup: String,
    directory: PathBuf,
    config: PodSandboxConfig,
}

/// A container.
pub struct Container<'a> {
    containerd: &'a Containerd,
    /// The runtime's id.
    pub id: String,
    /// Its cgroup.
    pub cgroup: String,
}

impl<'a> Pod<'a> {
    /// A container that runs this shell script, with a limit.
    pub fn run(&self, name: &str, script: &str, limit: u64) -> Container<'a> {
        let linux = LinuxContainerConfig {
            resources: Some(LinuxContainerResources {
                memory_limit_in_bytes: i64::try_from(limit).unwrap(),
                oom_score_adj: 0,
            }),
            security_context: Some(LinuxContainerSecurityContext {
                namespace_options: Some(NamespaceOption { network: NODE, ..NamespaceOption::default() }),
                ..LinuxContainerSecurityContext::default()
            }),
        };
        self.start(ContainerConfig {
            metadata: Some(ContainerMetadata { name: name.to_owned(), attempt: 0 }),
            image: Some(ImageSpec { image: "docker.io/local/busybox:1".to_owned() }),
            command: ["/bin/sh", "-c", script].map(str::to_owned).into(),
            linux: Some(linux),
            ..ContainerConfig::default()
        })
    }

    /// The same name again, as a kubelet restarts a container: another id.
    pub fn start(&self, config: ContainerConfig) -> Container<'a> {
        let request = CreateContainerRequest {
            pod_sandbox_id: self.id.clone(),
            config: Some(ContainerConfig { labels: labels_of(&self.config, &config), ..config }),
            sandbox_config: Some(self.config.clone()),
        };
        let socket = self.containerd.socket();
        let answer: CreateContainerResponse = call(&socket, "CreateContainer", request).unwrap();
        let id = answer.container_id;
        let _: Empty =
            call(&socket, "StartContainer", ContainerRequest { container_id: id.clone() }).unwrap();
        Container { containerd: self.containerd, cgroup: format!("{}/{id}", self.cgroup), id }
    }

    /// Id of its cgroup.
    pub fn cgroup_id(&self) -> u64 {
        fs::metadata(&self.directory).unwrap().ino()
    }
}

fn labels_of(pod: &PodSandboxConfig, container: &ContainerConfig) -> Vec<Pair> {
    let name = container.metadata.as_ref().map(|metadata| metadata.name.clone()).unwrap_or_default();
    let own = Pair { key: b"io.kubernetes.container.name".to_vec(), value: name.into_bytes() };
    pod.labels.iter().cloned().chain([own]).collect()
}

impl Drop for Pod<'_> {
    fn drop(&mut self) {
        let socket = self.containerd.socket();
        for method in ["StopPodSandbox", "RemovePodSandbox"] {
            let request = SandboxRequest { pod_sandbox_id: self.id.clone() };
            if let Err(error) = call::<_, Empty>(&socket, method, request) {
                eprintln!("failed to remove a pod: {error}");
            }
        }
        remove_cgroups(&self.cgroup);
    }
}

impl Container<'_> {
    /// What the kernel charges to it; 0 when it is gone.
    pub fn usage(&self) -> u64 {
        let hierarchy = Hierarchy::find(Path::new("/proc")).unwrap().unwrap();
        let directory = hierarchy.directory(self.cgroup.as_bytes()).unwrap();
        let usage = fs::read_to_string(directory.join("memory.usage_in_bytes")).unwrap_or_default();
        usage.trim().parse().unwrap_or_default()
    }

    /// What the runtime says of it once it has ended.
    pub fn ended(&self) -> ContainerStatus {
        eventually("the runtime sees the end", PATIENCE, || self.status().filter(|status| status.state == 2))
    }

    /// How long it lived; 0 when it was gone before the runtime had noted its start.
    pub fn lifetime(&self) -> Duration {
        self.ended();
        let request = ContainerRequest { container_id: self.id.clone() };
        let answer: TimesResponse = call(&self.containerd.socket(), "ContainerStatus", request).unwrap();
        let Times { started_at, finished_at } = answer.times.unwrap();
        Duration::from_nanos(u64::try_from(finished_at - started_at).unwrap_or_default())
    }

    /// What it says now.
    pub fn status(&self) -> Option<ContainerStatus> {
        let request = ContainerStatusRequest { container_id: self.id.clone().into_bytes() };
        call::<_, ContainerStatusResponse>(&self.containerd.socket(), "ContainerStatus", request)
            .unwrap()
            .status
    }
}

/// Removes a cgroup and those below it in every v1 hierarchy and the unified one.
pub fn remove_cgroups(path: &str) {
    for hierarchy in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
        let directory = hierarchy.path().join(path.trim_start_matches('/'));
        let end = std::time::Instant::now() + PATIENCE;
        while directory.exists() && std::time::Instant::now() < end {
            remove_below(&directory);
        }
    }
}

fn remove_below(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_below(&entry.path());
        }
    }
    let _ = fs::remove_dir(directory);
}
