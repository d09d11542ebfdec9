//! Mounts that never answer.

use std::{path::Path, process::Command};

use memtrace::oom::record::circumstances::Composition;
use tempfile::TempDir;

use crate::{
    afterwards::{Held, children, it_is_well, nothing_is_left},
    files::compile,
    fixture::{PATIENCE, cgroup::Cgroup, daemon::Place, eventually, mib, program::Program},
};

/// A victim that fills a tmpfs in a mount namespace of its own, below a directory that never answers once it is there.
struct Scene {
    directory: TempDir,
    victim: Program,
    /// Says that it is mounted.
    hang: Program,
}

impl Scene {
    fn new(group: &Cgroup, how: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (path, cgroup) = (directory.path().display(), group.directory());
        let (hang, eat) = (compile("hang", &[]), Program::eat_path());
        std::fs::create_dir(directory.path().join("over")).unwrap();
        // The file is open before its way is closed; the write begins when the way is.
        let victim = Program::shell(&format!(
            "exec unshare -m sh -ec '
                mkdir {path}/over/tmpfs; mount -t tmpfs -o size=512m victim {path}/over/tmpfs
                exec 3>{path}/over/tmpfs/file; echo ready; read line
                exec {eat} cgroup {cgroup} adj 500 write /proc/self/fd/3'"
        ));
        assert_eq!(victim.line(), "ready");
        // It survives the kill, in the same group: whoever looks has somebody to look at.
        let hang = Program::shell(&format!(
            "echo $$ > {cgroup}/cgroup.procs
             exec nsenter -m -t {} {} {path}/over {how} </dev/null",
            victim.pid(),
            hang.display()
        ));
        assert_eq!(hang.line(), "mounted");
        Self { directory, victim, hang }
    }
}

fn composition(place: &Place, pid: u32) -> Option<Composition> {
    place.record(pid).circumstances.composition
}

#[test]
fn a_mount_that_never_answers_costs_its_own_mounts_and_nothing_else() {
    let place = Place::new();
    let daemon = place.start(&[]);
    it_is_well(&place);
    let before = Held::by(&daemon);
    let group = Cgroup::new().limit(mib(64));
    let mut scene = Scene::new(&group, "early");
    scene.victim.go_on();
    let why = eventually("it is said why its mounts are not known", PATIENCE, || {
        composition(&place, scene.victim.pid()).and_then(|composition| composition.tmpfs_not_read)
    });
    assert!(why.contains("no answer within 2 s") || why.contains("did not come back"), "{why}");
    it_is_well(&place);
    // What is full is watched, with a file or two.
    drop((scene, group));
    nothing_is_left(&daemon, &before);
}

#[test]
fn a_reader_that_cannot_be_killed_is_given_up_and_counted() {
    let place = Place::new();
    let daemon = place.start(&["--listen", "127.0.0.1:0"]);
    it_is_well(&place);
    let before = Held::by(&daemon);
    let group = Cgroup::new().limit(mib(64));
    let mut scene = Scene::new(&group, "late");
    scene.victim.go_on();
    eventually("it is said why its mounts are not known", PATIENCE, || {
        composition(&place, scene.victim.pid()).and_then(|composition| composition.tmpfs_not_read)
    });
    let stuck = eventually("a reader is stuck", PATIENCE, || {
        children(&daemon).into_iter().find(|pid| is_in_the_kernel(*pid))
    });
    it_is_well(&place);
    drop(scene.hang);
    eventually("it is gone once the file system is", PATIENCE, || {
        it_is_well(&place);
        (!Path::new(&format!("/proc/{stuck}")).exists()).then_some(())
    });
    nothing_is_left(&daemon, &before);
    drop(scene.directory);
}

/// Killed, and not dead: it waits for an answer.
fn is_in_the_kernel(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.contains(") D ")
}

/// What these tests need of the machine, said before they fail for the want of it.
#[test]
fn this_kernel_has_fuse() {
    let status = Command::new("modprobe").arg("fuse").status();
    assert!(Path::new("/dev/fuse").exists(), "no /dev/fuse, and modprobe said {status:?}");
}
