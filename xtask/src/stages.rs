//! Stages that all run, whatever became of the others.
//!
//! Names, needs and work -> what became of each stage, and one result for all. Must not skip a stage without saying so,
//! and must not know what a stage does.

mod failures;
mod process;

use std::{
    fmt, fs,
    io::{self, IsTerminal as _},
    path::PathBuf,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};

use xtask_base::{outcome::NotPermitted, workspace::Workspace};

/// A part of a verb.
pub(crate) struct Stage {
    pub(crate) name: &'static str,
    /// Earlier stages that make what this one uses.
    pub(crate) needs: &'static [&'static str],
    /// Fails with `NotPermitted` or `Optional` where this machine or user does not give what the stage needs.
    pub(crate) can: fn(&Workspace) -> Result<()>,
    pub(crate) work: fn(&Workspace) -> Result<()>,
    /// Whether it may run beside other stages: as a process of its own, whose output is shown when it ended.
    pub(crate) beside: bool,
}

impl Stage {
    /// A stage that any machine can run.
    pub(crate) const fn new(
        name: &'static str,
        needs: &'static [&'static str],
        work: fn(&Workspace) -> Result<()>,
    ) -> Self {
        Self { name, needs, can: |_| Ok(()), work, beside: false }
    }

    pub(crate) const fn where_it_can(self, can: fn(&Workspace) -> Result<()>) -> Self {
        Self { can, ..self }
    }

    pub(crate) const fn beside(self) -> Self {
        Self { beside: true, ..self }
    }
}

/// Fails a stage that nobody has to be able to run: the others are judged without it.
#[derive(Debug)]
pub(crate) struct Optional(pub(crate) String);

