//! Series for Prometheus: those that the usual exporters (cAdvisor, kube-state-metrics, node_exporter) do not provide,
//! with the same labels as theirs.
//!
//! [`Inputs`] -> text in the classic format. Labels are namespace, pod and container, and words of fixed sets; never a
//! pid, an id or a path. The number of series is bounded, and omitted ones are counted.

mod containers;
mod family;
mod kills;
mod otlp;
mod self_series;
pub mod self_usage;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use prometheus::{
    Registry, TextEncoder,
    core::{Collector, Desc},
    proto::MetricFamily,
};

use self::family::Family;
pub use self::self_series::{Own, Runs};
use crate::{
    container::workload_labels::WorkloadLabels, export::otlp::Counts, probe::status::ProbeStatus,
    snapshot::Snapshot, store::Tally, verdict::Insights,
};

/// The data that series are made from.
pub struct Inputs {
    /// The node.
    pub snapshot: Arc<Snapshot>,
    /// Insights from history for each container.
    pub insights: Arc<Insights>,
    /// The hooks.
    pub probes: Arc<ProbeStatus>,
    /// Kills so far; `None` when the store cannot be read.
    pub tallies: Option<Vec<Tally>>,
    /// Kills of members of containers that lived on; `None` when the store cannot be read.
    pub members: Option<Vec<(WorkloadLabels, u64)>>,
    /// What became of the kills for a collector; `None` when there is none.
    pub otlp: Option<Counts>,
    /// The daemon's own use of memory and CPU.
    pub own: Own,
}

/// Makes the series at each scrape.
pub struct Exporter {
    registry: Registry,
}

struct Node<F> {
    facts: F,
    /// The most containers that get series of their own.
    most: usize,
    dropped: AtomicU64,
    described: Vec<Desc>,
}

impl Exporter {
    /// An exporter of these facts, with series of their own for at most `most` containers.
    ///
    /// # Errors
    /// Never in practice, because the one registered name is valid.
    pub fn new(most: usize, facts: impl Fn() -> Inputs + Send + Sync + 'static) -> anyhow::Result<Self> {
        let registry = Registry::new();
        // The families depend on the known facts, so one descriptor represents all of them.
        let all = Desc::new("memtrace".to_owned(), "all".to_owned(), Vec::new(), Default::default())?;
        let node = Node { facts, most, dropped: AtomicU64::new(0), described: vec![all] };
        registry.register(Box::new(node))?;
        Ok(Self { registry })
    }

    /// All series, as text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string fails only for families without a name or series, of which there are none.
        if let Err(error) = TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text) {
            tracing::warn!(%error, "failed to write the metrics");
        }
        text
    }
}

impl<F: Fn() -> Inputs + Send + Sync> Collector for Node<F> {
    fn desc(&self) -> Vec<&Desc> {
        self.described.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let facts = (self.facts)();
        let (families, dropped) = families(&facts, self.most);
        let dropped = self.dropped.fetch_add(dropped, Ordering::Relaxed) + dropped;
        let mut counted = Family::counter(
            "memtrace_series_dropped_total",
            "Series of containers left out of an answer because there were too many.",
        );
        counted.add(&[], dropped as f64);
        families.into_iter().chain([counted]).filter_map(Family::finish).collect()
    }
}

/// All families, and the number of omitted series.
fn families(facts: &Inputs, most: usize) -> (Vec<Family>, u64) {
    let Inputs { snapshot, insights, probes, tallies, members, otlp, own } = facts;
    let (rows, left_out) = containers::rows(snapshot, insights, most);
    let mut families = containers::families(&rows);
    let mut dropped = left_out * containers::EACH;
    if let Some(tallies) = tallies {
        let (kills, left_out) = kills::families(tallies, &rows, most);
        families.extend(kills);
        dropped += left_out;
    }
    if let Some(members) = members {
        let (family, left_out) = kills::members(members, &rows, most);
        families.push(family);
        dropped += left_out;
    }
    families.extend(otlp.iter().flat_map(otlp::families));
    families.extend(self_series::families(own, snapshot, probes));
    (families, dropped)
}

#[cfg(test)]
mod board_tests;
#[cfg(test)]
mod tests;
