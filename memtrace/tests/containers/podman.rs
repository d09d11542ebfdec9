//! Containers that no kubelet made: named by podman's API, which is Docker's. A service of the tests' own, on a root of its
//! own.

use std::{
    fs,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustix::process::{Signal, kill_process};
use tempfile::TempDir;

use crate::{
    fixture::{PATIENCE, daemon::Place, eventually, memtrace, mib, said},
    kills::of,
    names::first,
    runtime::remove_cgroups,
};

struct Podman {
    directory: TempDir,
    service: Child,
    /// The cgroup above all its containers.
    parent: String,
}

impl Podman {
    fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("mtp").tempdir().unwrap();
        let images = std::env::var_os("MEMTRACE_TEST_IMAGES").expect("`cargo xtask test` makes the images");
        // Instead of the host's.
        fs::write(directory.path().join("containers.conf"), "").unwrap();
        fs::create_dir_all(directory.path().join("run/podman")).unwrap();
        let socket = socket(directory.path());
        run(directory.path(), &["load", "--input", Path::new(&images).join("busybox.tar").to_str().unwrap()]);
        let service = command(directory.path())
            .args(["system", "service", "--time=0", &format!("unix://{}", socket.display())])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        eventually("podman's service answers", PATIENCE, || UnixStream::connect(&socket).ok());
        Self { directory, service, parent: format!("/memtrace-test-podman-{}", std::process::id()) }
    }

    fn root(&self) -> &Path {
        self.directory.path()
    }

    fn stop_service(&mut self) {
        let _ = self.service.kill();
        let _ = self.service.wait();
    }

    /// Runs a script in a container, and returns the container's id.
    fn run(&self, name: &str, script: &str, limit: u64) -> String {
        let (parent, limit) = (&self.parent, limit.to_string());
        let arguments = ["run", "--detach", "--pull=never", "--network=host", "--cgroup-parent", parent];
        // Its own defaults are more than a machine may allow.
        let limits = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024", "--memory", &limit];
        let program = ["--name", name, "docker.io/local/busybox:1", "/bin/sh", "-c", script];
        run(self.root(), &[&arguments[..], &limits, &program].concat()).trim().to_owned()
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        self.stop_service();
        let _ = command(self.root()).args(["rm", "--force", "--time=0", "--all"]).output();
        remove_cgroups(&self.parent);
    }
}

fn socket(root: &Path) -> PathBuf {
    root.join("run/podman/podman.sock")
}

fn command(root: &Path) -> Command {
    let mut command = Command::new("podman");
    // Its monitor leaves a file called `oom` where it was started.
    command.current_dir(root).env("CONTAINERS_CONF", root.join("containers.conf"));
    for (option, directory) in [("--root", "root"), ("--runroot", "runroot"), ("--tmpdir", "tmp")] {
        command.arg(option).arg(root.join(directory));
    }
    command.args([
        "--cgroup-manager=cgroupfs",
        "--storage-driver=vfs",
        "--events-backend=none",
        "--runtime=runc",
    ]);
    command
}

fn run(root: &Path, arguments: &[&str]) -> String {
    let output = command(root).args(arguments).output().expect("podman is installed");
    assert!(output.status.success(), "podman {arguments:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn podmans_containers_have_names_and_podmans_word_on_their_end() {
    let mut podman = Podman::start();
    let place = Place::new();
    let root = podman.root().to_str().unwrap().to_owned();
    let _daemon = place.start(&["--host-root", &root]);
    // It lives until it is told to eat.
    let id = podman.run("web", "trap 'exec tail /dev/zero' USR1; while :; do sleep 0.1; done", mib(32));
    let cgroup = format!("{}/libpod-{id}", podman.parent);
    let named = |what: &str| {
        eventually(what, PATIENCE, || {
            let rows = place.top().containers;
            rows.into_iter().find(|row| row.cgroup == cgroup)?.name.filter(|name| name.image.is_some())
        })
    };
    let name = named("podman's name");
    assert_eq!(name.label().as_deref(), Some("web"));
    assert_eq!(name.image.as_deref(), Some("docker.io/local/busybox:1"));
    assert_eq!((name.runtime.as_deref(), name.source.as_deref()), (Some("podman"), Some("docker")));
    let doctor = said(&memtrace(&["doctor", "--host-root", &root]));
    let line = format!("{}: podman names 1 containers", socket(podman.root()).display());
    assert!(doctor.contains(&line), "{doctor}");

    kill_process(first(&cgroup), Signal::USR1).unwrap();
    let outcome = eventually("the runtime's word", PATIENCE, || {
        let outcome = of(&place, &cgroup).pop()?.circumstances.outcome;
        outcome.filter(|outcome| outcome.runtime_exit_code.is_some())
    });
    let record = of(&place, &cgroup).pop().unwrap();
    let name = record.circumstances.container.unwrap();
    assert_eq!((name.label().as_deref(), name.container_id.as_deref()), (Some("web"), Some(id.as_str())));
    assert_eq!(record.limit_owner.unwrap().path.as_deref(), Some(cgroup.as_str()));
    // It may not have noticed why: what it says is what stands there.
    let said = run(podman.root(), &["inspect", "--format", "{{.State.OOMKilled}} {{.State.ExitCode}}", &id]);
    let (is_oom, code) = said.trim().split_once(' ').unwrap();
    assert_eq!(outcome.runtime_exit_code, Some(code.parse().unwrap()));
    assert_eq!(outcome.runtime_reason.as_deref(), Some(if is_oom == "true" { "OOMKilled" } else { "Error" }));

    let id = podman.run("next", "sleep 1000", mib(32));
    let cgroup = format!("{}/libpod-{id}", podman.parent);
    let next = || place.top().containers.into_iter().find(|row| row.cgroup == cgroup)?.name?.label();
    eventually("the next one's name", PATIENCE, || next().filter(|name| name == "next"));
    podman.stop_service();
    let before = place.top().time;
    eventually("snapshots without the service", PATIENCE, || {
        (place.top().time.duration_since(before).as_secs() >= 5).then_some(())
    });
    assert_eq!(next().as_deref(), Some("next"), "a service that ends takes no name away");
}
