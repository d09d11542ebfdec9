//! What a reading of a large process costs, and how right it is when only samples can be taken.

use memtrace::allocator::counters::process::Budget;

use super::{
    reading::{Known, bytes},
    workload::{Workload, program},
};

/// A gibibyte, fragmented, in one arena and in eight, within the budget that the daemon gives. Built without
/// optimisation, code takes several times as long: the budget grows with it.
#[test]
#[ignore = "to be run in a release build, on a machine that does nothing else"]
fn a_gibibyte_is_read_in_fifty_milliseconds() {
    let slow = if cfg!(debug_assertions) { 20 } else { 1 };
    let budget = Budget { time: Budget::DEFAULT.time * slow, ..Budget::DEFAULT };
    for arenas in ["1", "8"] {
        let mut command = program("c-glibc");
        command.env("MALLOC_ARENA_MAX", arenas);
        let mut workload = Workload::driven(command, &["grow 1360", "free 30"]);
        let said = workload.say("in-use").unwrap();
        let known = Known::of(workload.pid());
        let mut times: Vec<_> = (0..9).map(|_| known.read_within(budget).2).collect();
        times.sort_unstable();
        let (read, absent, _) = known.read_within(budget);
        let counters = read.iter().find(|counters| counters.allocator == "glibc");
        let counters = counters.unwrap_or_else(|| panic!("{arenas} arenas: {absent:?}"));
        let off = bytes(counters.allocated_bytes).abs_diff(said);
        println!(
            "{arenas} arenas: {said} in use, off by {off} of a bound of {}, {:?} a reading, {:?} at most",
            bytes(counters.error_bytes),
            times[4],
            times[8],
        );
        assert!(times[4] <= budget.time, "{:?}", times[4]);
        assert!(off <= said / 20, "{arenas} arenas: off by {off} of {said}");
    }
}
