//! A pod's container, several times: its cgroup and its OCI bundle as containerd makes them, and programs in it.
//!
//! A place for cgroups -> lives of one container, each with an id of its own. Must leave no cgroup behind.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::Running;
use xtask_base::cgroup::{Cgroup, Home, Version};

/// The container's limit.
pub(crate) const LIMIT: u64 = 32 << 20;
const UID: &str = "6e0b4bb2-1c7c-4f0d-8f2e-3f1f3a1c2b4d";
const PATIENCE: Duration = Duration::from_secs(20);

/// The pod. Its container's cgroup goes before its own, and that before the one around it.
pub(crate) struct Pod {
    pod: Cgroup,
    _around: Cgroup,
    version: Version,
    root: PathBuf,
}

/// One life of the container.
pub(crate) struct Life {
    holder: Child,
    cgroup: Cgroup,
    bundle: PathBuf,
}

impl Pod {
    /// Makes it; bundles go below `dir`.
    pub(crate) fn create(home: Home, dir: &Path) -> Result<Self> {
        let version = home.version;
        let name = format!("memtrace-prometheus-{}", std::process::id());
        let around = Cgroup::create(home, &name, 1 << 30)?;
        let within = Home { version, parent: around.dir().to_owned() };
        let pod = Cgroup::create(within, &format!("pod{UID}"), 1 << 30)?;
        let root = dir.join("root");
        fs::create_dir_all(tasks(&root)).context("failed to create a place for bundles")?;
        Ok(Self { pod, _around: around, version, root })
    }

    /// What stands for the host's root.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Starts the container for the `number`th time.
    pub(crate) fn start(&self, number: u32) -> Result<Life> {
        let id = format!("{number:064x}");
        let bundle = tasks(&self.root).join(&id);
        fs::create_dir(&bundle).context("failed to create a bundle")?;
        let config = serde_json::json!({ "annotations": {
            "io.kubernetes.cri.container-type": "container",
            "io.kubernetes.cri.container-name": "redis",
            "io.kubernetes.cri.sandbox-name": "cart-0",
            "io.kubernetes.cri.sandbox-namespace": "shop",
            "io.kubernetes.cri.sandbox-uid": UID,
        }});
        fs::write(bundle.join("config.json"), config.to_string()).context("failed to write a bundle")?;
        let home = Home { version: self.version, parent: self.pod.dir().to_owned() };
        let cgroup = Cgroup::create(home, &id, LIMIT)?;
        let holder = program(&cgroup, &["--hold-mib", "4"])?;
        Ok(Life { holder, cgroup, bundle })
    }
}

fn tasks(root: &Path) -> PathBuf {
    root.join("run/containerd/io.containerd.runtime.v2.task/k8s.io")
}

fn program(cgroup: &Cgroup, arguments: &[&str]) -> Result<Child> {
    let xtask = env::current_exe().context("failed to find our own program")?;
    let mut command = Command::new(xtask);
    command.args(["grow", "--give-up-mib", "4096", "--pace-ms", "1", "--name", "redis-server"]);
    command.args(arguments).arg("--procs").arg(cgroup.procs());
    command.spawn().context("failed to start a program")
}

impl Life {
    /// Has the kernel kill a process of it.
    pub(crate) fn kill(&self) -> Result<()> {
        let mut victim = Running(program(&self.cgroup, &[])?);
        let start = Instant::now();
        while victim.0.try_wait().context("failed to wait for the victim")?.is_none() {
            if start.elapsed() > PATIENCE {
                bail!("failed to see a program killed for its limit of {LIMIT} bytes");
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Ends it, as a runtime does.
    pub(crate) fn end(self) -> Result<()> {
        let Self { holder, cgroup, bundle } = self;
        drop(Running(holder));
        drop(cgroup);
        fs::remove_dir_all(bundle).context("failed to remove a bundle")
    }
}
