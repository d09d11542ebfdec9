//! jemalloc, mimalloc, tcmalloc, Go and HotSpot against what each says of itself.

use std::process::Command;

use memtrace::{allocator::counters::Counters, units::Bytes};

use super::{
    busy::preloaded,
    reading::{Known, at_rest, bytes},
    workload::{Workload, folder, program},
};

const STEPS: [&str; 4] = ["hold", "grow 96", "free 60", "grow 32"];

fn counters_of(pid: u32, allocator: &str) -> Counters {
    let counters = Known::of(pid).counters(allocator);
    println!("{counters:?}");
    counters.unwrap_or_else(|absent| panic!("{absent}"))
}

fn counters(workload: &Workload, allocator: &str) -> Counters {
    counters_of(workload.pid(), allocator)
}

/// What it says, and what is read, at one time.
fn both<const N: usize>(
    workload: &mut Workload,
    questions: [&str; N],
    allocator: &str,
) -> ([u64; N], Counters) {
    let (said, counters) = at_rest(workload, &questions, |pid| counters_of(pid, allocator));
    (said.try_into().unwrap(), counters)
}

fn ask(workload: &mut Workload, question: &str) -> u64 {
    workload.say(question).unwrap_or_else(|| panic!("no answer to {question}"))
}

/// The crate's own build keeps no statistics: pages are exact, and how full they are is told by their extents. Nobody in
/// the process can say that; the same program with statistics holds the same blocks.
#[test]
fn jemalloc_without_statistics_is_read_all_the_same() {
    for name in ["rust-jemalloc", "rust-jemalloc-stripped"] {
        let mut workload = Workload::start(program(name));
        let mut twin = Workload::start(program("rust-jemalloc-stats"));
        for step in STEPS {
            workload.say(step);
            twin.say(step);
            let questions = ["active", "dirty", "muzzy"];
            let ([active, dirty, muzzy], counters) = both(&mut workload, questions, "jemalloc");
            let said = ask(&mut twin, "allocated");
            let read = bytes(counters.allocated_bytes);
            if counters.error_bytes == Some(Bytes(0)) {
                // What jemalloc needs for its statistics is in the twin alone.
                let is_close = read.abs_diff(said) <= said / 200 + (64 << 10);
                assert!(is_close, "{name} {step}: {read} read, {said} in its twin");
            } else {
                // Extents that do not add up are not believed: whole pages are, and that is said.
                assert_eq!(read, active, "{name} {step}");
                assert!(counters.missing.iter().any(|missing| missing.contains("whole pages")));
            }
            assert!(read <= active, "{name} {step}");
            assert_eq!(bytes(counters.free_resident_bytes), dirty, "{name} {step}");
            assert_eq!(bytes(counters.lazily_freed_bytes), muzzy, "{name} {step}");
            assert_eq!(counters.version.as_deref(), Some("5.3.1"));
        }
    }
}

#[test]
fn jemalloc_with_statistics_is_exact() {
    let mut workload = Workload::driven(program("rust-jemalloc-stats"), &["grow 8"]);
    for step in STEPS {
        workload.say(step);
        let ([said], counters) = both(&mut workload, ["allocated"], "jemalloc");
        assert_eq!(bytes(counters.allocated_bytes), said, "{step}");
        assert_eq!(bytes(counters.error_bytes), 0);
    }
}

#[test]
fn the_distributions_jemalloc_is_exact() {
    let mut workload = Workload::start(preloaded("libjemalloc.so.2"));
    for step in STEPS {
        workload.say(step);
        // The first question makes what answers it.
        ask(&mut workload, "stats.allocated");
        let ([said], counters) = both(&mut workload, ["stats.allocated"], "jemalloc");
        assert_eq!(bytes(counters.allocated_bytes), said, "{step}");
        assert_eq!(counters.version.as_deref(), Some("5.3.0"));
    }
}

#[test]
fn mimalloc_is_exact() {
    for name in ["rust-mimalloc", "rust-mimalloc-stripped", "rust-mimalloc-v2"] {
        let mut workload = Workload::start(program(name));
        for step in STEPS {
            workload.say(step);
            let ([said], counters) = both(&mut workload, ["allocated"], "mimalloc");
            assert_eq!(bytes(counters.allocated_bytes), said, "{name} {step}");
        }
    }
}

