use std::sync::Arc;

use zerocopy::FromZeros as _;

use super::*;
use crate::{
    cgroup::charge::Charge,
    oom::cause::fixture::{MIB, record},
    snapshot::{ContainerRow, Node, SCHEMA},
};

fn process(pid: u32, read: Timestamp) -> Arc<ProcessRow> {
    Arc::new(ProcessRow {
        pid,
        comm: "p".into(),
        uid: Some(0),
        started: None,
        cgroup: Some("/pod".into()),
        rss_bytes: Some(Bytes(40 * MIB)),
        rss_grade: Grade::Read,
        rss_read: Some(read),
        growth_bytes_per_second: None,
        growth_window_seconds: None,
        limit: None,
        memory: None,
        not_read: None,
        totals_only: None,
        peak: None,
    })
}

/// Without a report of the kernel, the kinds are those of the group's last reading, which a snapshot only repeats.
#[test]
fn every_figure_has_its_own_age() {
    let mut record = record(100);
    let mut frozen = OomKill::new_zeroed();
    frozen.header.ktime = 50_000_000_000;
    let mut group = ContainerRow::empty("/pod".into());
    let charge = Charge { anon_bytes: Some(Bytes(30 * MIB)), ..Charge::default() };
    (group.charge, group.charge_age_seconds) = (Some(charge), Some(20.0));
    let ago = |seconds| record.time - jiff::SignedDuration::from_secs(seconds);
    let snapshot = Snapshot {
        schema: SCHEMA,
        time: ago(1),
        tracer: None,
        processes: vec![process(10, ago(1)), process(11, ago(3))],
        containers: vec![group],
        node: Node { total_bytes: Some(Bytes(1 << 30)), ..Node::default() },
    };
    let known = KnownAtKill {
        snapshot: &snapshot,
        snapshot_at: 49_000_000_000,
        victim: None,
        copies: &[],
        dump: None,
        history: &[],
        page_size: 4096,
    };
    surround(&mut record, &frozen, &known);
    let Circumstances { composition, processes, node_age_seconds, .. } = record.circumstances;
    assert_eq!(composition.unwrap().age_seconds, 21.0, "the reading is older than the snapshot");
    assert_eq!(node_age_seconds, Some(1.0));
    let ages: Vec<_> = processes.iter().map(|process| (process.task.pid, process.age_seconds)).collect();
    // The kernel told the size of the victim at the kill.
    assert_eq!(ages, [(Some(10), Some(0.0)), (Some(11), Some(3.0))]);
}
