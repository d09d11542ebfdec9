//! The events themselves: a program says what it did, and exactly that is in the stream.

use std::collections::BTreeSet;

use memtrace::{
    ingest::{
        decode::{Event, KillEvent, SpaceEvent, TaskEvent},
        loss::Loss,
    },
    probe::support::Without,
    text::until_nul,
};
use memtrace_common::{
    budget::SIGNALS_OF_PAIR,
    config::{FAULT_THINNING_MOST, FAULT_WINDOW_MOST, FAULT_WINDOW_SHIFT},
    event::{fault::Fault, kill::Signal as SignalRecord},
};
use rustix::process::Signal;

use crate::fixture::{
    program::Program,
    tracer::{PERIOD, Tracer},
    unexpected,
};

/// The address-space changes of a process, as `calls` prints its own.
fn calls_of(events: &[Event], pid: u32) -> Vec<String> {
    let own = events.iter().filter(|event| event.header().tgid == pid);
    let of_space = own.filter_map(|event| match event {
        Event::Space(event) => Some(event),
        Event::Task(_) | Event::Cgroup(_) | Event::Kill(_) => None,
    });
    of_space
        .filter_map(|event| match event {
            SpaceEvent::Mmap(e) => Some(format!(
                "mmap {:#x} {:#x} {} {:#x} {} {}",
                e.addr,
                e.len,
                hex(e.prot.into()),
                e.flags,
                e.fd,
                hex(e.offset)
            )),
            SpaceEvent::Munmap(e) => Some(format!("munmap {:#x} {:#x}", e.addr, e.len)),
            SpaceEvent::Mremap(e) => Some(format!(
                "mremap {:#x} {:#x} {:#x} {:#x} {}",
                e.old_addr,
                e.old_len,
                e.new_addr,
                e.new_len,
                hex(e.flags)
            )),
            SpaceEvent::Brk(e) => Some(format!("brk {:#x}", e.brk)),
            SpaceEvent::Madvise(e) => Some(format!("madvise {:#x} {:#x} {}", e.addr, e.len, e.advice)),
            SpaceEvent::Mprotect(e) => Some(format!("mprotect {:#x} {:#x} {}", e.addr, e.len, hex(e.prot))),
            SpaceEvent::Throttled(_) => Some("throttled".to_owned()),
            _ => None,
        })
        .collect()
}

/// As C's `%#lx` writes it: zero has no prefix.
fn hex(value: u64) -> String {
    if value == 0 { "0".to_owned() } else { format!("{value:#x}") }
}

fn calls_arrive_as_they_were_made(without: Without) {
    let mut tracer = Tracer::start(without);
    let program = Program::calls(&["calls"]);
    let (failed, made): (Vec<_>, Vec<_>) =
        program.lines().into_iter().partition(|line| line.starts_with("failed "));
    assert_eq!((failed.len(), made.len()), (8, 15), "the program did what it was told");
    let seen = calls_of(tracer.read_until_exit(program.pid()), program.pid());
    // Before them are the loader's own; after them the program only prints.
    let start = seen.iter().position(|call| *call == made[0]).expect("the first call is seen");
    assert_eq!(seen[start..], made);
    assert_eq!(unexpected(&tracer.losses()), [] as [&Loss; 0]);
}

#[test]
fn calls_arrive_by_the_preferred_hook() {
    calls_arrive_as_they_were_made(Without::default());
}

#[test]
fn calls_arrive_by_tracepoint_and_helper() {
    calls_arrive_as_they_were_made(Without { function_exit: true, ..Without::default() });
}

#[test]
fn calls_arrive_by_tracepoint_and_stack_top() {
    calls_arrive_as_they_were_made(Without {
        function_exit: true,
        task_registers: true,
        ..Without::default()
    });
}

/// A process that maps all the time is cut off, and says so; the next one is not the worse for it.
#[test]
fn a_process_over_its_budget_is_cut_off_alone() {
    const BUDGET: u32 = 500;
    let mut tracer = Tracer::start_with(Without::default(), BUDGET);
    let mut busy = Program::eat(&["churn", "20000"]);
    assert!(busy.end().success());
    let other = Program::calls(&["calls"]);
    let made: Vec<_> = other.lines().into_iter().filter(|line| !line.starts_with("failed ")).collect();
    let events = tracer.read_until_exit(other.pid());
    let (throttled, passed): (Vec<_>, Vec<_>) =
        calls_of(events, busy.pid()).into_iter().partition(|call| call == "throttled");
    assert!(calls_of(events, other.pid()).ends_with(&made));
    // Once in each period in which it was cut off; the last period may not have been one.
    let (cut_off, budget) = (throttled.len(), BUDGET as usize);
    assert!(cut_off > 0);
    // The loader's `brk(0)` counts too, but is no event.
    assert!((budget - 2..=(cut_off + 1) * budget).contains(&passed.len()), "{} passed", passed.len());
    let losses = tracer.losses();
    let lost = losses.iter().find(|loss| loss.name == "throttled").expect("it is counted").count;
    // The loader's own calls come on top of these.
    assert!(passed.len() as u64 + lost >= 40_000, "{} passed, {lost} lost", passed.len());
}

