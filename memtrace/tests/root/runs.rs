//! `memtrace run`, against the kernel's own marks and a shell's exit codes.

mod compared;
mod delegated;
mod limits;
mod moments;
mod saved;

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Output, Stdio},
};

use memtrace::{
    cgroup::hierarchy::{Hierarchy, Version},
    sizing::run::{End, Page, Peak},
    units::Grade,
};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::fixture::{PATIENCE, binary, cgroup::Cgroup, eventually, mib, program::Program, said};

/// A `memtrace run` in progress; its page goes to a file.
struct Started {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    dir: tempfile::TempDir,
}

/// memtrace with the default actions of signals: a shell starts what runs in its background with SIGINT ignored, nohup with
/// SIGHUP, and the command would inherit that.
#[expect(unsafe_code, reason = "what runs between fork and exec has no safe form")]
fn memtrace() -> Command {
    let mut command = Command::new(binary());
    let reset = || {
        for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM] {
            // SAFETY: signal(2) may be called between fork and exec, and the default action needs no code.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        Ok(())
    };
    // SAFETY: the closure makes system calls and allocates nothing.
    unsafe { command.pre_exec(reset) };
    command
}

fn start(options: &[&str], command: &[&str]) -> Started {
    let dir = tempfile::tempdir().unwrap();
    let mut child = memtrace()
        .args(["run", "--alone", "-o", "json", "--page"])
        .arg(dir.path().join("page"))
        .args(options)
        .arg("--")
        .args(command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    Started { stdin: child.stdin.take(), stdout, child, dir }
}

impl Started {
    fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for this line of the command.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn go_on(&mut self) {
        self.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn status(&mut self) -> ExitStatus {
        eventually("memtrace run ends", PATIENCE, || self.child.try_wait().unwrap())
    }

    /// Waits for the end; nothing is left.
    fn end(mut self) -> (ExitStatus, Page) {
        let status = self.status();
        nothing_is_left(self.pid());
        let page = fs::read_to_string(self.dir.path().join("page")).unwrap();
        (status, serde_json::from_str(&page).unwrap())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The directories of the groups that this process made.
fn groups(pid: u32) -> Vec<std::path::PathBuf> {
    let hierarchy = Hierarchy::find(Path::new("/proc")).unwrap().unwrap();
    let name = format!("/memtrace-run-{pid}-");
    let is_its = |path: &Vec<u8>| String::from_utf8_lossy(path).contains(&name);
    hierarchy.walk().into_values().filter(is_its).filter_map(|path| hierarchy.directory(&path)).collect()
}

/// The mark of a run that was killed at its limit is that limit; samples, where the kernel keeps no mark, are below it.
fn is_at_limit(peak: Peak, limit: u64) {
    match peak.grade {
        Grade::Read => assert_eq!(peak.bytes.0, limit),
        _ => assert!(peak.grade == Grade::Sampled && peak.bytes.0 <= limit, "{peak:?}"),
    }
}

fn nothing_is_left(pid: u32) {
    assert_eq!(groups(pid), [] as [&Path; 0]);
}

fn run(options: &[&str], command: &[&str]) -> (u32, Output) {
    let child = memtrace()
        .args(["run", "--alone"])
        .args(options)
        .arg("--")
        .args(command)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    (child.id(), child.wait_with_output().unwrap())
}

/// Options, a command, and the exit code or else the signal by which memtrace ends.
type Case<'a> = (&'a [&'a str], &'a [&'a str], Result<i32, i32>);

#[test]
fn exit_codes_are_those_of_the_command_and_five_for_memory() {
    let eat = Program::eat_path();
    let child_dies = format!("{eat} grow; exit 0");
    let table: &[Case<'_>] = &[
        (&[], &["true"], Ok(0)),
        (&[], &["sh", "-c", "exit 7"], Ok(7)),
        (&["--budget", "peak=1G,leak=none"], &["sh", "-c", "exit 3"], Ok(3)),
        (&["--repeat", "3"], &["true"], Ok(0)),
        (&["--repeat", "2"], &["false"], Ok(1)),
        (&[], &["/nowhere/to/be/found"], Ok(127)),
        (&[], &["memtrace-no-such-command"], Ok(127)),
        (&[], &["/etc/passwd"], Ok(126)),
        (&[], &["/"], Ok(126)),
        (&[], &["sh", "-c", "kill -TERM $$"], Err(15)),
        // Somebody killed it, and not for memory.
        (&[], &["sh", "-c", "kill -KILL $$"], Err(9)),
        (&["--memory-limit", "16M"], &[eat, "grow"], Ok(5)),
        (&["--memory-limit", "16M"], &["sh", "-c", &child_dies], Ok(5)),
        // Less than exec itself needs.
        (&["--memory-limit", "4096"], &["true"], Ok(5)),
        (&["--budget", "peak=1K"], &["true"], Ok(5)),
        (&["--budget", "peak=1K"], &["false"], Ok(5)),
        (&["--repeat", "0"], &["true"], Ok(2)),
        (&["--find-limit"], &["false"], Ok(1)),
    ];
    for (options, command, wanted) in table {
        let (pid, output) = run(options, command);
        let got = output.status.code().ok_or_else(|| output.status.signal().unwrap_or_default());
        assert_eq!(got, *wanted, "{options:?} {command:?}: {}", said(&output));
        nothing_is_left(pid);
    }
}

/// The mark is read by the test after the program has ended, before memtrace reads it.
#[test]
fn the_peak_is_the_kernels_own_mark_to_a_page_in_fifty_of_fifty() {
    let page_size = rustix::param::page_size() as u64;
    for size in 3..=52_u64 {
        // What waits at the end needs next to nothing, and keeps the group there for a look.
        let script =
            format!("exec 3<&0; {{ read line <&3; }} & {} touch {size}; echo ended", Program::eat_path());
        let mut started = start(&["--wait-all"], &["sh", "-c", &script]);
        assert_eq!(started.line(), "ended");
        let made = groups(started.pid());
        let [group] = &made[..] else { panic!("{made:?}") };
        let v1 = fs::read_to_string(group.join("memory.max_usage_in_bytes"));
        let mark = v1.or_else(|_| fs::read_to_string(group.join("memory.peak")));
        started.go_on();
        let (status, page) = started.end();
        assert!(status.success());
        let peak = page.runs[0].peak.unwrap();
        let Ok(mark) = mark else {
            // Cgroup v2 before Linux 5.19: there is none to compare with, and the page says so.
            assert_eq!(peak.grade, Grade::Sampled);
            return;
        };
        assert_eq!(peak.grade, Grade::Read);
        let (mark, peak) = (mark.trim().parse::<u64>().unwrap(), peak.bytes.0);
        assert!(peak.abs_diff(mark) <= page_size, "{peak} {mark}");
        assert!(peak >= mib(size));
    }
}

#[test]
fn input_and_output_are_the_commands() {
    let mut started = start(&[], &["cat"]);
    let mut input = started.stdin.take().unwrap();
    let sent: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_ne_bytes).collect();
    let copy = sent.clone();
    let writer = std::thread::spawn(move || input.write_all(&copy).unwrap());
    let mut got = Vec::new();
    started.stdout.read_to_end(&mut got).unwrap();
    writer.join().unwrap();
    assert_eq!(got.len(), sent.len());
    assert!(got == sent);
    assert!(started.end().0.success());
}

#[test]
fn a_gigabyte_of_output_goes_through_and_is_not_kept() {
    let mut started = start(&[], &["head", "-c", "1073741824", "/dev/zero"]);
    let mut chunk = vec![0; 1 << 20];
    let mut total = 0;
    loop {
        match started.stdout.read(&mut chunk).unwrap() {
            0 => break,
            read => total += read as u64,
        }
    }
    assert_eq!(total, 1 << 30);
    let (status, page) = started.end();
    assert!(status.success());
    assert!(page.runs[0].peak.unwrap().bytes.0 < mib(64));
}

#[test]
fn what_the_command_leaves_behind_is_killed_and_said() {
    let mut started = start(&[], &["sh", "-c", "setsid sleep 1000 >&- 2>&- <&- & echo $!; exit 3"]);
    let left: i32 = started.line().parse().unwrap();
    let (status, page) = started.end();
    assert_eq!((status.code(), page.runs[0].left), (Some(3), 1));
    eventually("it is gone", PATIENCE, || test_kill_process(Pid::from_raw(left)?).err());
}

#[test]
fn with_wait_all_the_memory_of_a_daemon_counts() {
    let script = format!("setsid {} touch 30 </dev/null & exit 0", Program::eat_path());
    let (status, page) = start(&["--wait-all"], &["sh", "-c", &script]).end();
    assert!(status.success());
    assert_eq!(page.runs[0].left, 0);
    assert!(page.runs[0].peak.unwrap().bytes.0 >= mib(30));
}

#[test]
fn a_command_that_leaves_its_cgroup_is_told() {
    let elsewhere = Cgroup::new();
    let command = [Program::eat_path(), "cgroup", elsewhere.directory(), "touch", "8", "wait"];
    let mut started = start(&[], &command);
    assert_eq!(started.line(), "ready");
    // It looks at the processes every half a second, and samples every 20 ms.
    let wakes = || {
        let status = fs::read_to_string(format!("/proc/{}/status", started.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.unwrap().trim().parse::<u64>().unwrap()
    };
    let before = wakes();
    eventually("it has looked", PATIENCE, || (wakes() > before + 100).then_some(()));
    started.go_on();
    let (status, page) = started.end();
    assert!(status.success());
    let [outside] = &page.runs[0].outside[..] else { panic!("{page:?}") };
    assert!(outside.contains("eat (pid ") && outside.ends_with(elsewhere.path()), "{outside}");
}

#[test]
fn groups_that_the_command_makes_below_its_own_are_emptied_and_removed() {
    let hierarchy = Hierarchy::find(Path::new("/proc")).unwrap().unwrap();
    let controller = if hierarchy.version == Version::V1 { ":memory:" } else { "0::" };
    let script = format!(
        "dir={}$(grep -F '{controller}' /proc/self/cgroup | cut -d: -f3); mkdir $dir/inner; \
         sleep 1000 >&- 2>&- & echo $! > $dir/inner/cgroup.procs; exit 0",
        hierarchy.mount.display()
    );
    let (status, page) = start(&[], &["sh", "-ec", &script]).end();
    assert!(status.success(), "{page:?}");
    assert_eq!(page.runs[0].left, 1);
}

#[test]
fn a_kill_is_told_with_the_limit_and_what_was_charged() {
    let (status, page) =
        start(&["--memory-limit", "32M"], &[Program::eat_path(), "touch", "8", "grow"]).end();
    assert_eq!(status.code(), Some(5));
    let run = &page.runs[0];
    assert_eq!((run.end, run.oom_kills), (End::Signalled(9), Some(1)));
    assert!(run.limit_hits.unwrap() > 0);
    is_at_limit(run.peak.unwrap(), mib(32));
}

#[test]
fn what_is_missing_is_told_with_how_to_get_it() {
    let hierarchy = Hierarchy::find(Path::new("/proc")).unwrap().unwrap();
    let mount = hierarchy.mount.display();
    let own = binary();
    let own = own.display();
    let isolated = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-ec", script]);
        command.output().unwrap()
    };
    let read_only = isolated(&format!("mount -o bind,remount,ro {mount}; exec {own} run -- true"));
    assert_eq!(read_only.status.code(), Some(4), "{}", said(&read_only));
    assert!(said(&read_only).contains("cgroupfs is read-only here"), "{}", said(&read_only));
    let none = isolated(&format!("umount -lR /sys/fs/cgroup; exec {own} run -- true"));
    assert_eq!(none.status.code(), Some(1), "{}", said(&none));
    assert!(said(&none).contains("no memory controller is mounted"), "{}", said(&none));
    // A user who owns nothing; the binary is copied to where that user may go.
    let dir =
        tempfile::Builder::new().permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755)).tempdir();
    let copy = dir.as_ref().unwrap().path().join("memtrace");
    fs::copy(binary(), &copy).unwrap();
    let output = Command::new(&copy).args(["run", "--", "true"]).uid(65_534).gid(65_534).output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    assert!(said(&output).contains("failed to make a cgroup in") && said(&output).contains("sudo"));
}
