//! One kill at a time: the record says what the kernel said of the same kill.

use std::fs;

use memtrace::{
    oom::record::{Loss, OomRecord, ScopeKind},
    text::escape,
    units::{Bytes, Grade},
};
use rustix::process::Signal;

use crate::{
    fixture::{
        PATIENCE,
        cgroup::Cgroup,
        daemon::Place,
        eventually,
        kernel_log::{KernelLog, Killed, Report},
        memtrace, mib,
        program::Program,
        said, unexpected,
    },
    schema_check,
};

/// Pages that may be charged or given back between the kernel's report and its mark.
const SLACK: u64 = 64 * 4096;

/// The figures of the "Killed process" line.
fn assert_same_figures(record: &OomRecord, killed: &Killed) {
    let (task, memory) = (&record.victim.task, &record.victim.memory);
    let kib = |kib| Some(Bytes::from_kib(kib));
    assert_eq!(task.tid, killed.tid);
    assert_eq!(task.comm, escape(&killed.comm));
    assert_eq!(task.uid, Some(killed.uid));
    assert_eq!(task.oom_score_adj, Some(killed.oom_score_adj));
    assert_eq!(
        [memory.virtual_bytes, memory.anon_bytes, memory.file_bytes, memory.shmem_bytes],
        [kib(killed.total_vm), kib(killed.anon), kib(killed.file), kib(killed.shmem)],
        "mapped, anonymous, file, shared"
    );
    // The log rounds down to kB.
    assert_eq!(memory.page_table_bytes.map(|bytes| bytes.0 / 1024), Some(killed.pgtables));
}

/// Whose limit it was, and whose cgroup the victim's.
fn assert_same_groups(record: &OomRecord, report: &Report) {
    assert_eq!(record.scope.kind, ScopeKind::Memcg);
    assert_eq!(record.scope.grade, Grade::Read);
    let owner = record.limit_owner.as_ref().expect("the owner is known");
    assert_eq!(owner.path.as_ref(), Some(&report.oom_memcg));
    assert_eq!(owner.grade, Grade::Read);
    assert_eq!(owner.limit_bytes, Some(Bytes::from_kib(report.limit)));
    assert!(owner.usage_bytes.unwrap().0.abs_diff(report.usage * 1024) <= SLACK, "{owner:?} {report:?}");
    // Where failed charges are not counted the log has the hits.
    assert_eq!(owner.fail_count.or(owner.limit_hits), Some(report.fail_count));
    assert_eq!(record.victim.task.cgroup.as_ref(), Some(&report.task_memcg));
    assert_eq!(record.chain[0].path.as_ref(), Some(&report.task_memcg));
    assert_eq!(record.chain.last().unwrap().path.as_deref(), Some("/"));
    assert_eq!(unexpected(&record.evidence.losses), [] as [&Loss; 0]);
    assert_eq!(record.evidence.unknown, [] as [&str; 0]);
}

