//! Rows of a workload as a side.
//!
//! Five-minute rows in the order of time -> [`Side`]. Pure. A level is the median of the medians, a kind and an allocator
//! the median of what was read at the peaks of the rows.

use std::collections::BTreeMap;

use super::side::{Figure, Origin, Sample, Series, Side, bounded, by_kind, known, sample};
use crate::{
    container::workload::Workload,
    history::lasting::{Row, SLOT},
    sizing::made_of::{Held, MadeOf},
    units::Bytes,
    verdict::trend::median,
};

/// The most rows: 35 days.
const MOST_ROWS: usize = 35 * 288;

/// Rows of one workload in the making of a side.
#[derive(Clone, Debug, Default)]
pub struct Gathered {
    level: Vec<Sample>,
    start: Vec<Sample>,
    anon: Vec<f64>,
    shmem: Vec<f64>,
    kernel: Vec<f64>,
    file: Vec<f64>,
    /// By allocator: used, free.
    allocators: BTreeMap<String, [Vec<f64>; 2]>,
    kills: u64,
    restarts: u64,
}

impl Gathered {
    /// Takes the next row.
    pub fn push(&mut self, row: &Row) {
        if self.level.len() >= MOST_ROWS {
            return;
        }
        let at = i64::from(row.slot) * SLOT.cast_signed();
        let keep = |list: &mut Vec<f64>, bytes: Option<Bytes>| {
            list.extend(bytes.map(|bytes| bounded(bytes).0 as f64))
        };
        self.level.extend(row.median.map(|bytes| sample(at, bytes)));
        self.start.extend(row.start.map(|bytes| sample(at, bytes)));
        keep(&mut self.anon, row.kinds.anon);
        keep(&mut self.shmem, row.kinds.shmem);
        keep(&mut self.kernel, row.kinds.kernel);
        keep(&mut self.file, row.kinds.file);
        for arena in &row.arenas {
            let [used, free] = self.allocators.entry(arena.allocator.clone()).or_default();
            keep(used, arena.used);
            keep(free, arena.free);
        }
        self.kills += u64::from(row.kills);
        self.restarts += u64::from(row.restarts);
    }

    /// How many rows have a level.
    pub fn rows(&self) -> usize {
        self.level.len()
    }

    /// The side, asked for as `name`; `span` is the time that was asked for, in words.
    pub fn side(self, name: &str, workload: &Workload, span: &str) -> Side {
        let rows = self.level.len();
        let Self { level, start, anon, shmem, kernel, file, allocators, kills, restarts } = self;
        let version = Some(workload.image.clone()).filter(|image| !image.is_empty());
        let of = version.as_ref().map_or_else(String::new, |image| format!(" in version {image}"));
        let held = |(allocator, [used, free]): (String, [Vec<f64>; 2])| {
            let (used, free) = (middle(used), middle(free));
            let sum = used.unwrap_or_default().0.saturating_add(free.unwrap_or_default().0);
            Held { allocator, resident_bytes: Bytes(sum), used_bytes: used, free_bytes: free }
        };
        let allocators: Vec<Held> = allocators.into_iter().map(held).collect();
        let made_of = MadeOf {
            at: 0.0,
            total_bytes: None,
            parts: Vec::new(),
            remainder_bytes: None,
            programs: Vec::new(),
            allocators,
            stacks: Vec::new(),
            stacks_left_out: 0,
        };
        Side {
            name: name.to_owned(),
            what: format!("the workload {}{of}, {rows} five-minute rows {span}", workload.label()),
            origin: Origin::History,
            program: Some(workload.label()),
            version,
            figures: known(vec![
                Series { figure: Figure::FirmLevel, samples: level },
                Series { figure: Figure::StartUp, samples: start },
            ]),
            kinds: by_kind(middle(anon), middle(shmem), middle(kernel)),
            page_cache_bytes: middle(file),
            made_of: (!made_of.allocators.is_empty()).then_some(made_of),
            kills,
            restarts,
        }
    }
}

fn middle(mut values: Vec<f64>) -> Option<Bytes> {
    median(&mut values).map(|value| Bytes(value as u64))
}
