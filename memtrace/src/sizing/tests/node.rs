//! A node whose history is full: the rows of [`DAYS`] days of so many workloads, in the order of time.
//!
//! Seeds -> traces, with what a node has besides: memory by kind, a limit, two allocators. Also compiled into
//! `benches/advise.rs`.

use std::sync::Arc;

use super::traces::trace;
use crate::{
    container::workload::{OwnerKind, Workload},
    history::lasting::{ArenaUse, Kinds, Row},
    sizing::days::ROWS,
    units::Bytes,
};

/// The days that the store keeps.
pub const DAYS: u32 = 35;
const SLOTS: usize = (DAYS * ROWS) as usize;
const ALLOCATORS: [[&str; 2]; 3] = [["glibc", "go"], ["jemalloc", "glibc"], ["jvm", "glibc"]];

/// A workload and its rows; what all rows have alike is added when they are used.
pub struct Made {
    workload: Arc<Workload>,
    rows: Vec<Row>,
    limit: Option<Bytes>,
    allocators: [&'static str; 2],
}

/// So many workloads, from seeds of their own.
pub fn node(workloads: u32) -> Vec<Made> {
    (0..workloads).map(made).collect()
}

fn made(number: u32) -> Made {
    let mut rows = trace(u64::from(number)).1;
    // A trace is shorter than the history; the next seed of the same shape follows.
    rows.extend(trace(u64::from(number) + 100).1);
    rows.truncate(SLOTS);
    let highest = rows.iter().filter_map(Row::peak).max();
    let workload = Workload {
        namespace: "shop".into(),
        owner: format!("service-{number}"),
        container: "main".into(),
        image: format!("registry.example/shop/service-{number}@sha256:{number:064x}"),
        kind: OwnerKind::Deployment,
    };
    Made {
        workload: Arc::new(workload),
        rows,
        limit: highest.map(|Bytes(highest)| Bytes(highest / 2 * 3)),
        allocators: ALLOCATORS[number as usize % ALLOCATORS.len()],
    }
}

/// Hands out the rows of each day, which begin with `first`.
pub fn each_day(node: &[Made], first: u32, mut take: impl FnMut(&[(Arc<Workload>, Row)])) {
    for day in 0..DAYS {
        let slots = day * ROWS..(day + 1) * ROWS;
        let rows: Vec<_> = slots.flat_map(|at| node.iter().map(move |made| made.row(first, at))).collect();
        take(&rows);
    }
}

impl Made {
    fn row(&self, first: u32, at: u32) -> (Arc<Workload>, Row) {
        let row = &self.rows[at as usize];
        let part = |percent: u64| row.high.map(|Bytes(high)| Bytes(high / 100 * percent));
        let [one, other] = self.allocators;
        let arena = |name: &str, used, free| ArenaUse {
            allocator: name.to_owned(),
            used: part(used),
            free: part(free),
            setting: None,
        };
        let whole = Row {
            slot: first + at,
            aged: 30,
            kinds: Kinds { anon: part(80), shmem: part(5), kernel: part(15), ..row.kinds.clone() },
            limit: self.limit,
            arenas: vec![arena(one, 50, 12), arena(other, 9, 3)],
            ..row.clone()
        };
        (Arc::clone(&self.workload), whole)
    }
}
