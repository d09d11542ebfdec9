//! `memtrace run`: a command in a cgroup of its own, measured.
//!
//! A [`Request`] -> [`Page`]. The thin edge: cgroups, processes, signals, files. What the figures mean is in
//! [`sizing::run`](crate::sizing::run).

mod child;
mod group;
mod home;
mod look;
mod once;
mod outside;
mod progress;
mod records;
pub mod scope;
pub mod signals;

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use rustix::fs::{SeekFrom, seek};

pub use self::{child::NotRun, home::NoHome, once::Stopped};
use self::{
    home::Home,
    once::{Done, Plan, once},
    progress::Progress,
    signals::{Received, Signals},
};
use crate::{
    sizing::run::{
        End, Page, Run, SCHEMA,
        advised::Advised,
        budget::Budget,
        judge,
        search::{Found, MOST_RUNS, Search},
        spread::Spread,
    },
    text::escape,
    units::Bytes,
};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The command and its arguments.
    pub command: Vec<OsString>,
    /// The limit.
    pub limit: Option<Bytes>,
    /// What it may use.
    pub budget: Budget,
    /// How often it is run.
    pub repeat: usize,
    /// Whether the least limit is searched.
    pub finds_limit: bool,
    /// Whether it may swap.
    pub swap: bool,
    /// Whether to wait for processes that it leaves behind.
    pub waits_for_all: bool,
    /// Whether to show progress also where the command writes.
    pub shows_progress: bool,
    /// The daemon's state directory and socket; `None`: without one.
    pub daemon: Option<(PathBuf, PathBuf)>,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No place for a cgroup.
    #[error(transparent)]
    NoHome(#[from] NoHome),
    /// The command was not run to its end.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Runs it. Signals are held until [`Signals`] is dropped, so that the page is written in any case.
///
/// # Errors
/// See [`RunError`].
pub fn run(request: &Request, proc: &Path, signals: &Signals) -> Result<Page, RunError> {
    let started = Timestamp::now();
    let home = Home::find(proc)?;
    group::sweep(&home.directory);
    let mut series = Series {
        home: &home,
        request,
        proc,
        signals,
        progress: Progress::new(request.shows_progress),
        input: seek(io::stdin(), SeekFrom::Current(0)).ok(),
        asked: None,
        started: 0,
    };
    let mut runs = Vec::new();
    for number in 1..=request.repeat {
        if series.asked.is_some() {
            break;
        }
        let name =
            if request.repeat > 1 { format!("run {number} of {}", request.repeat) } else { String::new() };
        runs.push(series.run(request.limit, true, name)?);
    }
    let search = if request.finds_limit { series.search(&runs)? } else { None };
    let notes = notes(&series, request, &runs);
    // A series that was ended by a signal is not whole, whatever its runs made of it.
    let cut = series.asked.filter(|_| series.is_series()).map(|asked| asked.number);
    drop(series);
    let peaks: Vec<Bytes> = runs.iter().filter_map(|run| run.peak).map(|peak| peak.bytes).collect();
    let budget = request.budget.judge(&runs);
    let advised = Advised::of(&runs);
    Ok(Page {
        schema: SCHEMA,
        command: request.command.iter().map(|word| escape(word.as_encoded_bytes())).collect(),
        started,
        cgroup_version: home.hierarchy.version_number(),
        limit_bytes: request.limit,
        swap: has_swap(proc).then_some(request.swap),
        exit_code: match (judge::exit_code(&runs, &budget, search.as_ref()), cut) {
            (0 | 1, Some(signal)) => End::Signalled(u8::try_from(signal).unwrap_or_default()).code(),
            (code, _) => code,
        },
        spread: Spread::of(&peaks),
        runs,
        budget,
        search,
        not_advised: advised.as_ref().err().cloned(),
        advised: advised.ok(),
        against: None,
        notes,
    })
}

/// Runs, one after another.
struct Series<'a> {
    home: &'a Home,
    request: &'a Request,
    proc: &'a Path,
    signals: &'a Signals,
    progress: Progress,
    /// Where stdin stood at the start, if it is a file.
    input: Option<u64>,
    asked: Option<Received>,
    started: usize,
}

impl Series<'_> {
    fn is_series(&self) -> bool {
        self.request.finds_limit || self.request.repeat > 1
    }

    fn run(&mut self, limit: Option<Bytes>, looks: bool, name: String) -> Result<Run, RunError> {
        let Request { command, swap, waits_for_all, daemon, .. } = self.request;
        if self.started > 0
            && let Some(position) = self.input
        {
            // Each run reads the same.
            let _ = seek(io::stdin(), SeekFrom::Start(position));
        }
        self.started += 1;
        let plan = Plan {
            command,
            limit,
            swap: *swap || !has_swap(self.proc),
            waits_for_all: *waits_for_all,
            is_one_of_many: self.is_series(),
            looks,
            daemon: daemon.as_ref().map(|(state, socket)| (state.as_path(), socket.as_path())),
            proc: self.proc,
        };
        self.progress.begin(name);
        let Done { run, asked } = once(self.home, &plan, self.signals, &mut self.progress)?;
        self.asked = self.asked.or(asked);
        Ok(run)
    }

    /// Searches the least limit; `bases` are the runs without one.
    fn search(&mut self, bases: &[Run]) -> Result<Option<Found>, RunError> {
        let page = rustix::param::page_size() as u64;
        let mut search = match Search::new(bases, page) {
            Ok(search) => search,
            Err(why) => {
                let none = Found {
                    limit_bytes: None,
                    failed_bytes: None,
                    is_uneven: false,
                    why: Some(why),
                    tries: Vec::new(),
                };
                return Ok(Some(none));
            }
        };
        let mut why = None;
        while let Some(limit) = search.next() {
            if self.asked.is_some() {
                why = Some("it was interrupted".to_owned());
                break;
            }
            let name = format!("run {} of at most {MOST_RUNS}", self.started + 1);
            match self.run(Some(limit), false, name) {
                // Cut short: it says nothing on the limit.
                Ok(_) if self.asked.is_some() => {}
                Ok(run) => search.take(limit, &run, bases),
                Err(RunError::Stopped(Stopped::Asked(asked))) => self.asked = Some(asked),
                Err(error) => return Err(error),
            }
        }
        Ok(Some(search.end(why)))
    }
}

fn notes(series: &Series<'_>, request: &Request, runs: &[Run]) -> Vec<String> {
    let mut notes = Vec::new();
    if series.started > 1 && series.input.is_none() && !rustix::termios::isatty(io::stdin()) {
        notes.push(
            "stdin is a pipe: only the first run could read it; give the input as a file (`< FILE`)"
                .to_owned(),
        );
    }
    if let Some(asked) = series.asked.filter(|_| runs.len() < request.repeat) {
        notes.push(format!(
            "signal {} ended it after {} of {} runs",
            asked.number,
            runs.len(),
            request.repeat
        ));
    }
    notes
}

/// Whether the node has swap; the first line of the list is a heading.
fn has_swap(proc: &Path) -> bool {
    std::fs::read_to_string(proc.join("swaps")).is_ok_and(|text| text.lines().count() > 1)
}
