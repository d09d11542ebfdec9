//! CPython's obmalloc, against `sys._debugmallocstats()`.

use std::process::Command;

use super::{
    reading::{Known, bytes},
    workload::{Workload, folder},
};

#[test]
fn at_rest_it_is_exact() {
    let mut command = Command::new("python3");
    command.arg(folder().join("python.py"));
    let mut workload = Workload::start(command);
    for step in ["hold", "grow 96", "free 60", "grow 32"] {
        workload.say(step);
        workload.say("in-use");
        let said = workload.say("in-use").unwrap();
        let counters = Known::of(workload.pid()).counters("cpython").unwrap();
        println!("python {step}: {said} said, {counters:?}");
        // Taking the figure and answering takes a few objects itself, before and after it is taken.
        let off = bytes(counters.allocated_bytes).abs_diff(said);
        assert!(off <= 512, "after {step}: {off} bytes apart");
        assert_eq!(bytes(counters.error_bytes), 0);
    }
}
