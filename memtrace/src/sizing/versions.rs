//! The history of workloads over the versions of their images.
//!
//! Rows in the order of time -> the [`Day`]s of each workload, under its newest image. Pure.

use std::collections::{BTreeMap, btree_map::Entry};

use super::days::{Day, Days};
use crate::{container::workload::Workload, history::lasting::Row};

/// Whole days of the newest image from which those of older ones are not used.
const OWN_DAYS: usize = 3;

/// All workloads. A store has hundreds of thousands of rows: what is done for each is one lookup and one or two additions.
#[derive(Clone, Debug, Default)]
pub struct Histories {
    /// By workload, the number of its version.
    numbers: BTreeMap<Workload, usize>,
    versions: Vec<Version>,
    labels: Vec<Label>,
    /// By label, its number.
    by_label: BTreeMap<String, usize>,
}

/// A workload in one version of its image.
#[derive(Clone, Debug)]
struct Version {
    label: usize,
    workload: Workload,
    days: Days,
}

/// A workload in all versions.
#[derive(Clone, Debug)]
struct Label {
    /// Number of the newest version.
    newest: usize,
    /// The days of all versions; `None` as long as there is one.
    all: Option<Days>,
}

impl Histories {
    /// Takes the next row.
    pub fn push(&mut self, workload: &Workload, row: &Row) {
        let number = self.numbers.get(workload).copied();
        let number = number.unwrap_or_else(|| self.add(workload));
        let Some(version) = self.versions.get_mut(number) else { return };
        version.days.push(row);
        let Some(label) = self.labels.get_mut(version.label) else { return };
        label.newest = number;
        if let Some(all) = &mut label.all {
            all.push(row);
        }
    }

    /// Adds a version; the second one of a label begins with all rows of the first, which came before.
    fn add(&mut self, workload: &Workload) -> usize {
        let number = self.versions.len();
        let label = match self.by_label.entry(workload.label()) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                self.labels.push(Label { newest: number, all: None });
                *new.insert(self.labels.len() - 1)
            }
        };
        let days = Days::default();
        self.versions.push(Version { label, workload: workload.clone(), days });
        self.numbers.insert(workload.clone(), number);
        if let Some(label) = self.labels.get_mut(label)
            && label.newest != number
            && label.all.is_none()
        {
            label.all = self.versions.get(label.newest).map(|first| first.days.clone());
        }
        number
    }

    /// The labels, sorted.
    pub fn labels(&self) -> impl Iterator<Item = &str> + Clone {
        self.by_label.keys().map(String::as_str)
    }

    /// The workloads whose label is wanted.
    pub fn finish(self, is_wanted: impl Fn(&str) -> bool) -> Vec<(Workload, Vec<Day>)> {
        let Self { mut versions, mut labels, by_label, .. } = self;
        let wanted = by_label.into_iter().filter(|(label, _)| is_wanted(label));
        wanted
            .filter_map(|(_, number)| {
                let Label { newest, all } = labels.get_mut(number)?;
                let Version { workload, days, .. } = versions.get_mut(*newest)?;
                Some((workload.clone(), days_of(std::mem::take(days), all.take())))
            })
            .collect()
    }
}

/// The days of the newest image if they are enough, else of all.
fn days_of(own: Days, all: Option<Days>) -> Vec<Day> {
    let own = own.finish();
    let is_enough = own.iter().filter(|day| day.is_half()).count() >= OWN_DAYS;
    match all {
        Some(all) if !is_enough => all.finish(),
        _ => own,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{sizing::days::ROWS, units::Bytes};

    fn rows(days: std::ops::Range<u32>, high: u64) -> impl Iterator<Item = Row> {
        let row = move |slot| Row { slot, readings: 300, high: Some(Bytes(high)), ..Row::default() };
        (days.start * ROWS..days.end * ROWS).map(row)
    }

    fn workload(container: &str, image: &str) -> Workload {
        Workload { container: container.into(), image: image.into(), ..Workload::default() }
    }

    /// The image, and the days with their peaks, of each workload.
    fn told(histories: Histories) -> Vec<(String, Vec<(u32, u64)>)> {
        let peak = |day: &Day| (day.number, day.peak.unwrap_or_default().0);
        let all = histories.finish(|_| true).into_iter();
        all.map(|(workload, days)| (workload.image, days.iter().map(peak).collect())).collect()
    }

    #[test]
    fn a_new_image_counts_alone_once_it_ran_for_three_days() {
        for (until, wanted) in [(4, vec![(0, 9), (1, 9), (2, 9), (3, 5)]), (6, vec![(3, 5), (4, 5), (5, 5)])]
        {
            let mut histories = Histories::default();
            rows(0..3, 9).for_each(|row| histories.push(&workload("web", "a"), &row));
            rows(3..until, 5).for_each(|row| histories.push(&workload("web", "b"), &row));
            assert_eq!(told(histories), [("b".to_owned(), wanted)]);
        }
    }

    #[test]
    fn an_image_that_comes_back_is_the_newest_again() {
        let mut histories = Histories::default();
        for (day, image) in [(0, "a"), (1, "b"), (2, "a"), (3, "c"), (4, "a")] {
            rows(day..day + 1, u64::from(day)).for_each(|row| histories.push(&workload("web", image), &row));
        }
        rows(4..5, 7).for_each(|row| histories.push(&workload("db", ""), &row));
        let labels: Vec<&str> = histories.labels().collect();
        assert_eq!(labels, ["db", "web"]);
        let of_a = vec![(0, 0), (2, 2), (4, 4)];
        assert_eq!(told(histories), [(String::new(), vec![(4, 7)]), ("a".to_owned(), of_a)]);
    }
}
