//! Pages from values.

mod cases;

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::{
    allocator::counters::Counters,
    cgroup::charge::Charge,
    container::name::Name,
    report::{
        Style,
        explanation::{pair, text},
    },
    snapshot::{ArenaRow, ContainerRow, Memory, Node, ProcessRow, SCHEMA as SNAPSHOT, Snapshot},
    verdict::{Confidence, Insight, Insights, Kind},
};

const MIB: u64 = 1 << 20;

fn arena(allocator: &'static str, kind: &'static str, resident: u64) -> ArenaRow {
    ArenaRow {
        allocator: allocator.into(),
        kind: kind.into(),
        arenas: 1,
        mapped_bytes: Bytes(resident * 2),
        resident_bytes: Bytes(resident),
        lazy_free_bytes: Bytes(0),
        swapped_bytes: Bytes(0),
        pss_bytes: Some(Bytes(resident)),
        grade: Grade::Read,
        growth_bytes: [None; 3],
    }
}

fn process(pid: u32, cgroup: &str, arenas: Vec<ArenaRow>, counters: Vec<Counters>) -> Arc<ProcessRow> {
    let rss = arenas.iter().map(|row| row.resident_bytes.0).sum::<u64>() + 4096;
    Arc::new(ProcessRow {
        pid,
        comm: "server".into(),
        uid: Some(0),
        started: None,
        cgroup: Some(cgroup.into()),
        rss_bytes: Some(Bytes(rss)),
        rss_grade: Grade::Read,
        rss_read: None,
        growth_bytes_per_second: None,
        growth_window_seconds: None,
        limit: None,
        memory: Some(Memory {
            arenas,
            unaccounted_bytes: Bytes(4096),
            excess_bytes: Bytes(0),
            stale: None,
            unfinished: None,
            scanned: Some(Timestamp::UNIX_EPOCH),
            samples: Some(0),
            growth_stacks: Vec::new(),
            counters,
            without_counters: Vec::new(),
            counters_read: Some(Timestamp::UNIX_EPOCH),
        }),
        not_read: None,
        totals_only: None,
        peak: None,
    })
}

fn container(cgroup: &str, name: Name, charge: Charge) -> ContainerRow {
    let mut row = ContainerRow::empty(cgroup.to_owned());
    row.usage_bytes = charge.usage_bytes;
    row.limit = Some(Limit { bytes: Bytes(1000 * MIB), owner: cgroup.to_owned() });
    row.name = Some(name.into());
    row.charge = Some(charge);
    row
}

fn charge(anonymous: u64) -> Charge {
    Charge {
        usage_bytes: Some(Bytes(anonymous + 21 * MIB)),
        anon_bytes: Some(Bytes(anonymous)),
        active_file_bytes: Some(Bytes(4 * MIB)),
        inactive_file_bytes: Some(Bytes(10 * MIB)),
        shmem_bytes: Some(Bytes(MIB)),
        kernel_bytes: Some(Bytes(5 * MIB)),
        kernel_stack_bytes: Some(Bytes(MIB)),
        slab_reclaimable_bytes: Some(Bytes(2 * MIB)),
        ..Charge::default()
    }
}

fn setting(name: &str, value: &str) -> Setting {
    Setting { name: name.into(), value: value.into() }
}

fn jemalloc(active: u64, dirty: u64) -> Counters {
    Counters {
        allocator: "jemalloc".into(),
        version: Some("5.3.1".into()),
        allocated_bytes: Some(Bytes(active)),
        free_resident_bytes: Some(Bytes(dirty)),
        retained_bytes: Some(Bytes(64 * MIB)),
        settings: vec![setting("dirty_decay_ms", "10000"), setting("environment", "_RJEM_MALLOC_CONF")],
        missing: vec!["how full the pages in use are".into()],
        ..Counters::default()
    }
}

fn name(pod: &str, container: &str) -> Name {
    Name {
        namespace: Some("shop".into()),
        pod: Some(pod.into()),
        pod_uid: Some(format!("{pod}-uid")),
        container: Some(container.into()),
        container_id: Some(format!("{container}0123456789")),
        ..Name::default()
    }
}