#[test]
fn a_process_over_its_own_limit() {
    let place = Place::new();
    let _daemon = place.start(&[]);
    let group = Cgroup::new().limit(mib(64));
    let file = place.file("mapped");
    fs::write(&file, vec![1; 3 << 20]).unwrap();
    let mut log = KernelLog::from_now();
    let steps = ["cgroup", group.directory(), "adj", "123", "uid", "4711", "comm", "677265656479"];
    let held = ["shmem", "5", "file", file.to_str().unwrap(), "wait", "grow"];
    let mut greedy = Program::eat(&[steps.as_slice(), &held].concat());
    greedy.ready();
    greedy.go_on();
    let (killed, report) = log.kill(greedy.pid());
    let record = place.record(greedy.pid());

    assert_same_figures(&record, &killed);
    assert_same_groups(&record, &report);
    let task = &record.victim.task;
    assert_eq!((task.pid, task.comm.as_str(), task.uid), (Some(greedy.pid()), "greedy", Some(4711)));
    assert!(
        killed.shmem >= 5 << 10 && killed.anon >= 40 << 10,
        "the program did what it was told: {killed:?}"
    );
    assert_eq!(report.oom_memcg, group.path());
    assert!(record.trigger.is_victim);
    assert_eq!(record.trigger.task, record.victim.task);

    let owner = record.limit_owner.as_ref().unwrap();
    assert_eq!(owner.limit_bytes, Some(Bytes(group.limit_bytes())));
    assert_eq!(owner.peak_bytes, Some(Bytes(group.peak_bytes())));
    // It goes on counting while the victim dies.
    assert!((1..=group.limit_hits()).contains(&owner.limit_hits.unwrap()), "{owner:?}");
    let level = &record.chain[0];
    assert_eq!((level.oom_kills, level.oom_events), (Some(group.oom_kills()), Some(1)));
    assert_eq!(fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim(), record.boot_id);

    let state = place.state();
    let shown = |format: &str| {
        let place = ["report", "--state-dir", state.to_str().unwrap(), "show", &record.id];
        let output = memtrace(&[&place[..], &["-o", format]].concat());
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(schema_check::faults(&serde_json::from_str(&shown("json")).unwrap()), [] as [&str; 0]);
    let page = shown("html");
    assert!(page.len() < 1 << 20 && page.contains(&record.id), "{} bytes", page.len());
    assert!(shown("markdown").contains(&record.id));
}

/// The large process is preferred for its score; the small one only asked for the page that was too much.
#[test]
fn the_trigger_is_not_the_victim() {
    let place = Place::new();
    let _daemon = place.start(&[]);
    let parent = Cgroup::new().limit(mib(64));
    let (big_group, small_group) = (parent.child("c"), parent.child("d"));
    let mut log = KernelLog::from_now();
    let big = Program::eat(&["cgroup", big_group.directory(), "adj", "500", "touch", "40", "wait"]);
    big.ready();
    let small =
        Program::eat(&["cgroup", small_group.directory(), "comm", "736d616c6c", "touch", "30", "wait"]);
    let (killed, report) = log.kill(big.pid());
    let record = place.record(big.pid());

    assert_same_figures(&record, &killed);
    assert_same_groups(&record, &report);
    assert_eq!((report.oom_memcg.as_str(), report.task_memcg.as_str()), (parent.path(), big_group.path()));
    assert_eq!(record.victim.task.pid, Some(big.pid()));
    assert!(!record.trigger.is_victim);
    let trigger = &record.trigger.task;
    assert_eq!((trigger.pid, trigger.comm.as_str()), (Some(small.pid()), "small"));
    assert_eq!(report.invoker, b"small");
    assert_eq!(trigger.cgroup.as_deref(), Some(small_group.path()));
}

#[test]
fn the_limit_is_three_levels_up() {
    let place = Place::new();
    let _daemon = place.start(&[]);
    let top = Cgroup::new().limit(mib(32));
    // A limit on the way that is not the one that is hit.
    let (b, c, d);
    b = top.child("b");
    c = b.child("c").limit(mib(256));
    d = c.child("d");
    let mut log = KernelLog::from_now();
    let program = Program::eat(&["cgroup", d.directory(), "grow"]);
    let (killed, report) = log.kill(program.pid());
    let record = place.record(program.pid());

    assert_same_figures(&record, &killed);
    assert_same_groups(&record, &report);
    assert_eq!(record.limit_owner.unwrap().path.as_deref(), Some(top.path()));
    let paths: Vec<_> = record.chain.iter().take(4).map(|level| level.path.as_deref().unwrap()).collect();
    assert_eq!(paths, [d.path(), c.path(), b.path(), top.path()]);
    let limits: Vec<_> = record.chain.iter().take(4).map(|level| level.limit_bytes).collect();
    assert_eq!(limits, [None, Some(Bytes(mib(256))), None, Some(Bytes(mib(32)))]);
}

/// The first thread has ended, and with it its hold on the address space: the kernel names another.
#[test]
fn a_thread_that_is_not_the_first_is_the_victim() {
    let place = Place::new();
    let _daemon = place.start(&[]);
    let group = Cgroup::new().limit(mib(32));
    let mut log = KernelLog::from_now();
    // "leader", "worker"
    let start = ["cgroup", group.directory(), "comm", "6c6561646572", "worker", "comm", "776f726b6572"];
    let mut program = Program::eat(&[start.as_slice(), &["tid", "wait", "grow"]].concat());
    let tid = program.number("tid");
    program.ready();
    program.go_on();
    let (killed, report) = log.kill(tid);
    let record = place.record(tid);

    assert_same_figures(&record, &killed);
    assert_same_groups(&record, &report);
    let task = &record.victim.task;
    assert_ne!(tid, program.pid());
    assert_eq!((task.pid, task.tid), (Some(program.pid()), tid));
    assert_eq!((task.comm.as_str(), task.process_comm.as_deref()), ("worker", Some("leader")));
    assert!(record.victim.memory.rss().unwrap() > Bytes(mib(20)));
    assert!(record.trigger.is_victim);
}

#[test]
fn a_name_of_any_bytes_drives_no_terminal() {
    let place = Place::new();
    let daemon = place.start(&[]);
    let group = Cgroup::new().limit(mib(32));
    let mut log = KernelLog::from_now();
    // ESC [ 2 J, newline, not UTF-8, a quote, a backslash, a carriage return, a C1 control character in UTF-8
    let name = b"\x1b[2J\n\xff\xfe\"\\\r\xc2\x9b";
    let hex: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut program =
        Program::eat(&["cgroup", group.directory(), "comm", &hex, "touch", "1", "wait", "grow"]);
    program.ready();
    daemon.row("the name is known", program.pid(), |row| row.comm.starts_with('\\'));
    let shown = place.run_top(&["--by", "process", "--top", "100000"]);
    program.go_on();
    let (killed, _) = log.kill(program.pid());
    let record = place.record(program.pid());

    assert_eq!(killed.comm, name);
    assert_same_figures(&record, &killed);
    assert_eq!(record.victim.task.comm, r#"\u{1b}[2J\u{a}\xff\xfe"\\\u{d}\u{9b}"#);
    let state = place.state();
    let report = |form| memtrace(&["report", "--last", "-o", form, "--state-dir", state.to_str().unwrap()]);
    let text = report("text");
    // What is found out after the kill, the end of its process say, is added to the record.
    eventually("the report as JSON is the stored record", PATIENCE, || {
        let json = report("json");
        assert!(json.status.success(), "{}", said(&json));
        let told: OomRecord = serde_json::from_slice(&json.stdout).unwrap();
        (told == place.record(program.pid())).then_some(())
    });
    for output in [&shown, &text] {
        let printed = String::from_utf8(output.stdout.clone()).expect("text is UTF-8");
        assert!(output.status.success(), "{}", said(output));
        assert!(printed.contains(r"\u{1b}[2J"), "the name is there: {printed}");
        assert_eq!(printed.replace('\n', "").find(char::is_control), None, "{printed:?}");
    }
}

/// The daemon is stopped meanwhile, so that it cannot look anything up in time.
#[test]
fn the_path_is_whole_when_the_cgroup_is_gone_already() {
    let place = Place::new();
    let daemon = place.start(&[]);
    let parent = Cgroup::new();
    let group = parent.child("short-lived").limit(mib(16));
    let mut log = KernelLog::from_now();
    daemon.signal(Signal::STOP);
    let mut program = Program::eat(&["cgroup", group.directory(), "grow"]);
    program.end();
    let path = group.remove();
    daemon.signal(Signal::CONT);
    let (killed, report) = log.kill(program.pid());
    let record = place.record(program.pid());

    assert_same_figures(&record, &killed);
    assert_same_groups(&record, &report);
    assert_eq!(record.victim.task.cgroup.as_ref(), Some(&path));
    assert_eq!(record.trigger.task.cgroup.as_ref(), Some(&path));
    assert_eq!(record.limit_owner.unwrap().path, Some(path));
}

#[test]
fn without_btf_the_record_has_what_the_tracepoint_has() {
    let place = Place::new();
    let _daemon = place.start(&["--without", "btf"]);
    let group = Cgroup::new().limit(mib(32));
    let mut log = KernelLog::from_now();
    let program = Program::eat(&["cgroup", group.directory(), "adj", "77", "uid", "4711", "grow"]);
    let (killed, _) = log.kill(program.pid());
    let record = place.record(program.pid());

    assert_same_figures(&record, &killed);
    assert_eq!(record.evidence.hook, "tracepoint:oom:mark_victim");
    assert!(!record.evidence.kill_signal_seen);
    // The tracepoint names a thread; it asked for the memory itself, so its process is the one that runs.
    assert_eq!(record.victim.task.pid, Some(program.pid()));
    assert_eq!(record.victim.task.cgroup, None);
    assert_eq!(record.limit_owner, None);
    assert!(
        record.evidence.unknown.iter().any(|what| what.starts_with("whose limit was hit: ")),
        "{record:?}"
    );
    assert!(
        record.evidence.unknown.iter().any(|what| what.starts_with("the victim's cgroups: ")),
        "{record:?}"
    );
    assert!(record.trigger.is_victim);
}
