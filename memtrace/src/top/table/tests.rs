//! Tables of a fixed snapshot.

use crate::{
    container::memcg::Limit,
    ingest::loss::Loss,
    snapshot::{Node, ProcessRow, SCHEMA, Scans, Snapshot, Tracer},
    units::{Bytes, Grade},
};

use super::{By, Options, signed, table};

fn process(pid: u32, rss: u64, growth: Option<f64>, cgroup: &str) -> ProcessRow {
    ProcessRow {
        pid,
        comm: "redis-server".into(),
        uid: Some(0),
        started: None,
        cgroup: Some(cgroup.into()),
        rss_bytes: Some(Bytes(rss)),
        rss_grade: Grade::Read,
        rss_age_seconds: Some(0.1),
        growth_bytes_per_second: growth,
        growth_window_seconds: growth.map(|_| 10.0),
        limit: Some(Limit { bytes: Bytes(64 << 20), owner: "/a".into() }),
        memory: None,
        peak: None,
    }
}

fn snapshot(losses: Vec<Loss>) -> Snapshot {
    let mut snapshot = Snapshot {
        schema: SCHEMA,
        time: "2026-01-02T03:04:05Z".parse().unwrap(),
        tracer: Some(Tracer {
            started: "2026-01-02T03:00:00Z".parse().unwrap(),
            events: 1234,
            fault_period: 64,
            hooks_attached: 11,
            hooks_total: 11,
            kills: 2,
            bare_marks: 0,
            kills_not_stored: 0,
            losses,
            scans: Scans { followed: 3, done: 7, seconds: 0.25, share_percent: 5, ..Scans::default() },
        }),
        processes: vec![
            process(2, 1 << 20, None, "/a"),
            process(7, 32 << 20, Some(1.5 * 1_048_576.0), "/kubepods/burstable/pod12345678/abcdef"),
            process(1, 1 << 20, Some(-2048.0), "/"),
        ],
        containers: vec![],
        node: Node::default(),
    };
    snapshot.sort();
    snapshot
}

#[test]
fn the_largest_comes_first_and_lines_keep_their_width() {
    let text = table(&snapshot(vec![]), Options { by: By::Process, width: 90, rows: 10 });
    let expected = "\
memtrace 2026-01-02 03:04:05 UTC   3 processes
hooks 11/11   1234 events   1 fault of 64 sampled   2 OOM kills recorded
page tables: 7 reads, 0 of pages alone, 0.25 s (budget 5% of a CPU)   3 processes followed
own CPU ?% of one (no budget)
losses: none

     PID COMMAND                  RSS      GROWTH/s       LIMIT %LIMIT  CGROUP
       7 redis-server        32.0 MiB      +1.5 MiB    64.0 MiB    50%  …od12345678/abcdef
       1 redis-server         1.0 MiB      -2.0 KiB    64.0 MiB     2%  /
       2 redis-server         1.0 MiB             -    64.0 MiB     2%  /a
";
    assert_eq!(text, expected);
    assert!(text.lines().all(|line| line.chars().count() <= 90));
}

#[test]
fn losses_are_never_silent() {
    let loss = Loss { name: "stream_full".into(), count: 3, meaning: "events".into() };
    let text = table(&snapshot(vec![loss]), Options { by: By::Process, width: 90, rows: 1 });
    assert!(text.contains("LOST: 3 events (stream_full)\n"), "{text}");
    assert!(text.contains("and 2 more"), "{text}");
}

#[test]
fn growth_has_a_sign() {
    assert_eq!(signed(0.3), "0");
    assert_eq!(signed(-1024.0), "-1.0 KiB");
    assert_eq!(signed(1024.0), "+1.0 KiB");
}
