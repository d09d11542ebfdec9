//! A daemon's start and end: one a state directory, clean at a signal, whole again after a crash.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, net::UnixDatagram, process::CommandExt as _},
    process::Command,
};

use rustix::{process::Signal, thread::CapabilitySet};

use crate::fixture::{
    PATIENCE, binary,
    cgroup::Cgroup,
    daemon::{Place, is_gone, run},
    eventually, mib,
    program::Program,
    said,
};

/// `nobody`, everywhere.
const NOBODY: u32 = 65534;

/// A kill in a cgroup of its own; returns the victim's pid.
fn kill_one() -> u32 {
    let group = Cgroup::new().limit(mib(16));
    let mut program = Program::eat(&["cgroup", group.directory(), "grow"]);
    program.end();
    program.pid()
}

fn tracefs_mounts() -> usize {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    mounts.lines().filter(|line| line.contains(" - tracefs ")).count()
}

#[test]
fn a_second_daemon_is_refused() {
    let place = Place::new();
    let daemon = place.start(&[]);
    let output = run(&mut place.command(&[]));
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let state = place.state();
    assert!(
        said(&output).contains(&format!("uses the state directory {}", state.display())),
        "{}",
        said(&output)
    );
    // The first one is none the worse.
    assert!(daemon.tracer().hooks_attached > 0);
}

#[test]
fn a_signal_ends_it_cleanly_and_leaves_no_trace() {
    let mounts = tracefs_mounts();
    for signal in [Signal::TERM, Signal::INT] {
        let place = Place::new();
        let mut daemon = place.start(&[]);
        assert!(!is_gone(&place.socket()));
        daemon.signal(signal);
        assert_eq!(daemon.end().code(), Some(0), "{signal:?}: {}", daemon.log());
        assert!(is_gone(&place.socket()), "{signal:?}");
        assert_eq!(tracefs_mounts(), mounts);
    }
}

#[test]
fn the_service_manager_hears_that_it_is_ready_alive_and_stopping() {
    let place = Place::new();
    let socket = place.file("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let hears = || {
        let mut said = [0; 64];
        let length = manager.recv(&mut said).unwrap();
        String::from_utf8(said[..length].to_vec()).unwrap()
    };
    let mut manages = Command::new("env");
    manages.arg(format!("NOTIFY_SOCKET={}", socket.display())).arg("WATCHDOG_USEC=4000000");
    let mut daemon = place.start_in(manages, &["--no-backfill"]);
    assert_eq!(hears(), "READY=1");
    for _ in 0..3 {
        assert_eq!(hears(), "WATCHDOG=1");
    }
    daemon.signal(Signal::TERM);
    let last = std::iter::repeat_with(hears).find(|said| said != "WATCHDOG=1");
    assert_eq!(last.as_deref(), Some("STOPPING=1"));
    assert_eq!(daemon.end().code(), Some(0), "{}", daemon.log());
}

#[test]
fn a_crash_loses_nothing_that_was_stored() {
    let place = Place::new();
    let mut daemon = place.start(&[]);
    let first = place.record(kill_one()).id;
    daemon.signal(Signal::KILL);
    daemon.end();
    assert!(!is_gone(&place.socket()), "a crash leaves the socket");
    // How it ended may be added to it meanwhile.
    let ids = || place.records().into_iter().map(|record| record.id).collect::<Vec<_>>();
    assert_eq!(ids(), std::slice::from_ref(&first));

    let daemon = place.start(&[]);
    let second = place.record(kill_one()).id;
    assert_eq!(ids(), [second, first]);
    eventually("it counts those since it runs", PATIENCE, || (daemon.tracer().kills == 1).then_some(()));
}

/// Without rights it says which it lacks.
#[test]
fn nobody_may_not_trace() {
    let place = Place::new();
    // Where the binary is may be closed to others.
    let copy = place.file("memtrace");
    fs::copy(binary(), &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    let home = place.file("home");
    fs::create_dir(&home).unwrap();
    std::os::unix::fs::chown(&home, Some(NOBODY), Some(NOBODY)).unwrap();
    fs::set_permissions(home.parent().unwrap(), fs::Permissions::from_mode(0o755)).unwrap();
    let (state, socket) = (home.join("state"), home.join("socket"));
    let daemon = ["daemon", "--state-dir", state.to_str().unwrap(), "--socket", socket.to_str().unwrap()];
    for arguments in [&daemon[..], &["doctor"]] {
        let output = run(Command::new(&copy).args(arguments).uid(NOBODY).gid(NOBODY));
        assert_eq!(output.status.code(), Some(4), "{arguments:?}: {}", said(&output));
        for name in ["CAP_BPF", "CAP_PERFMON"] {
            assert!(said(&output).contains(name), "{arguments:?}: {}", said(&output));
        }
    }
}

#[test]
fn a_state_directory_that_cannot_be_is_named() {
    let place = Place::new();
    fs::write(place.state(), "in the way").unwrap();
    let output = run(&mut place.command(&[]));
    assert!(matches!(output.status.code(), Some(1 | 4)), "{}", said(&output));
    assert!(said(&output).contains(&place.state().display().to_string()), "{}", said(&output));
    assert!(is_gone(&place.socket()));
}

#[test]
fn a_directory_of_everybody_is_refused_for_the_state_and_for_the_socket() {
    for of_the_socket in [false, true] {
        let place = Place::new();
        let run_dir = place.socket().parent().unwrap().to_path_buf();
        let open = if of_the_socket { run_dir.clone() } else { place.state() };
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        let output = run(&mut place.command(&["--no-backfill"]));
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        let text = said(&output);
        assert!(text.contains("verybody") && text.contains(open.to_str().unwrap()), "{text}");
        assert!(is_gone(&place.socket()));
    }
    // As /tmp is: nobody can put another socket in its place.
    let place = Place::new();
    let run_dir = place.socket().parent().unwrap().to_path_buf();
    fs::create_dir(&run_dir).unwrap();
    fs::set_permissions(&run_dir, fs::Permissions::from_mode(0o1777)).unwrap();
    drop(place.start(&[]));
}

/// Of every thread, as the kernel has it: what is needed for the work, and nothing of what only the start needs.
#[test]
fn a_daemon_at_work_has_given_up_what_it_does_not_need() {
    const KEPT: [&str; 5] =
        ["CAP_BPF", "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH", "CAP_SYSLOG", "CAP_CHECKPOINT_RESTORE"];
    let bit = |name: &str| CapabilitySet::from_name(name.strip_prefix("CAP_").unwrap()).unwrap().bits();
    let kept = KEPT.iter().fold(0, |all, name| all | bit(name));
    let place = Place::new();
    let daemon = place.start(&[]);
    let mut threads = 0;
    for thread in fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap() {
        // One that has ended meanwhile has no status.
        let Ok(status) = fs::read_to_string(thread.unwrap().path().join("status")) else { continue };
        for set in ["CapPrm:", "CapEff:", "CapInh:"] {
            let line = status.lines().find_map(|line| line.strip_prefix(set)).unwrap();
            let has = u64::from_str_radix(line.trim(), 16).unwrap();
            assert_eq!(has & !kept, 0, "{status}");
            assert!(set == "CapInh:" || has == kept, "root has them all here: {status}");
        }
        // A filter of system calls, and no way to more rights.
        assert!(status.contains("NoNewPrivs:\t1\n") && status.contains("Seccomp:\t2\n"), "{status}");
        threads += 1;
    }
    assert!(threads > 3, "{threads} threads");
    // And it still sees.
    place.record(kill_one());
}
