//! Workers: many processes of one program under the limit, as prefork servers have them.
//!
//! Input: a case. Output: a fact with their number and sizes, and what sets the number. Pure. Pages that they share count
//! in each size, so the sizes do not add up to the usage, and one process less frees less than its size.

use std::collections::BTreeMap;

use super::{Case, case::share};
use crate::{
    allocator::counters::launch::server::WORKERS,
    oom::record::circumstances::ProcessAtKill,
    units::{Bytes, Grade},
    verdict::{Fact, Remedy},
};

/// Fewer are no crowd.
const FEWEST: usize = 3;
/// The least part of the usage that their sizes together would take.
const LEAST_SHARE: f64 = 0.5;
/// What sets the number of processes, by the start of the program's name.
const SETTINGS: [(&str, &str); 10] = [
    ("gunicorn", "--workers or WEB_CONCURRENCY"),
    ("uvicorn", "--workers or WEB_CONCURRENCY"),
    ("puma", "workers in its configuration, or WEB_CONCURRENCY"),
    ("unicorn", "worker_processes"),
    ("php-fpm", "pm.max_children"),
    ("uwsgi", "--processes"),
    ("celery", "--concurrency"),
    ("apache2", "MaxRequestWorkers"),
    ("httpd", "MaxRequestWorkers"),
    ("postgres", "max_connections"),
];

/// The processes of the program that has most of them, if they matter.
pub struct Workers {
    program: String,
    count: usize,
    smallest: Bytes,
    largest: Bytes,
    grade: Grade,
    /// How many workers the program was told to run, if that is known.
    told: Option<u64>,
}

impl Workers {
    /// The workers of a case.
    pub fn of(case: &Case<'_>) -> Option<Self> {
        let mut programs: BTreeMap<&str, Vec<&ProcessAtKill>> = BTreeMap::new();
        for process in &case.record.circumstances.processes {
            let name = process.task.process_comm.as_ref().unwrap_or(&process.task.comm);
            programs.entry(name).or_default().push(process);
        }
        let (program, members) = programs.into_iter().max_by_key(|(_, members)| members.len())?;
        let sizes: Vec<Bytes> = members.iter().filter_map(|process| process.rss_bytes).collect();
        let sum = Bytes(sizes.iter().fold(0, |sum: u64, size| sum.saturating_add(size.0)));
        let is_much = members.len() >= FEWEST && share(sum, case.charged()?) >= LEAST_SHARE;
        is_much.then_some(())?;
        Some(Self {
            program: program.to_owned(),
            count: members.len(),
            smallest: sizes.iter().min().copied()?,
            largest: sizes.iter().max().copied()?,
            grade: members.iter().max_by_key(|process| process.rss_bytes)?.grade,
            told: members.iter().any(|process| process.is_victim).then(|| told(case)).flatten(),
        })
    }

    fn each(&self) -> String {
        let Self { smallest, largest, .. } = self;
        if smallest == largest { smallest.to_string() } else { format!("{smallest} to {largest}") }
    }

    /// "9 × gunicorn (8 workers by its settings), resident in each (shared pages count in each): 61.2 MiB to 70.1 MiB".
    pub fn fact(&self) -> Fact {
        let Self { program, count, grade, told, .. } = self;
        let told = told.map_or_else(String::new, |told| format!(" ({told} workers by its settings)"));
        let what = format!("{count} × {program}{told}, resident in each (shared pages count in each)");
        Fact { what, value: self.each(), grade: *grade }
    }

    /// Fewer of them, and the setting for that, if it is known.
    pub fn remedy(&self) -> Remedy {
        let Self { program, count, told, .. } = self;
        let setting =
            SETTINGS.iter().find(|(name, _)| program.starts_with(name)).map(|(_, setting)| *setting);
        let now = told.map(|told| format!("{told} now"));
        let by: Vec<&str> = setting.into_iter().chain(now.as_deref()).collect();
        let by = if by.is_empty() { String::new() } else { format!(" ({})", by.join("; ")) };
        Remedy { text: format!("or run fewer than {count} processes of {program}{by}"), setting: None }
    }
}

/// The number of workers in the settings of the victim.
fn told(case: &Case<'_>) -> Option<u64> {
    let memory = case.record.circumstances.victim_memory.as_ref()?;
    let mut settings = memory.counters.iter().flat_map(|counters| &counters.settings);
    settings.find(|setting| setting.name == WORKERS)?.value.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        allocator::counters::{Counters, Setting},
        oom::{
            cause::fixture::{MIB, record, task},
            record::circumstances::VictimMemory,
        },
    };

    fn workers(name: &str, sizes: &[u64]) -> Option<Workers> {
        workers_told(name, sizes, None)
    }

    fn workers_told(name: &str, sizes: &[u64], told: Option<&str>) -> Option<Workers> {
        let mut record = record(600);
        let settings = told.map(|told| Setting { name: WORKERS.to_owned(), value: told.to_owned() });
        let counters = vec![Counters { settings: settings.into_iter().collect(), ..Counters::default() }];
        record.circumstances.victim_memory = Some(VictimMemory { counters, ..VictimMemory::default() });
        let of = |(pid, mib): (u32, &u64)| ProcessAtKill {
            task: task(pid, name, "/pod"),
            rss_bytes: Some(Bytes(mib * MIB)),
            anon_bytes: None,
            growth_bytes_per_second: None,
            threads: None,
            copy_of: None,
            copied_seconds_ago: None,
            is_victim: pid == 10,
            grade: Grade::Read,
            age_seconds: Some(0.0),
        };
        record.circumstances.processes = (10..).zip(sizes).map(of).collect();
        record.circumstances.processes.push(of((9, &5)));
        record.circumstances.processes.last_mut()?.task.process_comm = Some("sh".to_owned());
        Workers::of(&Case::new(&record))
    }

    #[test]
    fn a_crowd_is_told_with_what_sets_its_number() {
        let found = workers("php-fpm8.2", &[20, 21, 19, 30]).unwrap();
        let fact = found.fact();
        assert!(fact.what.starts_with("4 × php-fpm8.2"), "{fact:?}");
        assert_eq!(fact.value, "19.0 MiB to 30.0 MiB");
        let remedy = found.remedy();
        assert_eq!(remedy.text, "or run fewer than 4 processes of php-fpm8.2 (pm.max_children)");
        assert_eq!(
            workers("job", &[30, 30, 30]).unwrap().remedy().text,
            "or run fewer than 3 processes of job"
        );
    }

    #[test]
    fn a_number_that_was_read_is_told() {
        let found = workers_told("gunicorn", &[20, 21, 19], Some("8")).unwrap();
        assert!(
            found.fact().what.starts_with("3 × gunicorn (8 workers by its settings), "),
            "{:?}",
            found.fact()
        );
        let text = found.remedy().text;
        assert_eq!(text, "or run fewer than 3 processes of gunicorn (--workers or WEB_CONCURRENCY; 8 now)");
    }

    #[test]
    fn few_or_small_processes_are_none() {
        assert!(workers("gunicorn", &[50, 40]).is_none());
        assert!(workers("gunicorn", &[10, 10, 10]).is_none(), "of a limit of 100 MiB");
        assert!(workers("gunicorn", &[]).is_none());
    }
}
