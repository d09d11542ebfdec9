//! A family of series: a name, a help text, a type, and values by labels.
//!
//! Values -> types of the `prometheus` crate. Must not interpret them.

use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use crate::container::workload_labels::WorkloadLabels;

#[derive(Debug)]
pub(super) struct Family {
    proto: MetricFamily,
}

impl Family {
    /// A family of values that only grow.
    pub(super) fn counter(name: &str, help: &str) -> Self {
        Self::of(name, help, MetricType::COUNTER)
    }

    /// A family of values that rise and fall.
    pub(super) fn gauge(name: &str, help: &str) -> Self {
        Self::of(name, help, MetricType::GAUGE)
    }

    fn of(name: &str, help: &str, kind: MetricType) -> Self {
        let mut proto = MetricFamily::default();
        proto.set_name(name.to_owned());
        proto.set_help(help.to_owned());
        proto.set_field_type(kind);
        Self { proto }
    }

    /// Adds a series.
    pub(super) fn add(&mut self, labels: &[(&str, &str)], value: f64) {
        let labels = labels.iter().map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        });
        let mut metric = Metric::from_label(labels.collect());
        if self.proto.get_field_type() == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        self.proto.mut_metric().push(metric);
    }

    /// Adds a series of a container.
    pub(super) fn add_of(&mut self, join: &WorkloadLabels, more: &[(&str, &str)], value: f64) {
        let WorkloadLabels { namespace, pod, container } = join;
        let labels = [("namespace", namespace.as_str()), ("pod", pod), ("container", container)];
        self.add(&[&labels, more].concat(), value);
    }

    /// Adds a series without labels, if its value is known.
    pub(super) fn one(mut self, value: Option<f64>) -> Self {
        if let Some(value) = value {
            self.add(&[], value);
        }
        self
    }

    /// The family for the encoder; `None` without series.
    pub(super) fn finish(self) -> Option<MetricFamily> {
        (!self.proto.get_metric().is_empty()).then_some(self.proto)
    }
}
