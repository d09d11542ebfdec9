//! The targets of the fuzzer without one: changed corpora and made-up bytes, for a set time, under an allocator that
//! counts. No panic, no case that takes long, no allocation over a fixed bound.
//!
//! Two seconds a target by default; `MEMTRACE_HOSTILE_SECONDS=300 cargo test --release --test hostile` is the long form;
//! `MEMTRACE_HOSTILE_TARGET=counters` is one target of it.

mod counting;
mod mutate;

use std::{
    env, fs, panic,
    path::Path,
    time::{Duration, Instant},
};

use counting::Counting;
use memtrace::clock::thread_cpu;
use mutate::Random;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What one case may have at once, beside its input: readers bound what they keep by what they may read.
const MOST_BYTES: usize = 128 << 20;
/// A case that takes this much of the processor on any machine loops over its budget: a backstop.
const MOST_TIME: Duration = Duration::from_secs(120);

fn seconds() -> u64 {
    env::var("MEMTRACE_HOSTILE_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2)
}

#[test]
fn nothing_breaks_the_targets() {
    let only = env::var("MEMTRACE_HOSTILE_TARGET").ok();
    let is_wanted =
        |(name, _): &(&str, memtrace::fuzz::Target)| only.as_ref().is_none_or(|only| only == name);
    for (name, target) in memtrace::fuzz::TARGETS.into_iter().filter(is_wanted) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
        let corpus: Vec<Vec<u8>> =
            fs::read_dir(folder).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect();
        let mut random =
            Random::new(env::var("MEMTRACE_HOSTILE_SEED").map_or(7, |seed| seed.parse().unwrap()));
        let (end, mut cases, mut most, mut slowest) =
            (Instant::now() + Duration::from_secs(seconds()), 0_u64, 0, Duration::ZERO);
        while Instant::now() < end {
            let input = random.changed(&corpus);
            let (before, begun) = (counting::start(), thread_cpu());
            if let Err(panic) = panic::catch_unwind(|| target(&input)) {
                // To be run again, and to become a part of the corpus.
                fs::write(env::temp_dir().join(format!("memtrace-hostile-{name}")), &input).unwrap();
                panic::resume_unwind(panic);
            }
            most = most.max(counting::peak() - before);
            slowest = slowest.max(thread_cpu() - begun);
            cases += 1;
            assert!(most <= MOST_BYTES, "{name}: a case of {} bytes took {most}", input.len());
            assert!(slowest <= MOST_TIME, "{name}: a case took {slowest:?}");
        }
        println!("hostile {name}: {cases} cases, {} KiB at most, {slowest:?} at most", most >> 10);
    }
}
