//! musl, against the slots that the program knows to have taken.

use super::{
    reading::{Known, at_rest, bytes},
    workload::{Workload, program},
};

/// What the program has besides its blocks: buffers of stdio, and threads' own.
const REST: u64 = 16 << 10;

#[test]
fn at_rest_it_is_exact() {
    for name in ["c-musl", "c-musl-stripped", "c-musl-dynamic"] {
        let mut workload = Workload::start(program(name));
        let mut rest = None;
        for step in ["grow 96", "free 60", "main 8", "grow 32", "big 64", "free 30"] {
            workload.say(step);
            let (said, (read, absent, took)) =
                at_rest(&mut workload, &["in-use"], |pid| Known::of(pid).read());
            let said = said[0];
            let counters = read.iter().find(|counters| counters.allocator == "musl");
            let counters = counters.unwrap_or_else(|| panic!("{name} after {step}: {absent:?}"));
            println!("{name} {step}: {said} said, {counters:?}, {took:?}");
            let more = bytes(counters.allocated_bytes).checked_sub(said).expect("no less than its blocks");
            // The same at every step, to the byte.
            assert_eq!(more, *rest.get_or_insert(more), "{name} after {step}");
            assert!(more <= REST, "{name} after {step}: {more} besides its blocks");
            assert_eq!(bytes(counters.error_bytes), 0);
        }
    }
}
