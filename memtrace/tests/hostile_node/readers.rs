//! Readers that are stopped or killed, and a process whose own memory never answers.

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    afterwards::{Held, children, it_is_well, nothing_is_left},
    crowds::crowd,
    fixture::{
        PATIENCE,
        cgroup::Cgroup,
        daemon::{Daemon, Place},
        eventually,
        program::Program,
    },
};

/// A reader that waits for its next question.
fn reader(daemon: &Daemon<'_>) -> u32 {
    eventually("a reader is there", PATIENCE, || children(daemon).first().copied())
}

/// The page tables of a process that began just now are read.
fn it_reads(daemon: &Daemon<'_>) {
    let program = Program::eat(&["touch", "32", "wait"]);
    program.ready();
    daemon.row("its page tables", program.pid(), |row| row.memory.is_some());
}

fn send(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

#[test]
fn a_reader_that_is_stopped_is_replaced() {
    let place = Place::new();
    let daemon = place.start(&[]);
    it_is_well(&place);
    it_reads(&daemon);
    let (before, reader) = (Held::by(&daemon), reader(&daemon));
    send(reader, Signal::STOP);
    it_is_well(&place);
    it_reads(&daemon);
    eventually("it is gone", PATIENCE, || (!children(&daemon).contains(&reader)).then_some(()));
    nothing_is_left(&daemon, &before);
}

/// By the kernel, for want of memory: it is moved into a group with no room.
#[test]
fn a_reader_that_the_kernel_kills_is_replaced() {
    let place = Place::new();
    let daemon = place.start(&[]);
    it_is_well(&place);
    it_reads(&daemon);
    let before = Held::by(&daemon);
    // Not a page: whatever it needs next is too much.
    let group = Cgroup::new().limit(4096);
    eventually("a reader is killed", PATIENCE, || {
        for reader in children(&daemon) {
            // It may be gone by now.
            let _ = std::fs::write(format!("{}/cgroup.procs", group.directory()), reader.to_string());
        }
        it_reads(&daemon);
        (group.oom_kills() > 0).then_some(())
    });
    it_is_well(&place);
    it_reads(&daemon);
    nothing_is_left(&daemon, &before);
}

/// Whoever reads its environment waits for a page that nobody fills in.
#[test]
fn an_environment_that_never_answers_costs_its_own_figures_and_nothing_else() {
    let place = Place::new();
    let daemon = place.start(&[]);
    it_is_well(&place);
    it_reads(&daemon);
    let before = Held::by(&daemon);
    let group = Cgroup::new();
    let program = crowd(&group, "silent");
    daemon.row("it is there", program.pid(), |row| row.rss_bytes.is_some());
    let socket = place.socket();
    let pid = program.pid().to_string();
    let explain = crate::fixture::memtrace(&["explain", &pid, "--socket", socket.to_str().unwrap()]);
    println!("{}", crate::fixture::said(&explain));
    it_reads(&daemon);
    it_is_well(&place);
    drop((program, group));
    nothing_is_left(&daemon, &before);
}
