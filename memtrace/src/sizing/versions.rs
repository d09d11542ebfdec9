//! The history of workloads over the versions of their images.
//!
//! Rows in the order of time -> the [`Day`]s of each workload, under its newest image. Pure.

use std::collections::BTreeMap;

use super::days::{Day, Days};
use crate::{container::workload::Workload, history::lasting::Row};

/// Whole days of the newest image from which those of older ones are not used.
const OWN_DAYS: usize = 3;

/// All workloads, by label.
#[derive(Clone, Debug, Default)]
pub struct Histories {
    workloads: BTreeMap<String, Versions>,
}

#[derive(Clone, Debug, Default)]
struct Versions {
    all: Days,
    each: BTreeMap<Workload, Days>,
    newest: Option<Workload>,
}

impl Histories {
    /// Takes the next row.
    pub fn push(&mut self, workload: &Workload, row: &Row) {
        let versions = self.workloads.entry(workload.label()).or_default();
        versions.all.push(row);
        match versions.each.get_mut(workload) {
            Some(days) => days.push(row),
            None => versions.each.entry(workload.clone()).or_default().push(row),
        }
        if versions.newest.as_ref() != Some(workload) {
            versions.newest = Some(workload.clone());
        }
    }

    /// The labels, sorted.
    pub fn labels(&self) -> impl Iterator<Item = &str> + Clone {
        self.workloads.keys().map(String::as_str)
    }

    /// The workloads whose label is wanted.
    pub fn finish(self, is_wanted: impl Fn(&str) -> bool) -> Vec<(Workload, Vec<Day>)> {
        let wanted = self.workloads.into_iter().filter(|(label, _)| is_wanted(label));
        wanted.filter_map(|(_, versions)| versions.finish()).collect()
    }
}

impl Versions {
    /// The days of the newest image if they are enough, else of all.
    fn finish(mut self) -> Option<(Workload, Vec<Day>)> {
        let newest = self.newest?;
        let own = self.each.remove(&newest).unwrap_or_default().finish();
        let is_enough = own.iter().filter(|day| day.is_half()).count() >= OWN_DAYS;
        Some((newest, if is_enough { own } else { self.all.finish() }))
    }
}
