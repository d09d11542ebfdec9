//! A program that allocates flat out in two threads while it is read: how often that works, and how far it is off.

use std::{fs::File, os::unix::fs::FileExt as _};

use super::{
    reading::{Known, bytes},
    workload::{Workload, program},
};

const THREADS: u64 = 2;
const READINGS: usize = 50;

/// The words of the threads: live bytes and blocks so far, of each.
pub struct Live {
    memory: File,
    at: u64,
    base: u64,
}

impl Live {
    /// Of a workload that churns from now on; `base` is what is in use besides.
    pub fn of(workload: &mut Workload, base: u64, mib: u64) -> Self {
        let at = workload.say(&format!("churn {mib}")).unwrap();
        let memory = File::open(format!("/proc/{}/mem", workload.pid())).unwrap();
        Self { memory, at, base }
    }

    fn words(&self, first: u64) -> u64 {
        let word = |at: u64| {
            let mut word = [0; 8];
            self.memory.read_exact_at(&mut word, self.at + 8 * at).unwrap();
            u64::from_le_bytes(word)
        };
        (0..THREADS).map(|thread| word(2 * thread + first)).sum()
    }

    /// Bytes in use.
    pub fn bytes(&self) -> u64 {
        self.base + self.words(0)
    }

    /// Blocks that were allocated so far.
    pub fn blocks(&self) -> u64 {
        self.words(1)
    }
}

/// Readings against the truth at their middle: at least nine of ten succeed, half of them are within 2 %, and nineteen
/// of twenty within the bound that they give.
fn is_close(name: &str, allocator: &str, steps: &[&str]) {
    let mut command = program(name);
    command.arg(THREADS.to_string());
    let mut workload = Workload::driven(command, steps);
    let base = Known::of(workload.pid()).counters(allocator).map_or(0, |at| bytes(at.allocated_bytes));
    let live = Live::of(&mut workload, base, 30);
    super::reading::until(|| live.blocks() > 200_000);
    let (mut errors, mut within, mut refused) = (Vec::new(), 0, Vec::new());
    let mut bounds = Vec::new();
    for _ in 0..READINGS {
        let known = Known::of(workload.pid());
        let before = live.bytes();
        let read = known.counters(allocator);
        let truth = u64::midpoint(before, live.bytes());
        match read {
            Ok(counters) => {
                let off = bytes(counters.allocated_bytes).abs_diff(truth);
                within += usize::from(off <= bytes(counters.error_bytes));
                bounds.push(bytes(counters.error_bytes));
                errors.push(off as f64 / truth as f64);
            }
            Err(absent) => refused.push(absent.reason),
        }
    }
    errors.sort_by(f64::total_cmp);
    bounds.sort_unstable();
    let median = errors[errors.len() / 2];
    println!(
        "{name}: {} of {READINGS} read, median error {:.2} %, worst {:.2} %, {within} within the bound of {}; {refused:?}",
        errors.len(),
        median * 100.0,
        errors.last().unwrap() * 100.0,
        bounds[bounds.len() / 2],
    );
    workload.say("rest");
    assert!(errors.len() * 10 >= READINGS * 9, "{name}: {refused:?}");
    assert!(median <= 0.02, "{name}: {median}");
    assert!(within * 20 >= errors.len() * 19, "{name}: {within} of {} within the bound", errors.len());
}

#[test]
fn glibc_is_close() {
    is_close("c-glibc", "glibc", &["hold"]);
    is_close("c-glibc-static", "glibc", &["grow 40", "free 50"]);
}

#[test]
#[ignore = "never run to its end: the bound of a busy musl is not measured"]
fn musl_is_close() {
    is_close("c-musl", "musl", &["grow 4"]);
}