fn snapshot() -> Snapshot {
    let server = process(
        7,
        "/pods/a/server",
        vec![arena("jemalloc", "extents", 480 * MIB), arena("stack", "thread stack", 2 * MIB)],
        vec![jemalloc(60 * MIB, 412 * MIB)],
    );
    Snapshot {
        schema: SNAPSHOT,
        time: Timestamp::UNIX_EPOCH,
        tracer: None,
        processes: vec![server, process(8, "/pods/a/side", vec![arena("glibc", "heap", 9 * MIB)], vec![])],
        containers: vec![
            container("/pods/a/server", name("cart-0", "server"), charge(500 * MIB)),
            container("/pods/a/side", name("cart-0", "side"), charge(9 * MIB)),
            container("/pods/b/server", name("pay-0", "server"), charge(MIB)),
        ],
        node: Node::default(),
    }
}

fn page(word: &str, insights: Option<&Insights>) -> Explanation {
    let snapshot = snapshot();
    explain(&snapshot, insights, &Facts::default(), &find(&snapshot, word).unwrap())
}

fn closes(explanation: &Explanation) {
    let sum = |parts: &[Part]| parts.iter().map(|part| part.bytes.0).sum::<u64>();
    if let (Some(total), Some(remainder)) = (explanation.total_bytes, explanation.remainder_bytes) {
        assert_eq!(sum(&explanation.parts) as i64 + remainder, total.0 as i64);
    }
    for part in explanation.parts.iter().filter(|part| !part.parts.is_empty()) {
        assert_eq!(sum(&part.parts), part.bytes.0, "{}", part.what);
    }
}

