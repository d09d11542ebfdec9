//! A user to whom root has given a memory cgroup: `memtrace run` needs no root there.

use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::Path,
    process::{Command, Output},
};

use memtrace::sizing::run::Page;

use super::is_at_limit;
use crate::fixture::{binary, cgroup::Cgroup, mib, program::Program, said};

/// Owns nothing.
const NOBODY: u32 = 65_534;

/// Runs a program in the group as that user. The group is entered as root: who moves a process must be allowed to write to
/// the group that it is in.
#[expect(unsafe_code, reason = "what runs between fork and exec has no safe form")]
fn as_nobody(group: &str, program: &Path, words: &[&str]) -> Output {
    let procs = format!("{group}/cgroup.procs");
    let mut command = Command::new(program);
    let enter = move || {
        fs::write(&procs, "0")?;
        // SAFETY: plain system calls; the groups are an empty list.
        let outcome =
            unsafe { libc::setgroups(0, std::ptr::null()) | libc::setgid(NOBODY) | libc::setuid(NOBODY) };
        if outcome == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    };
    // SAFETY: this process has other threads, but none that holds a lock of the allocator while it forks: the tests run
    // one by one.
    unsafe { command.pre_exec(enter) };
    command.args(words).output().unwrap()
}

#[test]
fn a_group_that_was_given_to_a_user_is_enough() {
    let given = Cgroup::new();
    let group = given.directory();
    // What cgroup-v2.rst names for delegation; v1 has the same without the second.
    for name in ["", "cgroup.subtree_control", "cgroup.procs", "cgroup.threads", "tasks"] {
        let file = Path::new(group).join(name);
        if file.exists() {
            chown(&file, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
    // Where that user may go.
    let dir = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir().unwrap();
    let copy = |from: &str, name: &str| {
        let to = dir.path().join(name);
        fs::copy(from, &to).unwrap();
        fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).unwrap();
        to
    };
    let memtrace = copy(&binary().to_string_lossy(), "memtrace");
    let eat = copy(Program::eat_path(), "eat");
    let run = |options: &[&str], words: &[&str]| {
        let all = [&["run", "--alone", "-o", "json"], options, &["--"], words].concat();
        as_nobody(group, &memtrace, &all)
    };
    let own_code = run(&[], &["sh", "-c", "exit 7"]);
    assert_eq!(own_code.status.code(), Some(7), "{}", said(&own_code));
    let killed = run(&["--memory-limit", "16M"], &[&eat.to_string_lossy(), "grow"]);
    assert_eq!(killed.status.code(), Some(5), "{}", said(&killed));
    let page: Page = serde_json::from_slice(&killed.stderr).unwrap();
    assert_eq!(page.runs[0].oom_kills, Some(1));
    is_at_limit(page.runs[0].peak.unwrap(), mib(16));
    // As it was: no group below it, and its controllers are its own.
    let below = fs::read_dir(group).unwrap().flatten().filter(|entry| entry.path().is_dir()).count();
    assert_eq!(below, 0);
    let control = fs::read_to_string(Path::new(group).join("cgroup.subtree_control")).unwrap_or_default();
    assert_eq!(control.trim(), "");
}
