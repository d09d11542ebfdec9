//! One run of a recipe's programs.
//!
//! Commands and a limit -> running programs, and how the run ended; all gone when dropped. Must not judge.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, channel},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use xtask_base::process;

use super::{group::Group, remedy::End};

const STEP: Duration = Duration::from_millis(20);
/// What a program prints when it has got through its load.
const READY: &str = "ready";

/// What is run.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Of the recipe's own program, and of the one beside it.
    pub(crate) commands: Vec<Vec<String>>,
    pub(crate) environment: Vec<(String, String)>,
    /// A directory of this run's own.
    pub(crate) scratch: PathBuf,
}

/// Programs in their group.
pub(crate) struct Run<'a> {
    programs: Vec<Child>,
    lines: Receiver<String>,
    scratch: PathBuf,
    interrupted: &'a AtomicBool,
    // Last: it waits for the programs.
    pub(crate) group: Group,
}

impl<'a> Run<'a> {
    pub(crate) fn start(plan: &Plan, group: Group, interrupted: &'a AtomicBool) -> Result<Self> {
        let (sender, lines) = channel();
        let mut run = Self { programs: Vec::new(), lines, scratch: plan.scratch.clone(), interrupted, group };
        // The one beside it first: the incident begins with the recipe's own program.
        for (number, words) in plan.commands.iter().enumerate().rev() {
            let mut child = run.spawn(plan, number, words)?;
            if let Some(output) = child.stdout.take().filter(|_| number == 0) {
                let sender = sender.clone();
                thread::spawn(move || {
                    let lines = BufReader::new(output).lines().map_while(Result::ok);
                    // Nobody listens any more once the run is over.
                    lines.map(|line| sender.send(line)).take_while(Result::is_ok).for_each(drop);
                });
            }
            run.programs.insert(0, child);
        }
        Ok(run)
    }

    fn spawn(&self, plan: &Plan, number: usize, words: &[String]) -> Result<Child> {
        let ours = std::env::current_exe().context("failed to find our own program")?;
        let mut command = Command::new(ours);
        command.arg("enter").arg("--procs").arg(self.group.procs(number)).arg("--").args(words);
        command.envs(plan.environment.iter().map(|(name, value)| (name, value)));
        command.env("INCIDENT_TRUTH", self.scratch.join("truth")).current_dir(&self.scratch);
        let errors = File::create(self.scratch.join(format!("errors-{number}")));
        command.stderr(errors.context("failed to create a file for what the program says")?);
        command.stdin(Stdio::piped()).stdout(if number == 0 { Stdio::piped() } else { Stdio::null() });
        command.spawn().with_context(|| format!("failed to run {}", process::shown(&command)))
    }

    /// The process of the recipe's own program, or of the one beside it.
    pub(crate) fn pid(&self, number: usize) -> Option<u32> {
        self.programs.get(number).map(Child::id)
    }

    /// Waits until it ends, in one of the ways that a run can end.
    pub(crate) fn wait(&mut self, longest: Duration) -> Result<End> {
        let start = Instant::now();
        loop {
            if self.interrupted.load(Ordering::Relaxed) {
                bail!("interrupted");
            }
            if self.group.oom_kills() > 0 {
                return Ok(End::Killed);
            }
            if self.lines.try_iter().any(|line| line.trim() == READY) {
                return Ok(End::Ready);
            }
            let main = self.programs.first_mut().context("there is no program")?;
            if let Some(status) = main.try_wait().context("failed to wait for the program")? {
                let is_killed = self.group.oom_kills() > 0;
                return Ok(if is_killed { End::Killed } else { End::Ended(self.last_words(status)) });
            }
            if start.elapsed() > longest {
                return Ok(End::Late);
            }
            thread::sleep(STEP);
        }
    }

    /// Rests, unless somebody wants us to stop.
    pub(crate) fn rest(&self, time: Duration) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < time {
            if self.interrupted.load(Ordering::Relaxed) {
                bail!("interrupted");
            }
            thread::sleep(STEP);
        }
        Ok(())
    }

    /// Tells the program to go on.
    pub(crate) fn go_on(&mut self) -> Result<()> {
        let input = self.programs.first_mut().and_then(|child| child.stdin.as_mut());
        input
            .context("the program has no input")?
            .write_all(b"go\n")
            .context("failed to tell the program to go on")
    }

    /// What the programs wrote down about themselves.
    pub(crate) fn told(&self) -> String {
        fs::read_to_string(self.scratch.join("truth")).unwrap_or_default()
    }

    /// The cgroup of the first program, as the kernel writes it.
    pub(crate) fn cgroup(&self) -> Result<String> {
        let pid = self.pid(0).context("there is no program")?;
        let lines = fs::read_to_string(format!("/proc/{pid}/cgroup")).context("failed to read its cgroup")?;
        cgroup_of(&lines).context("the program is in no memory cgroup")
    }

    fn last_words(&self, status: ExitStatus) -> String {
        let errors = fs::read_to_string(self.scratch.join("errors-0")).unwrap_or_default();
        format!("{status} {}", process::tail(&errors, 3).replace('\n', "; ")).trim().to_owned()
    }
}

/// The memory controller's path in `/proc/PID/cgroup`, that of v1 first.
fn cgroup_of(lines: &str) -> Option<String> {
    let fields = || {
        lines
            .lines()
            .map(|line| line.splitn(3, ':').skip(1))
            .filter_map(|mut rest| rest.next().zip(rest.next()))
    };
    let v1 = fields().find(|(controllers, _)| controllers.split(',').any(|name| name == "memory"));
    v1.or_else(|| fields().find(|(controllers, _)| controllers.is_empty())).map(|(_, path)| path.to_owned())
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        for program in &mut self.programs {
            // Both fail only for one that is gone already, which is what we want.
            drop(program.kill());
            drop(program.wait());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_controller_names_the_cgroup() {
        assert_eq!(cgroup_of("4:memory:/ci/x\n1:cpu:/\n0::/\n").as_deref(), Some("/ci/x"));
        assert_eq!(cgroup_of("0::/user.slice/x\n").as_deref(), Some("/user.slice/x"));
        assert_eq!(cgroup_of("1:cpu:/\n"), None);
    }
}
