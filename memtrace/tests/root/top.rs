//! `memtrace top --once`: what it shows of a process is what /proc and the cgroup say.

use std::process::Command;

use jiff::Timestamp;
use memtrace::{cgroup::memcg::Limit, snapshot::Snapshot, units::Bytes};
use rustix::process::Signal;

use crate::fixture::{
    PATIENCE, binary, cgroup::Cgroup, daemon::Place, eventually, memtrace, mib, program::Program, said,
};

#[test]
fn a_process_its_cgroup_and_its_growth() {
    let place = Place::new();
    let daemon = place.start(&[]);
    let parent = Cgroup::new().limit(mib(256));
    let group = parent.child("inner").limit(mib(512));
    let steps =
        ["cgroup", group.directory(), "comm", "686f6c646572", "touch", "100", "wait", "touch", "50", "wait"];
    let mut holder = Program::eat(&steps);
    holder.ready();
    let resident = holder.resident_bytes();
    assert!(resident > mib(100), "the program did what it was told");
    let is_near = |resident: u64| {
        move |bytes: Option<Bytes>| bytes.is_some_and(|bytes| bytes.0.abs_diff(resident) <= resident / 20)
    };
    let row = daemon.row("a process with its memory and cgroup", holder.pid(), |row| {
        is_near(resident)(row.rss_bytes)
            && row.cgroup.as_deref() == Some(group.path())
            && row.comm == "holder"
    });
    assert_eq!(row.uid, Some(0));
    // The parent's is the lower one.
    assert_eq!(row.limit, Some(Limit { bytes: Bytes(mib(256)), owner: parent.path().to_owned() }));

    holder.go_on();
    holder.ready();
    let resident = holder.resident_bytes();
    let row = daemon.row("its growth", holder.pid(), |row| is_near(resident)(row.rss_bytes));
    let (rate, window) = (row.growth_bytes_per_second.unwrap(), row.growth_window_seconds.unwrap());
    assert!(rate > 0.0 && rate * window >= mib(49) as f64, "{rate} B/s over {window} s");

    let table = place.run_top(&["--by", "process", "--top", "100000", "--fields", "pid,comm,rss,limit"]);
    let text = said(&table);
    let line = text.lines().find(|line| line.split_whitespace().next() == Some(&holder.pid().to_string()));
    let line = line.unwrap_or_else(|| panic!("no line for {} in {text}", holder.pid()));
    assert!(line.contains("holder") && line.contains("256.0 MiB"), "{line}");
    assert!(text.contains("losses: none") || text.contains(" (throttled)\n"), "{text}");
}

#[test]
fn the_next_daemon_shows_what_the_last_one_saw() {
    let place = Place::new();
    let mut daemon = place.start(&[]);
    let parent = Cgroup::new();
    let group = parent.child("gone").limit(mib(512));
    let holder = Program::eat(&["cgroup", group.directory(), "touch", "100", "wait"]);
    holder.ready();
    let usage_at = |time: Timestamp| {
        let then = place.run_top(&["--at", &time.to_string(), "-o", "json"]);
        let snapshot: Snapshot = serde_json::from_slice(&then.stdout).ok()?;
        let row = snapshot.containers.into_iter().find(|row| row.cgroup == group.path())?;
        row.usage_bytes.filter(|usage| usage.0 > mib(100))
    };
    let (time, usage) = eventually("history has it", PATIENCE, || {
        let time = place.top().time;
        Some((time, usage_at(time)?))
    });
    daemon.signal(Signal::TERM);
    assert!(daemon.end().success());
    drop((holder, daemon));
    let _next = place.start(&[]);
    // Of the second itself, or what its ten seconds were at most.
    let after = usage_at(time).expect("the next daemon knows it");
    assert!(after >= usage && after.0 < mib(512), "{usage:?} became {after:?}");
}

#[test]
fn without_a_daemon_it_reads_proc_and_says_so() {
    let program = Program::eat(&["touch", "20", "wait"]);
    program.ready();
    // Nobody is at the usual place: this host's /run may have a daemon.
    let top = |arguments: &[&str]| {
        let script = "mount -t tmpfs none /run && exec \"$0\" top --once \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script]).arg(binary()).args(arguments);
        command.env_remove("MEMTRACE_SOCKET").output().unwrap()
    };
    let table = top(&["--by", "process", "--top", "100000"]);
    assert!(table.status.success(), "{}", said(&table));
    assert!(said(&table).contains("no daemon: read from /proc alone, without probes"), "{}", said(&table));
    let json = top(&["-o", "json"]);
    let snapshot: Snapshot = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(snapshot.tracer, None);
    let row = snapshot.processes.iter().find(|row| row.pid == program.pid()).expect("the program is listed");
    assert_eq!(row.rss_bytes, Some(Bytes(program.resident_bytes())));
}

#[test]
fn a_socket_that_is_named_and_not_there_is_an_error() {
    let place = Place::new();
    let socket = place.socket().display().to_string();
    let named = |arguments: &[&str]| memtrace(&[arguments, &["--socket", &socket]].concat());
    for arguments in [&["top", "--once"][..], &["explain", "1"], &["doctor"], &["health"]] {
        let output = named(arguments);
        assert_eq!(output.status.code(), Some(3), "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains(&format!("no daemon answers at {socket}")), "{}", said(&output));
    }
    assert!(said(&named(&["doctor"])).contains("memtrace works here"), "it is printed all the same");
}

#[test]
fn something_else_at_the_socket_is_an_error() {
    let place = Place::new();
    let file = place.file("not-a-socket");
    std::fs::write(&file, "").unwrap();
    let below = file.join("memtrace.sock");
    // A file is refused like a socket that nobody listens at; a path through a file cannot even be asked.
    let output = memtrace(&["top", "--once", "--socket", below.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains(below.to_str().unwrap()), "{}", said(&output));
    assert!(!said(&output).contains("panicked"), "{}", said(&output));
}
