//! Signals at each moment of a run: the command gets them, and nothing is left.

use std::os::unix::process::ExitStatusExt as _;

use rustix::process::Signal;

use super::{Started, groups, nothing_is_left, start};
use crate::fixture::{PATIENCE, eventually, program::Program, terminal::Terminal};

fn waiting() -> Started {
    start(&[], &[Program::eat_path(), "touch", "4", "wait"])
}

fn members(pid: u32) -> usize {
    let lines = |group: std::path::PathBuf| {
        std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default().lines().count()
    };
    groups(pid).into_iter().map(lines).sum()
}

#[test]
fn a_signal_is_passed_on_and_memtrace_ends_by_the_same() {
    for signal in [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM, Signal::USR1, Signal::USR2] {
        let mut started = waiting();
        assert_eq!(started.line(), "ready");
        started.signal(signal);
        let (status, page) = started.end();
        assert_eq!(status.signal(), Some(signal.as_raw()), "{signal:?}");
        assert_eq!(i32::from(page.exit_code), 128 + signal.as_raw());
    }
}

#[test]
fn a_command_that_ignores_a_signal_goes_on() {
    let mut started = start(&[], &["sh", "-c", "trap '' TERM; echo ready; read line; exit 4"]);
    assert_eq!(started.line(), "ready");
    started.signal(Signal::TERM);
    started.go_on();
    assert_eq!(started.end().0.code(), Some(4));
}

#[test]
fn an_end_at_each_moment_leaves_no_cgroup_and_no_process() {
    type Moment = (&'static str, fn(&mut Started));
    let moments: [Moment; 5] = [
        ("as it starts", |_| {}),
        ("when its group is there", |started| {
            eventually("a group", PATIENCE, || (!groups(started.pid()).is_empty()).then_some(()));
        }),
        ("when the command is in it", |started| {
            eventually("a member", PATIENCE, || (members(started.pid()) > 0).then_some(()));
        }),
        ("when the command runs", |started| assert_eq!(started.line(), "ready")),
        ("as the command ends", |started| {
            assert_eq!(started.line(), "ready");
            started.go_on();
        }),
    ];
    for (moment, wait) in moments {
        for _ in 0..8 {
            let mut started = waiting();
            wait(&mut started);
            started.signal(Signal::INT);
            let status = started.status();
            assert!(status.signal() == Some(2) || status.success(), "{moment}: {status:?}");
            nothing_is_left(started.pid());
        }
    }
}

#[test]
fn an_end_within_a_series_ends_the_series() {
    for options in [&["--repeat", "100"][..], &["--find-limit"]] {
        let mut started = start(options, &[Program::eat_path(), "touch", "4", "wait"]);
        assert_eq!(started.line(), "ready");
        started.go_on();
        if options.len() > 1 {
            assert_eq!(started.line(), "ready");
        }
        started.signal(Signal::INT);
        let _ = started.status();
        nothing_is_left(started.pid());
    }
}

/// The terminal sends it to the command and to memtrace, which must not send it again.
#[test]
fn ctrl_c_in_a_terminal_reaches_the_command_once() {
    let script = "'trap \"echo got\" INT; echo ready; read line; read line; echo over; exit 6'";
    let terminal = Terminal::start(100, 40, "C.UTF-8", &["run", "--alone", "--", "sh", "-c", script]);
    terminal.shows("the command", |screen| screen.contains("ready"));
    let pid = terminal.pid();
    terminal.press(&["C-c"]);
    terminal.shows("the trap", |screen| screen.contains("got"));
    terminal.press(&["Enter", "Enter"]);
    let screen = terminal.shows("the end", |screen| screen.contains("ENDED 6"));
    let lines = screen.lines().filter(|line| line.trim_end().ends_with("got"));
    assert_eq!(lines.count(), 1, "{screen}");
    nothing_is_left(pid);
}

#[test]
fn ctrl_c_ends_a_command_that_does_not_mind_and_the_page_comes_all_the_same() {
    let terminal = Terminal::start(100, 60, "C.UTF-8", &["run", "--alone", "--", "sleep", "1000"]);
    let pid = terminal.pid();
    eventually("the command runs", PATIENCE, || (members(pid) > 0).then_some(()));
    terminal.press(&["C-c"]);
    let screen = terminal.shows("the end", |screen| screen.contains("ENDED 130"));
    assert!(screen.contains("killed by signal 2"), "{screen}");
    nothing_is_left(pid);
}