/// The sampled faults of a process in the range that it names.
fn samples_of<'a>(events: &'a [Event], program: &Program, line: &str) -> Vec<&'a Fault> {
    let address = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap();
    let words: Vec<&str> = line.split(' ').collect();
    let range = address(words[1])..address(words[2]);
    faults(events).filter(|fault| fault.header.tgid == program.pid() && range.contains(&fault.addr)).collect()
}

fn faults(events: &[Event]) -> impl Iterator<Item = &Fault> {
    events.iter().filter_map(|event| match event {
        Event::Space(SpaceEvent::Fault(fault)) => Some(&**fault),
        _ => None,
    })
}

const fn window(fault: &Fault) -> (u16, u64) {
    (fault.header.cpu, fault.header.ktime >> FAULT_WINDOW_SHIFT)
}

#[test]
fn faults_are_sampled_one_in_a_period() {
    let mut tracer = Tracer::start(Without::default());
    // 64 faults in some 3 ms: too few on one CPU for any to be passed over.
    let program = Program::calls(&["faults", "3200", "3000"]);
    let line = program.line();
    let events = tracer.read_until_exit(program.pid());
    let samples = samples_of(events, &program, &line);
    let stand_for: u64 = samples.iter().map(|fault| fault.period).sum();
    // 3200, but for the pages of others that were on the same CPU in between. If so many of these came that each page were
    // one in 64 by itself, it would be off by more than this in one of 10,000 runs.
    let most = (3.9 * (3200.0 * PERIOD as f64).sqrt()) as u64;
    assert!(stand_for.abs_diff(3200) <= most, "{} samples stand for {stand_for}", samples.len());
    // Coarser only where others came on this CPU, as far back as that has consequences.
    for coarse in samples.iter().filter(|fault| fault.period != PERIOD) {
        let (cpu, at) = window(coarse);
        let since = at.saturating_sub(u64::from(FAULT_THINNING_MOST) + 1);
        let before = faults(events).map(window).filter(|(on, at)| *on == cpu && *at >= since).count();
        assert!(before >= FAULT_WINDOW_MOST as usize, "{} after {before} on its CPU", coarse.period);
    }
    assert!(samples.is_sorted_by_key(|fault| fault.addr), "pages were touched in order");
    assert!(samples.iter().all(|fault| fault.stack_len > 0), "who touched them is known");
}

#[test]
fn a_storm_of_faults_is_thinned_out_and_its_samples_stand_for_all_of_it() {
    let mut tracer = Tracer::start(Without::default());
    let program = Program::calls(&["storm", "300000"]);
    let (line, counted) = (program.line(), u64::from(program.number("faults ")));
    assert!(counted >= 300_000, "the kernel counted {counted}");
    let events = tracer.read_until_exit(program.pid());
    let samples = samples_of(events, &program, &line);
    let stand_for: u64 = samples.iter().map(|fault| fault.period).sum();
    // As above; and a tenth, for each window begins as coarse as the one before it.
    let spread: f64 = samples.iter().map(|fault| (fault.period as f64).powi(2)).sum();
    let most = counted / 10 + (3.9 * spread.sqrt()) as u64;
    assert!(
        stand_for.abs_diff(counted) <= most,
        "{} samples stand for {stand_for} of {counted}",
        samples.len()
    );
    assert!(samples.iter().all(|fault| fault.period.is_power_of_two() && fault.period >= PERIOD));
    // In a window so many; and a few for each step to a coarser one, on each CPU.
    let windows: BTreeSet<(u16, u64)> = samples.iter().map(|fault| window(fault)).collect();
    let cpus: BTreeSet<u16> = windows.iter().map(|(cpu, _)| *cpu).collect();
    let (most, steps) = (FAULT_WINDOW_MOST as usize, FAULT_THINNING_MOST as usize);
    let bound = windows.len() * (most + most / 2) + cpus.len() * steps * most;
    assert!(samples.len() <= bound, "{} samples in {} windows", samples.len(), windows.len());
    // Where the machine is fast enough to come to that, it was coarser than the period.
    let periods = counted / PERIOD / windows.len() as u64;
    assert!(periods < 2 * most as u64 || samples.iter().any(|fault| fault.period > PERIOD));
}