#[test]
fn tcmalloc_is_exact() {
    let mut workload = Workload::start(preloaded("libtcmalloc_minimal.so.4"));
    for step in STEPS {
        workload.say(step);
        // The first question makes what answers it.
        ask(&mut workload, "generic.current_allocated_bytes");
        let counters = counters(&workload, "tcmalloc");
        let mut said = |name: &str| ask(&mut workload, name);
        // What the answer and the next question take is in the caches before and after: a few objects.
        let off = bytes(counters.allocated_bytes).abs_diff(said("generic.current_allocated_bytes"));
        assert!(off <= 512, "{step}: off by {off}");
        assert_eq!(bytes(counters.error_bytes), 0, "{step}");
        assert_eq!(bytes(counters.retained_bytes), said("tcmalloc.pageheap_unmapped_bytes"), "{step}");
        // A question moves objects from one list to another, and can take a span for a size that was not used yet.
        let waiting = ["central_cache", "transfer_cache", "thread_cache"]
            .map(|list| said(&format!("tcmalloc.{list}_free_bytes")));
        let arena = |name: &str| {
            let found = counters.arenas.iter().find(|arena| arena.name == name).unwrap();
            bytes(found.free_resident_bytes)
        };
        let read = arena("central lists") + arena("thread caches");
        assert!(read.abs_diff(waiting.iter().sum()) <= 16 << 10, "{step}: {waiting:?} said, {read} read");
        // Free spans that were never touched are not resident; one that a question took is not free any more.
        let free = said("tcmalloc.pageheap_free_bytes");
        assert!(arena("page heap") <= free + (16 << 10), "{step}: {free} said");
    }
}

#[test]
fn go_says_what_its_memory_statistics_say() {
    for name in ["go", "go-stripped"] {
        let mut workload = Workload::start(program(name));
        for step in ["hold", "grow 96", "free 60", "return 0", "grow 16"] {
            workload.say(step);
            // What it sweeps and gives back, it does on its own, some time after: until both say the same.
            let mut last = (0, 0, 0);
            super::reading::until(&format!("{name} {step}: what is read is what it says"), || {
                let said = ask(&mut workload, "allocated");
                let read = counters(&workload, "go");
                let error = bytes(read.allocated_bytes).abs_diff(said);
                let released = ask(&mut workload, "released");
                let difference = bytes(read.retained_bytes).abs_diff(released);
                assert_eq!(read.version.as_deref(), Some("1.19.8"));
                last = (error, bytes(read.error_bytes), difference);
                error <= 64 << 10 && difference <= 1 << 20
            });
            let (error, bound, difference) = last;
            println!(
                "{name} {step}: off by {error}, bound {bound}, and by {difference} of what it gave back"
            );
            assert!(error <= bound, "{name} {step}: off by {error}");
        }
    }
}

/// What HotSpot 17 can collect with; the first is what it takes on a machine like this.
pub const COLLECTORS: [&str; 5] =
    ["-XX:+UseG1GC", "-XX:+UseSerialGC", "-XX:+UseParallelGC", "-XX:+UseShenandoahGC", "-XX:+UseZGC"];

#[test]
fn hotspot_says_what_its_memory_bean_says() {
    for collector in COLLECTORS {
        for counters_are in ["-XX:+UsePerfData", "-XX:-UsePerfData"] {
            let mut command = Command::new("java");
            command.args([collector, counters_are, "-Xmx512m", "-cp"]).arg(folder()).arg("Workload");
            let mut workload = Workload::start(command);
            for step in ["grow 96", "free 60", "gc", "grow 32"] {
                workload.say(step);
                // G1 does not count the region that is being filled until something asks it.
                let most = if collector.contains("G1") { 1 << 20 } else { 0 };
                // Some collect while the program runs on: once it is at rest, both say the same, and go on to.
                let (mut times, mut last) = (0, (0, 0));
                super::reading::until("both say the same", || {
                    let said = ask(&mut workload, "allocated");
                    let counters = counters(&workload, "jvm");
                    let error = super::busy::java_heap(&counters).abs_diff(said);
                    times = if error <= most { times + 1 } else { 0 };
                    last = (error, bytes(counters.error_bytes));
                    let is_told = counters.settings.iter().any(|setting| setting.value.contains("-Xmx512m"));
                    assert_eq!(is_told, counters_are == "-XX:+UsePerfData");
                    times == 3
                });
                let (error, bound) = last;
                println!("java {collector} {counters_are} {step}: off by {error}, bound {bound}");
                assert!(error <= bound, "{collector} {step}: off by {error}");
            }
        }
    }
}
