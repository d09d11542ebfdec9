//! Stages that all run, whatever became of the others.
//!
//! Names, needs and work -> what became of each stage, and one result for all. Must not skip a stage without saying so,
//! and must not know what a stage does.

use std::{
    fmt,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};

use crate::{outcome::NotPermitted, workspace::Workspace};

/// A part of a verb.
pub(crate) struct Stage {
    pub(crate) name: &'static str,
    /// Earlier stages that make what this one uses.
    pub(crate) needs: &'static [&'static str],
    /// Fails with `NotPermitted` where this machine or user does not give what the stage needs.
    pub(crate) work: fn(&Workspace) -> Result<()>,
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
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum End {
    Passed(Duration),
    Failed(String),
    /// Another stage did not make what this one uses.
    Needs(&'static str),
    NotPermitted(String),
    Optional(String),
}

/// Runs the wanted stages in their order.
pub(crate) fn run(
    verb: &str,
    workspace: &Workspace,
    stages: &[Stage],
    is_wanted: impl Fn(&str) -> bool,
) -> Result<()> {
    let mut ends: Vec<(&'static str, End)> = Vec::new();
    for stage in stages.iter().filter(|stage| is_wanted(stage.name)) {
        println!("\n=== {}", stage.name);
        let end = match unmet(stage, &ends) {
            Some(needed) => End::Needs(needed),
            None => end(stage, workspace),
        };
        match &end {
            End::Failed(why) => eprintln!("=== {}: FAILED: {why}", stage.name),
            _ => println!("=== {}", told(stage.name, &end)),
        }
        ends.push((stage.name, end));
    }
    println!("\n{verb}: {}", sum(&ends));
    result(&ends)
}

/// The first stage that was to make something for this one and did not.
fn unmet(stage: &Stage, ends: &[(&'static str, End)]) -> Option<&'static str> {
    let made_nothing =
        |needed: &&str| ends.iter().any(|(name, end)| name == needed && !matches!(end, End::Passed(_)));
    stage.needs.iter().copied().find(made_nothing)
}

fn end(stage: &Stage, workspace: &Workspace) -> End {
    let start = Instant::now();
    match (stage.work)(workspace) {
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
        return Err(anyhow!("failed {} of {} stages: {}", failed.len(), ends.len(), failed.join(", ")));
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
        Stage { name, needs, work }
    }

    fn outcome(stages: &[Stage], only: &[&str]) -> Result<()> {
        let is_wanted = |name: &str| only.is_empty() || only.contains(&name);
        run("test", &Workspace::find().unwrap(), stages, is_wanted)
    }

    #[test]
    fn a_failure_does_not_hide_the_next() {
        let stages = [stage("a", &[], fails), stage("b", &[], passes), stage("c", &[], fails)];
        assert_eq!(outcome(&stages, &[]).unwrap_err().to_string(), "failed 2 of 3 stages: a, c");
    }

    #[test]
    fn a_stage_whose_need_failed_is_not_run_and_neither_is_what_needs_it() {
        let stages =
            [stage("build", &[], fails), stage("root", &["build"], fails), stage("vm", &["root"], fails)];
        assert_eq!(outcome(&stages, &[]).unwrap_err().to_string(), "failed 1 of 3 stages: build");
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