#[test]
fn processes_come_change_and_end() {
    let mut tracer = Tracer::start(Without::default());
    // "before", and in the child "between" until it runs the program again.
    let steps = ["comm", "6265666f7265", "fork", "comm", "6265747765656e", "exec", "exit", "7"];
    let parent = Program::eat(&steps);
    let child = parent.number("child");
    let events = tracer.read_until_exit(parent.pid());
    let of_child: Vec<&Event> = events
        .iter()
        .filter(|event| match event {
            Event::Task(TaskEvent::Fork(fork)) => fork.child.tgid == child,
            Event::Task(TaskEvent::Exec(exec)) => exec.task.tgid == child,
            Event::Task(TaskEvent::Exit(exit)) => exit.task.tgid == child,
            _ => false,
        })
        .collect();
    let [
        Event::Task(TaskEvent::Fork(fork)),
        Event::Task(TaskEvent::Exec(exec)),
        Event::Task(TaskEvent::Exit(exit)),
    ] = of_child.as_slice()
    else {
        panic!("not one fork, exec and exit: {of_child:?}");
    };
    assert_eq!((fork.header.tgid, fork.shares_mm), (parent.pid(), 0));
    assert_eq!(until_nul(&fork.child.leader_comm), b"before");
    assert_eq!(until_nul(&exec.task.leader_comm), b"eat");
    assert_eq!(exit.exit_code, 7 << 8);
    assert_eq!(fork.child.start_boottime, exit.task.start_boottime, "the same process");
    assert!(events.iter().any(|event| matches!(event,
        Event::Task(TaskEvent::Exit(exit)) if exit.task.tgid == parent.pid() && exit.exit_code == 0)));
}

/// The signal of this number for a process, and the exit code that follows.
fn death(tracer: &mut Tracer, pid: u32, number: Signal) -> (SignalRecord, u32) {
    let events = tracer.read_until_exit(pid);
    let wanted = number.as_raw().cast_unsigned();
    let signals: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Kill(KillEvent::Signal(signal))
                if signal.target.tgid == pid && signal.signal == wanted =>
            {
                Some(**signal)
            }
            _ => None,
        })
        .collect();
    let code = events.iter().find_map(|event| match event {
        Event::Task(TaskEvent::Exit(exit)) if exit.task.tgid == pid => Some(exit.exit_code),
        _ => None,
    });
    assert_eq!(signals.len(), 1, "{signals:?}");
    (signals[0], code.unwrap())
}

#[test]
fn a_signal_names_its_sender() {
    let mut tracer = Tracer::start(Without::default());
    let program = Program::eat(&["wait"]);
    program.ready();
    program.signal(Signal::KILL);
    let (signal, code) = death(&mut tracer, program.pid(), Signal::KILL);
    assert_eq!(code, 9);
    assert_eq!((signal.sender.tgid, signal.from_kernel, signal.result), (std::process::id(), 0, 0));
    assert_eq!(until_nul(&signal.target.leader_comm), b"eat");
}

#[test]
fn a_program_that_crashes_is_its_own_sender() {
    let mut tracer = Tracer::start(Without::default());
    for (step, number, code) in [("segv", Signal::SEGV, 11), ("abort", Signal::ABORT, 6)] {
        let program = Program::eat(&[step]);
        let (signal, exit_code) = death(&mut tracer, program.pid(), number);
        assert_eq!(exit_code & 0x7f, code, "{step}");
        assert_eq!((signal.sender.tgid, signal.from_kernel), (program.pid(), 0), "{step}");
    }
}

/// The lost ones are counted, and the others come in order, no more than the budget allows for the time between them.
#[test]
fn signals_come_within_their_budget() {
    const SENT: usize = 2000;
    let mut tracer = Tracer::start(Without::default());
    let program = Program::shell(&format!(
        "trap : TERM; n=0; while [ $n -lt {SENT} ]; do kill -TERM $$; n=$((n + 1)); done"
    ));
    let events = tracer.read_until_exit(program.pid());
    let times: Vec<u64> = events
        .iter()
        .filter_map(|event| match event {
            Event::Kill(KillEvent::Signal(signal)) if signal.target.tgid == program.pid() => {
                Some(signal.header.ktime)
            }
            _ => None,
        })
        .collect();
    let (Some(first), Some(last)) = (times.first(), times.last()) else { panic!("none came") };
    let most = SIGNALS_OF_PAIR.most_in(last - first);
    assert!(times.is_sorted() && times.len() as u64 <= most, "{} came, at most {most} should", times.len());
    let losses = tracer.losses();
    let lost = losses.iter().find(|loss| loss.name == "signals_throttled").map_or(0, |loss| loss.count);
    assert!(times.len() as u64 + lost >= SENT as u64, "{} came, {lost} lost", times.len());
}

#[test]
fn the_tracers_own_memory_is_not_in_the_stream() {
    let mut tracer = Tracer::start(Without::default());
    // Enough for many mmaps, munmaps and sampled faults of our own.
    for _ in 0..20 {
        drop(std::hint::black_box(vec![1_u8; 8 << 20]));
    }
    let program = Program::eat(&["touch", "8"]);
    let events = tracer.read_until_exit(program.pid());
    let of = |pid| {
        events.iter().filter(move |event| event.header().tgid == pid && matches!(event, Event::Space(_)))
    };
    assert!(of(program.pid()).count() > 30, "others are");
    assert_eq!(of(std::process::id()).count(), 0);
}