impl fmt::Display for Optional {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Optional {}

/// What became of a stage.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum End {
    Passed(Duration),
    Failed(String),
    /// Another stage did not make what this one uses.
    Needs(&'static str),
    NotPermitted(String),
    Optional(String),
}

/// Runs the wanted stages: in their order, those that may run beside others in a row of their own.
pub(crate) fn run(
    verb: &str,
    workspace: &Workspace,
    stages: &[Stage],
    is_wanted: impl Fn(&str) -> bool,
) -> Result<()> {
    // On a terminal a stage has the terminal; elsewhere its output is kept as well, to tell at the end what failed.
    run_all(verb, workspace, stages, is_wanted, !io::stdout().is_terminal())
}

fn run_all(
    verb: &str,
    workspace: &Workspace,
    stages: &[Stage],
    is_wanted: impl Fn(&str) -> bool,
    is_kept: bool,
) -> Result<()> {
    let wanted: Vec<&Stage> = stages.iter().filter(|stage| is_wanted(stage.name)).collect();
    // Alone there is nothing to be beside of; and the process of such a stage wants nothing but that stage.
    let is_beside = |stage: &&&Stage| stage.beside && wanted.iter().any(|other| !other.beside);
    // The process of a stage wants nothing but that stage.
    let is_kept = is_kept && wanted.len() > 1;
    let board = Board { names: wanted.iter().map(|stage| stage.name).collect(), ..Board::default() };
    thread::scope(|scope| {
        let row: Vec<&Stage> = wanted.iter().filter(is_beside).copied().collect();
        let board = &board;
        scope.spawn(move || {
            for stage in row {
                let end = board.end(stage, workspace, || process::apart(verb, workspace, stage));
                board.put(stage.name, end, Some(process::log_of(verb, workspace, stage.name)));
            }
        });
        for stage in wanted.iter().filter(|stage| !is_beside(stage)) {
            let end = board.end(stage, workspace, || {
                board.show();
                println!("\n=== {}", stage.name);
                if is_kept { process::kept(verb, workspace, stage) } else { (stage.work)(workspace) }
            });
            board.put(stage.name, end, None);
            board.show();
        }
    });
    board.show();
    let ends = board.all();
    println!("\n{verb}: {}", sum(&ends));
    if is_kept {
        tell_failures(verb, workspace, &ends);
    }
    result(&ends)
}

/// Once more at the end, where it is read first and where a log that was cut still has it.
fn tell_failures(verb: &str, workspace: &Workspace, ends: &[(&'static str, End)]) {
    let of = |name: &str| fs::read_to_string(process::log_of(verb, workspace, name)).ok();
    let logs = ends.iter().filter(|(_, end)| matches!(end, End::Failed(_)));
    let told: Vec<(&str, String)> =
        logs.filter_map(|(name, _)| Some((*name, failures::excerpt(&of(name)?)))).collect();
    if !told.is_empty() {
        println!("\n{}", failures::HEADING);
        told.iter().for_each(|(name, said)| println!("\n--- {name}\n{said}"));
    }
}

/// What became of the stages so far; both rows write to it, and wait there for what they need.
#[derive(Default)]
struct Board {
    /// Of the wanted stages, in their order.
    names: Vec<&'static str>,
    ends: Mutex<Vec<Ended>>,
    changed: Condvar,
}

struct Ended {
    name: &'static str,
    end: End,
    /// Where its output is, if that was not shown while it ran.
    log: Option<PathBuf>,
    is_shown: bool,
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, Vec<Ended>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for what the stage needs, and does the work if that is there and this machine can.
    fn end(&self, stage: &Stage, workspace: &Workspace, work: impl FnOnce() -> Result<()>) -> End {
        let needed: Vec<&str> =
            stage.needs.iter().copied().filter(|need| self.names.contains(need)).collect();
        let mut ends = self.lock();
        while !needed.iter().all(|need| ends.iter().any(|ended| ended.name == *need)) {
            ends = self.changed.wait(ends).unwrap_or_else(PoisonError::into_inner);
        }
        let known: Vec<(&'static str, End)> =
            ends.iter().map(|ended| (ended.name, ended.end.clone())).collect();
        drop(ends);
        match unmet(stage, &known) {
            Some(needed) => End::Needs(needed),
            None => judged(|| (stage.can)(workspace).and_then(|()| work())),
        }
    }

    fn put(&self, name: &'static str, end: End, log: Option<PathBuf>) {
        self.lock().push(Ended { name, end, log, is_shown: false });
        self.changed.notify_all();
    }

    /// Tells of the stages that ended since it was called last.
    fn show(&self) {
        for ended in self.lock().iter_mut().filter(|ended| !ended.is_shown) {
            ended.is_shown = true;
            if let Some(said) = ended.log.as_ref().and_then(|log| fs::read_to_string(log).ok()) {
                println!("\n=== {}, which ran in parallel:\n{}", ended.name, said.trim());
            }
            match &ended.end {
                End::Failed(why) => eprintln!("=== {}: FAILED: {why}", ended.name),
                end => println!("=== {}", told(ended.name, end)),
            }
        }
    }

    fn all(&self) -> Vec<(&'static str, End)> {
        let ends = self.lock();
        let of = |name: &&'static str| {
            ends.iter().find(|ended| ended.name == *name).map(|ended| (*name, ended.end.clone()))
        };
        self.names.iter().filter_map(of).collect()
    }
}

/// The first stage that was to make something for this one and did not.
fn unmet(stage: &Stage, ends: &[(&'static str, End)]) -> Option<&'static str> {
    let made_nothing =
        |needed: &&str| ends.iter().any(|(name, end)| name == needed && !matches!(end, End::Passed(_)));
    stage.needs.iter().copied().find(made_nothing)
}

fn judged(work: impl FnOnce() -> Result<()>) -> End {
    let start = Instant::now();
    match work() {
        Ok(()) => End::Passed(start.elapsed()),
        Err(error) if error.chain().any(|cause| cause.is::<NotPermitted>()) => {
            End::NotPermitted(format!("{error:#}"))
        }
        Err(error) if error.chain().any(|cause| cause.is::<Optional>()) => {
            End::Optional(format!("{error:#}"))
        }
        Err(error) => End::Failed(format!("{error:#}")),
    }
}

fn told(name: &str, end: &End) -> String {
    match end {
        End::Passed(took) => format!("{name} {:.1} s", took.as_secs_f64()),
        End::Failed(_) => format!("{name} FAILED"),
        End::Needs(needed) => format!("{name} NOT RUN: needs {needed}"),
        End::NotPermitted(why) | End::Optional(why) => format!("{name} NOT RUN: {why}"),
    }
}

/// One line: each stage with its time, or why it has none. A reason that many stages have is told once.
fn sum(ends: &[(&'static str, End)]) -> String {
    let mut told_before: Vec<&str> = Vec::new();
    let mut parts = Vec::new();
    for (name, end) in ends {
        match end {
            End::NotPermitted(why) if told_before.contains(&why.as_str()) => {
                parts.push(format!("{name} NOT RUN"));
            }
            End::NotPermitted(why) => {
                told_before.push(why);
                parts.push(told(name, end));
            }
            _ => parts.push(told(name, end)),
        }
    }
    parts.join(", ")
}

/// A failure names the stages that failed; without one, a stage that was not permitted is told by its own exit code.
fn result(ends: &[(&'static str, End)]) -> Result<()> {
    let failed: Vec<&str> =
        ends.iter().filter(|(_, end)| matches!(end, End::Failed(_))).map(|(name, _)| *name).collect();
    if !failed.is_empty() {
        return Err(anyhow!("{} of {} stages failed: {}", failed.len(), ends.len(), failed.join(", ")));
    }
    let mut missing: Vec<&str> = Vec::new();
    for (_, end) in ends {
        if let End::NotPermitted(why) = end
            && !missing.contains(&why.as_str())
        {
            missing.push(why);
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(NotPermitted(missing.join("; ")).into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(_: &Workspace) -> Result<()> {
        Ok(())
    }

    fn fails(_: &Workspace) -> Result<()> {
        Err(anyhow!("broken"))
    }

    fn lacks_root(_: &Workspace) -> Result<()> {
        Err(NotPermitted("needs root".to_owned()).into())
    }

    fn lacks_tool(_: &Workspace) -> Result<()> {
        Err(Optional("no nightly".to_owned()).into())
    }

    fn stage(
        name: &'static str,
        needs: &'static [&'static str],
        work: fn(&Workspace) -> Result<()>,
    ) -> Stage {
        Stage::new(name, needs, work)
    }

    fn outcome(stages: &[Stage], only: &[&str]) -> Result<()> {
        let is_wanted = |name: &str| only.is_empty() || only.contains(&name);
        run_all("test", &Workspace::find().unwrap(), stages, is_wanted, false)
    }

    #[test]
    fn a_failure_does_not_hide_the_next() {
        let stages = [stage("a", &[], fails), stage("b", &[], passes), stage("c", &[], fails)];
        assert_eq!(outcome(&stages, &[]).unwrap_err().to_string(), "2 of 3 stages failed: a, c");
    }

    #[test]
    fn a_stage_whose_need_failed_is_not_run_and_neither_is_what_needs_it() {
        let stages =
            [stage("build", &[], fails), stage("root", &["build"], fails), stage("vm", &["root"], fails)];
        assert_eq!(outcome(&stages, &[]).unwrap_err().to_string(), "1 of 3 stages failed: build");
        let ends = [("build", End::Failed("broken".to_owned())), ("root", End::Needs("build"))];
        assert_eq!(unmet(&stages[1], &ends), Some("build"));
        assert_eq!(unmet(&stages[2], &ends), Some("root"));
        assert_eq!(sum(&ends), "build FAILED, root NOT RUN: needs build");
    }

    #[test]
    fn a_need_that_is_not_wanted_is_taken_as_met() {
        let stages = [stage("build", &[], fails), stage("root", &["build"], passes)];
        assert!(outcome(&stages, &["root"]).is_ok());
    }

    #[test]
    fn what_is_not_permitted_has_its_own_error_unless_something_failed() {
        let error = outcome(&[stage("root", &[], lacks_root), stage("b", &[], passes)], &[]).unwrap_err();
        assert!(error.is::<NotPermitted>(), "{error:#}");
        let error = outcome(&[stage("root", &[], lacks_root), stage("b", &[], fails)], &[]).unwrap_err();
        assert!(!error.is::<NotPermitted>(), "{error:#}");
    }

    #[test]
    fn a_stage_waits_for_what_another_row_makes_for_it() {
        let board = Board { names: vec!["made", "used"], ..Board::default() };
        let used = stage("used", &["made"], passes);
        let workspace = Workspace::find().unwrap();
        let end = thread::scope(|scope| {
            let waiting = scope.spawn(|| board.end(&used, &workspace, || Ok(())));
            board.put("made", End::Failed("broken".to_owned()), None);
            waiting.join().unwrap()
        });
        assert_eq!(end, End::Needs("made"));
    }

    #[test]
    fn a_stage_that_cannot_run_here_does_no_work() {
        let cannot = stage("root", &[], fails).where_it_can(lacks_root);
        assert!(outcome(&[cannot], &[]).unwrap_err().is::<NotPermitted>());
    }

    #[test]
    fn a_stage_beside_nothing_runs_by_itself() {
        assert_eq!(
            outcome(&[stage("chart", &[], fails).beside()], &[]).unwrap_err().to_string(),
            "1 of 1 stages failed: chart"
        );
    }

    #[test]
    fn what_is_optional_fails_nobody() {
        assert!(outcome(&[stage("miri", &[], lacks_tool)], &[]).is_ok());
    }

    #[test]
    fn the_sum_names_each_stage_with_its_time_or_the_reason_why_it_has_none() {
        let missing = || End::NotPermitted("needs root".to_owned());
        let ends = [
            ("units", End::Passed(Duration::from_millis(1250))),
            ("root", missing()),
            ("counters", missing()),
            ("miri", End::Optional("no nightly".to_owned())),
        ];
        let told = "units 1.2 s, root NOT RUN: needs root, counters NOT RUN, miri NOT RUN: no nightly";
        assert_eq!(sum(&ends), told);
    }
}