#[test]
fn a_server_whose_load_went_away_has_reserved_and_not_leaked() {
    let explanation = page("shop/cart-0/server", None);
    closes(&explanation);
    assert_eq!(explanation.remainder_bytes, Some(MIB as i64));
    let finding = &explanation.findings[0];
    assert!(
        finding.sentence.starts_with("reserved, not leaked: 412.0 MiB of 521.0 MiB are free in jemalloc's")
    );
    assert!(finding.sentence.contains("background_thread is off"));
    let setting = finding.remedies[0].setting.as_deref();
    assert_eq!(setting, Some("_RJEM_MALLOC_CONF=background_thread:true,dirty_decay_ms:1000"));
    assert!(explanation.notes.iter().any(|note| note.contains("need history")));
    let text = text(&explanation, Style::default());
    for word in ["521.0 MiB charged", "remainder", "VERDICT", "_RJEM_MALLOC_CONF=", "virtual only"] {
        assert!(text.contains(word), "{word} in {text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

#[test]
fn with_jemallocs_thread_there_is_nothing_to_set() {
    let snapshot = snapshot();
    let facts = Facts { purging: vec![7], ..Facts::default() };
    let explanation = explain(&snapshot, None, &facts, &find(&snapshot, "7").unwrap());
    assert!(explanation.findings[0].sentence.contains("its background thread returns them"));
    assert!(explanation.findings[0].remedies.is_empty());
    closes(&explanation);
    assert_eq!(explanation.remainder_bytes, Some(4096));
}

#[test]
fn a_leak_that_history_found_comes_first() {
    let leak = Finding {
        kind: Kind::Leak,
        confidence: Confidence::High,
        sentence: "it leaks 3 MiB a minute".into(),
        evidence: Vec::new(),
        remedies: Vec::new(),
    };
    let insight = Insight { findings: vec![leak.clone()], ..Insight::default() };
    let insights = Insights::from([("/pods/a/side".to_owned(), insight)]);
    let explanation = page("side", Some(&insights));
    assert_eq!(explanation.findings, [leak]);
    assert!(!explanation.notes.iter().any(|note| note.contains("need history")));
}

#[test]
fn targets_are_found_by_what_people_call_them() {
    let snapshot = snapshot();
    let kind = |word: &str| match find(&snapshot, word) {
        Ok(Subject::Process(row)) => row.pid.to_string(),
        Ok(Subject::Container(row)) => row.cgroup.clone(),
        Ok(Subject::Pod(name, rows)) => format!("{name} {}", rows.len()),
        Err(error) => error.to_string(),
    };
    assert_eq!(kind("7"), "7");
    assert_eq!(kind("side"), "/pods/a/side");
    assert_eq!(kind("side01234"), "/pods/a/side");
    assert_eq!(kind("/pods/b/server/"), "/pods/b/server");
    assert_eq!(kind("cart-0"), "shop/cart-0 2");
    assert_eq!(kind("shop/cart-0"), "shop/cart-0 2");
    assert!(kind("server").contains("is ambiguous, 2 match"));
    assert!(kind("serv").starts_with("no process, container, pod or cgroup is called serv; similar names: "));
    closes(&page("cart-0", None));
}

#[test]
fn two_stand_side_by_side() {
    let text = pair(&page("7", None), &page("side", None), Style::default());
    assert!(text.contains("jemalloc: resident") && text.contains("glibc: resident"), "{text}");
}

proptest! {
    #[test]
    fn the_sum_closes_whatever_is_charged(
        usage: u32, anonymous: u32, file: u32, shmem: u32, kernel: u32, slab: u32,
        rows in prop::collection::vec((0..4_usize, any::<u32>()), 0..6),
    ) {
        let mut snapshot = snapshot();
        let kinds = [("jemalloc", "extents"), ("stack", "main stack"), ("shmem", "memfd"), ("file", "file")];
        let rows = rows.iter().map(|(kind, bytes)| arena(kinds[*kind].0, kinds[*kind].1, u64::from(*bytes)));
        snapshot.processes[0] = process(7, "/pods/a/server", rows.collect(), vec![jemalloc(1, u64::from(usage))]);
        snapshot.containers[0].charge = Some(Charge {
            usage_bytes: Some(Bytes(usage.into())),
            anon_bytes: Some(Bytes(anonymous.into())),
            active_file_bytes: Some(Bytes(file.into())),
            inactive_file_bytes: None,
            shmem_bytes: Some(Bytes(shmem.into())),
            kernel_bytes: Some(Bytes(kernel.into())),
            slab_unreclaimable_bytes: Some(Bytes(slab.into())),
            ..Charge::default()
        });
        for word in ["/pods/a/server", "7"] {
            let explanation = explain(&snapshot, None, &Facts::default(), &find(&snapshot, word).unwrap());
            closes(&explanation);
            let text = text(&explanation, Style::default());
            prop_assert!(text.lines().all(|line| line.chars().count() <= 100));
        }
    }
}

/// One process with several arenas lists each of them, largest first; a single arena or two processes list none.
#[test]
fn arenas_are_told_of_one_process() {
    let arena = |name: &str, used: Option<u64>, free: Option<u64>| ArenaCounters {
        name: name.into(),
        allocated_bytes: used.map(Bytes),
        free_resident_bytes: free.map(Bytes),
        system_bytes: Some(Bytes(300 * MIB)),
    };
    let with = |arenas: Vec<ArenaCounters>| Counters { arenas, ..jemalloc(60 * MIB, 412 * MIB) };
    let told = |all: Vec<Counters>| {
        let mut snapshot = snapshot();
        let held = || vec![self::arena("jemalloc", "extents", 480 * MIB)];
        let processes =
            (7..).zip(all).map(|(pid, counters)| process(pid, "/pods/a/server", held(), vec![counters]));
        snapshot.processes = processes.collect();
        let target = find(&snapshot, "shop/cart-0/server").unwrap();
        let explanation = explain(&snapshot, None, &Facts::default(), &target);
        let names = explanation.allocators[0].by_arena.iter().map(|arena| arena.name.clone());
        (names.collect::<Vec<_>>(), text(&explanation, Style::default()))
    };
    let several = vec![
        arena("arena 0", Some(10 * MIB), Some(MIB)),
        arena("arena 1", Some(50 * MIB), None),
        arena("arena 2", None, Some(20 * MIB)),
        arena("arena 3", Some(0), None),
    ];
    let (names, page) = told(vec![with(several.clone())]);
    assert_eq!(names, ["arena 1", "arena 2", "arena 0"]);
    let line = |name: &str| page.lines().find(|line| line.contains(name)).unwrap();
    assert!(line("arena 1").contains("50.0 MiB  in use, of 300.0 MiB"), "{page}");
    assert!(line("arena 2").contains("20.0 MiB  free, of 300.0 MiB"), "{page}");
    assert!(line("arena 0").contains("10.0 MiB  in use, and 1.0 MiB free, of 300.0 MiB"), "{page}");
    assert!(page.contains("1 more hold"), "{page}");
    assert!(told(vec![with(vec![arena("arena 0", Some(MIB), None)])]).0.is_empty());
    assert!(told(vec![with(several.clone()), with(several)]).0.is_empty());
}

#[test]
fn a_process_is_not_given_the_verdict_on_its_group() {
    let leak = Finding {
        kind: Kind::Leak,
        confidence: Confidence::High,
        sentence: "memory grows steadily".into(),
        evidence: Vec::new(),
        remedies: Vec::new(),
    };
    let insight = Insight { findings: vec![leak], ..Insight::default() };
    let insights = Insights::from([("/pods/a/server".to_owned(), insight)]);
    assert_eq!(page("7", Some(&insights)).findings[0].kind, Kind::Leak, "it is alone in its group");
    let mut snapshot = snapshot();
    snapshot.processes.push(process(9, "/pods/a/server", vec![arena("glibc", "heap", MIB)], vec![]));
    let explained = explain(&snapshot, Some(&insights), &Facts::default(), &find(&snapshot, "7").unwrap());
    assert!(explained.findings.iter().all(|finding| finding.kind != Kind::Leak), "{:?}", explained.findings);
    assert!(explained.notes.iter().any(|note| note.contains("/pods/a/server")), "{:?}", explained.notes);
}

#[test]
fn a_process_that_has_just_begun_has_grown_since_then() {
    let mut snapshot = snapshot();
    let server = Arc::make_mut(&mut snapshot.processes[0]);
    server.started = Some(snapshot.time - jiff::SignedDuration::from_millis(500));
    (server.growth_bytes_per_second, server.rss_bytes) = (None, Some(Bytes(30 * MIB)));
    let of = |snapshot: &Snapshot| explain(snapshot, None, &Facts::default(), &find(snapshot, "7").unwrap());
    let explained = of(&snapshot);
    assert_eq!(explained.growth.as_ref().unwrap().bytes_per_second, 60.0 * MIB as f64);
    assert!(explained.findings.iter().all(|finding| finding.kind != Kind::Growth), "a start says nothing");
    let page = text(&explained, Style { color: false, width: 100 });
    assert!(page.contains("it has taken 30.0 MiB since it began 0.5 s ago"), "{page}");
    Arc::make_mut(&mut snapshot.processes[0]).started =
        Some(snapshot.time - jiff::SignedDuration::from_secs(60));
    assert_eq!(of(&snapshot).growth, None);
}

#[test]
fn growth_says_how_long_there_is_and_who_grows() {
    let insight = Insight { growth_bytes_per_second: Some(8.0 * MIB as f64), ..Insight::default() };
    let insights = Insights::from([("/pods/a/server".to_owned(), insight)]);
    let mut snapshot = snapshot();
    let frame = |symbol: &str| crate::snapshot::UserFrame {
        address: "0x1".into(),
        module: Some("/app/server".into()),
        file_offset: Some(1),
        symbol: Some(symbol.into()),
        inode: None,
    };
    let server = Arc::make_mut(&mut snapshot.processes[0]);
    server.memory.as_mut().unwrap().growth_stacks = vec![GrowthStack {
        bytes: [Bytes(MIB), Bytes(5 * MIB), Bytes(5 * MIB)],
        walked_by: crate::mm::growth::WalkedBy::default(),
        frames: ["malloc", "remember_session", "main"].map(frame).to_vec(),
    }];
    let of = |word| explain(&snapshot, Some(&insights), &Facts::default(), &find(&snapshot, word).unwrap());
    let explained = of("/pods/a/server");
    let pod = of("cart-0").growth.unwrap();
    assert_eq!(Some(&pod), explained.growth.as_ref(), "the container of a pod that is nearest to its limit");
    let growth = explained.growth.as_ref().unwrap();
    // 1000 MiB less 521 MiB with 14 MiB of page cache in them.
    assert!((growth.seconds_to_limit.unwrap() - 493.0 / 8.0).abs() < 0.5, "{growth:?}");
    assert_eq!(explained.findings[0].kind, Kind::Growth);
    let page = text(&explained, Style { color: false, width: 100 });
    assert!(page.contains("remember_session < main"), "{page}");
    // As `huge-pages-alive` with seed 411: the growth ended before the question.
    let ended = Ended { bytes: Bytes(146 * MIB), seconds_ago: 8.0 };
    let insight = Insight { growth_bytes_per_second: Some(0.0), grew: Some(ended), ..Insight::default() };
    let insights = Insights::from([("/pods/a/server".to_owned(), insight)]);
    for word in ["/pods/a/server", "7", "cart-0"] {
        let explained =
            explain(&snapshot, Some(&insights), &Facts::default(), &find(&snapshot, word).unwrap());
        assert!(explained.findings.iter().all(|finding| finding.kind != Kind::Growth), "{word}");
        let page = text(&explained, Style { color: false, width: 100 });
        assert!(page.contains("it grew by 146.0 MiB until 8 s ago"), "{word}: {page}");
    }
}
