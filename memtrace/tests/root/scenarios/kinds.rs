//! What the memory was: files, stacks, copies, the kernel's, or free and kept.

use std::process::{Command, Stdio};

use memtrace::oom::cause::CauseKind;
use tempfile::TempDir;

use super::{assert_parties, calm, judged, step_by_step};
use crate::fixture::{
    PATIENCE,
    cgroup::Cgroup,
    daemon::{Place, run},
    eventually, mib,
    program::Program,
    tree::tree,
};

/// A tmpfs of the test's own.
struct Tmpfs(TempDir);

impl Tmpfs {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=512m", "memtrace-test"]).arg(directory.path());
        assert!(mount.status().unwrap().success(), "mount needs root");
        Self(directory)
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_tmpfs_that_is_filled() {
    let place = Place::new();
    let _daemon = place.start(&[]);
    let group = Cgroup::new().limit(mib(64));
    let tmpfs = Tmpfs::new();
    let file = tmpfs.0.path().join("file");
    let program = Program::eat(&["cgroup", group.directory(), "write", file.to_str().unwrap()]);
    let (record, _) = judged(&place, program.pid(), CauseKind::FileOrTmpfs);
    let party = (program.pid(), &group);
    assert_parties(&record, &group, party, party);
    let mount = tmpfs.0.path().to_str().unwrap().to_owned();
    let cause = eventually("the mount is named", PATIENCE, || {
        place.record(program.pid()).circumstances.cause.filter(|cause| cause.sentence.contains(&mount))
    });
    assert!(cause.sentence.contains("a restart will not free them"), "{}", cause.sentence);
}

#[test]
fn thousands_of_thread_stacks() {
    let place = Place::new();
    let _daemon = place.start(&[]);
    let group = Cgroup::new().limit(mib(64));
    let program = Program::eat(&["cgroup", group.directory(), "threads", "6000", "grow"]);
    let (record, _) = judged(&place, program.pid(), CauseKind::ThreadStacks);
    let party = (program.pid(), &group);
    assert_parties(&record, &group, party, party);
}

/// As Redis does when it saves while it is written to.
#[test]
fn copies_after_a_fork() {
    let place = Place::new();
    let _daemon = place.start(&[]);
    let group = Cgroup::new().limit(mib(64));
    let mut program = Program::eat(&["cgroup", group.directory(), "adj", "100", "copy", "44"]);
    let child = program.number("child ");
    calm(&place, &program, mib(44));
    program.go_on();
    let killed = eventually("one of both is killed", PATIENCE, || {
        place
            .records()
            .into_iter()
            .map(|record| record.victim.task.tid)
            .find(|tid| [child, program.pid()].contains(tid))
    });
    let (record, cause) = judged(&place, killed, CauseKind::ForkCopyOnWrite);
    assert_parties(&record, &group, (killed, &group), (program.pid(), &group));
    assert!(cause.sentence.contains(&format!("({})", program.pid())), "{}", cause.sentence);
}

/// Redis itself.
#[test]
fn redis_that_saves_while_it_is_written_to() {
    let place = Place::new();
    let _daemon = place.start(&[]);
    let group = Cgroup::new().limit(mib(64));
    let tree = tree();
    let inside = tempfile::tempdir_in(format!("{tree}/tmp")).unwrap();
    let dir = format!("/tmp/{}", inside.path().file_name().unwrap().to_str().unwrap());
    // Each key that is saved takes a moment, so that the child is there for as long as it is written.
    let redis = Program::shell(&format!(
        "echo $$ > {}/cgroup.procs; exec chroot {tree} redis-server --port 0 --unixsocket {dir}/socket --save '' \
         --dir {dir} --rdb-key-save-delay 1000 --loglevel warning",
        group.directory()
    ));
    eventually("redis listens", PATIENCE, || inside.path().join("socket").exists().then_some(()));
    let client = |program: &str, arguments: &[&str]| {
        let mut command = Command::new("chroot");
        command.arg(&tree).args([program, "-s", &format!("{dir}/socket")]).args(arguments);
        command
    };
    let write = || {
        client(
            "redis-benchmark",
            &["-t", "set", "-n", "200000", "-r", "50000", "-d", "500", "-P", "64", "-q"],
        )
    };
    assert!(run(&mut write()).status.success());
    calm(&place, &redis, mib(36));
    let save = run(&mut client("redis-cli", &["bgsave"]));
    assert!(String::from_utf8_lossy(&save.stdout).contains("saving started"), "{save:?}");
    let child = eventually("it has a child", PATIENCE, || {
        group.processes().into_iter().find(|pid| *pid != redis.pid())
    });
    // It does not always end when its server does, and then tries again without end.
    let mut writer = write().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let killed = eventually("one of both is killed", PATIENCE, || {
        let victims = place.records().into_iter().filter_map(|record| record.victim.task.pid);
        victims.into_iter().find(|pid| [child, redis.pid()].contains(pid))
    });
    writer.kill().unwrap();
    writer.wait().unwrap();
    let (record, cause) = judged(&place, killed, CauseKind::ForkCopyOnWrite);
    // Both copy: who writes, and who reads while keys move.
    let trigger = record.trigger.task.pid.expect("it is known");
    assert!([child, redis.pid()].contains(&trigger), "{trigger}");
    assert_parties(&record, &group, (killed, &group), (trigger, &group));
    assert!(cause.sentence.contains(&format!("({})", redis.pid())), "{}", cause.sentence);
}

#[test]
fn pipes_full_of_data() {
    let place = Place::new();
    let _daemon = place.start(&[]);
    let group = Cgroup::new().limit(mib(64));
    let program = Program::eat(&["cgroup", group.directory(), "pipes"]);
    let (record, cause) = judged(&place, program.pid(), CauseKind::KernelMemory);
    let party = (program.pid(), &group);
    assert_parties(&record, &group, party, party);
    assert!(cause.sentence.contains("pipes"), "{}", cause.sentence);
}

#[test]
fn memory_that_the_allocator_keeps() {
    let place = Place::new();
    let _daemon = place.start(&[]);
    let group = Cgroup::new().limit(mib(64));
    let mut program = Program::eat(&["cgroup", group.directory(), "fragments", "48", "wait", "each", "1"]);
    program.ready();
    calm(&place, &program, mib(44));
    step_by_step(&mut program);
    let (record, cause) = judged(&place, program.pid(), CauseKind::AllocatorRetention);
    let party = (program.pid(), &group);
    assert_parties(&record, &group, party, party);
    assert!(cause.sentence.contains("glibc"), "{}", cause.sentence);
}
