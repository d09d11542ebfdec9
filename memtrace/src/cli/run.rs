//! `memtrace run`: a command in a cgroup of its own.
//!
//! Arguments -> [`Request`] -> the page on stderr or in a file, and the exit code. Stdout is the command's.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{self, IsTerminal as _, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};
use clap::{Args, ValueEnum};
use jiff::Timestamp;

use super::{
    Failure,
    args::{ColorArgs, SocketArgs},
};
use crate::{
    report::{Style, Terminal, run as forms},
    run::{NoHome, NotRun, Request, RunError, Stopped, run as run_command, scope, signals::Signals},
    sizing::{
        diff::{Verdict, compare, side::Side},
        kept::Kept,
        run::{End, Page, amount, budget::Budget, judge},
        saved::{self, Saved},
    },
    store::baselines::{BaselineError, Baselines},
    units::Bytes,
};

const PROC: &str = "/proc";
/// The name of these runs in a comparison.
const THIS: &str = "this run";
/// The most runs of `--repeat`.
const MOST_RUNS: u16 = 1000;

/// Arguments of `run`.
#[derive(Debug, Args)]
#[command(after_help = "\
Stdin, stdout, the terminal and signals reach the command as if memtrace were not there. Its children are measured with \
it; processes that it leaves behind are killed at the end. The page goes to stderr.

memtrace must be allowed to create a cgroup: as root, in a systemd session (cgroup v2), or in a container with a writable \
/sys/fs/cgroup. No daemon is needed; a running one adds call stacks and the record of an OOM kill.

Examples:
  memtrace run -- make test
  memtrace run --memory-limit 512M -- ./server --selftest
  memtrace run --budget peak=512M,growth=1M/h,leak=none -- ./soak.sh
  memtrace run --repeat 5 -- ./bench               median and spread of the peak
  memtrace run --find-limit -- ./batch < input     the lowest limit that is enough
  memtrace run --save before -- ./bench            keep it for `memtrace baseline` and `memtrace diff`
  memtrace run --against before --repeat 6 -- ./bench  compare with it; exit code 5 on a regression
  memtrace run --budget peak=1G -o markdown --page memory.md --junit memory.xml -- cargo test

Exit codes: that of the command; 5 a budget was broken, a regression against a baseline, or the OOM killer killed a process; 126 the command cannot be \
executed, 127 it was not found; 1 failed, 2 usage, 4 not allowed to create a cgroup.")]
pub struct RunArgs {
    /// Memory limit of the command and its children.
    #[arg(long, value_name = "SIZE", value_parser = amount::size)]
    pub memory_limit: Option<Bytes>,
    /// Memory budget: peak=SIZE, growth=RATE at the end of the run (such as 1M/h), leak=none; separated by commas.
    #[arg(long, value_name = "BUDGET", value_parser = Budget::parse)]
    pub budget: Option<Budget>,
    /// Run the command N times and show the spread of its peak.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=i64::from(MOST_RUNS)))]
    pub repeat: u16,
    /// Find the lowest limit with which the command exits with 0 and takes at most 1.1 times as long; up to 12 runs.
    #[arg(long, conflicts_with = "memory_limit")]
    pub find_limit: bool,
    /// Allow swap [default: no swap, so that the peak contains all memory of the command].
    #[arg(long)]
    pub swap: bool,
    /// Also wait for processes that the command leaves behind, such as a daemon.
    #[arg(long)]
    pub wait_all: bool,
    /// Output format of the page.
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t = Form::Text)]
    pub output: Form,
    /// Write the page to this file instead of stderr.
    #[arg(long, value_name = "FILE")]
    pub page: Option<PathBuf>,
    /// Also write JUnit XML to this file.
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Keep the measurements under this name for `memtrace baseline`; replaces an earlier run of that name.
    #[arg(long, value_name = "NAME", value_parser = saved::name)]
    pub save: Option<String>,
    /// Compare with this baseline, and end with exit code 5 on a regression; --repeat 6 knows the noise.
    #[arg(long, value_name = "NAME", value_parser = saved::name)]
    pub against: Option<String>,
    /// Show progress even if the command writes to the same terminal.
    #[arg(long)]
    pub progress: bool,
    /// Do not ask the daemon.
    #[arg(long)]
    pub alone: bool,
    /// Colours.
    #[command(flatten)]
    pub color: ColorArgs,
    /// The daemon's address.
    #[command(flatten)]
    pub socket: SocketArgs,
    /// State directory of the daemon, with the recorded kills; saved runs go there too.
    #[arg(long, value_name = "DIR", env = "MEMTRACE_STATE_DIR", default_value = "/var/lib/memtrace")]
    pub state_dir: PathBuf,
    /// The command and its arguments.
    #[arg(value_name = "CMD", required = true, last = true)]
    pub command: Vec<OsString>,
}

/// Form of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// Plain text.
    Text,
    /// Markdown, for a pull request.
    Markdown,
    /// One HTML file without scripts.
    Html,
    /// JSON with all figures, in bytes.
    Json,
    /// JUnit XML: a test for each budget.
    Junit,
    /// The curve of --find-limit.
    Svg,
}

/// Runs the command.
///
/// # Errors
/// See [`Failure`]; the command's own exit code is one too.
pub fn run(args: &RunArgs, _: &mut dyn Write) -> Result<(), Failure> {
    if args.output == Form::Svg && !args.find_limit {
        return Err(Failure::Usage(anyhow!("-o svg draws the curve of --find-limit; add --find-limit")));
    }
    let baselines = Baselines::of(&args.state_dir);
    if let Some(name) = &args.save {
        baselines.prepare(name).map_err(not_saved)?;
    }
    // Before the command runs for an hour.
    let against = args.against.as_ref().map(|name| baselines.load(name)).transpose()?;
    let request = Request {
        command: args.command.clone(),
        limit: args.memory_limit,
        budget: args.budget.unwrap_or_default(),
        repeat: usize::from(args.repeat),
        finds_limit: args.find_limit,
        swap: args.swap,
        waits_for_all: args.wait_all,
        shows_progress: args.progress,
        daemon: (!args.alone).then(|| (args.state_dir.clone(), args.socket.path().to_owned())),
    };
    // Before anything is made that a signal could leave behind.
    let signals = Signals::hold().context("failed to hold signals")?;
    let mut page = match run_command(&request, Path::new(PROC), &signals) {
        Ok(page) => page,
        Err(RunError::NoHome(error @ NoHome::NotPermitted(_))) => {
            drop(signals);
            // Does not return when a manager of the user's can help.
            scope::enter();
            return Err(failure(error.into()));
        }
        Err(error) => return Err(failure(error)),
    };
    if let Some(kept) = &against {
        compare_with(kept, &mut page);
    }
    publish(args, &page)?;
    let saved = args.save.as_ref().and_then(|name| Saved::of(&page, name, Timestamp::now()));
    if let Some(saved) = saved {
        baselines.save(&saved.into()).map_err(not_saved)?;
    }
    drop(signals);
    end(&page)
}

/// Compares the runs with a baseline. Why they cannot be compared is a note, as for a budget that cannot be judged.
fn compare_with(kept: &Kept, page: &mut Page) {
    let Some(this) = Saved::of(page, THIS, Timestamp::now()) else { return };
    match compare(&kept.side(), &Side::of_saved(&this), false) {
        Ok(diff) => {
            page.exit_code = judge::against(page.exit_code, &page.runs, diff.verdict == Verdict::Regression);
            page.against = Some(diff);
        }
        Err(refusal) => page.notes.push(format!("not compared with {}: {refusal}", kept.name())),
    }
}

/// A directory of root's is the usual reason.
fn not_saved(error: BaselineError) -> Failure {
    let is_denied = error.is_denied();
    let error = anyhow::Error::new(error);
    if is_denied {
        return Failure::NotPermitted(
            error.context("failed to save the run: name a directory of yours with --state-dir"),
        );
    }
    Failure::Failed(error.context("failed to save the run"))
}

/// Writes the page where it is asked for.
fn publish(args: &RunArgs, page: &Page) -> Result<(), Failure> {
    let text = match args.output {
        Form::Text => {
            let terminal = Terminal::from_env(io::stderr().is_terminal() && args.page.is_none());
            forms::text(page, Style { color: args.color.is_on(terminal), ..Style::default() })
        }
        Form::Markdown => forms::markdown(page),
        Form::Html => forms::html(page),
        Form::Json => serde_json::to_string_pretty(page).context("failed to write JSON")? + "\n",
        Form::Junit => forms::junit(page),
        Form::Svg => forms::svg(page).unwrap_or_default(),
    };
    let write = |path: &Path, text: &str| {
        fs::write(path, text).with_context(|| format!("failed to write {}", path.display()))
    };
    match &args.page {
        Some(path) => write(path, &text)?,
        // Whoever closed stderr does not want it, and gets the exit code all the same.
        None => drop(io::stderr().write_all(text.as_bytes())),
    }
    if let Some(path) = &args.junit {
        write(path, &forms::junit(page))?;
    }
    if env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true") {
        drop(io::stderr().write_all(forms::annotations(page).as_bytes()));
    }
    Ok(())
}

/// The end of this process: the page's exit code, or the command's signal.
fn end(page: &Page) -> Result<(), Failure> {
    let by_signal = page.runs.iter().map(|run| run.end).find(|end| end.code() != 0);
    match (page.exit_code, by_signal) {
        (0, _) => Ok(()),
        (code, Some(end @ End::Signalled(_))) if code == end.code() => Err(Failure::Ended(end)),
        (code, _) => Err(Failure::Ended(End::Exited(code))),
    }
}

fn failure(error: RunError) -> Failure {
    match error {
        RunError::NoHome(NoHome::NotPermitted(_)) => Failure::NotPermitted(error.into()),
        RunError::Stopped(Stopped::NotRun(NotRun::NotFound(_))) => Failure::NotRun(127, error.into()),
        RunError::Stopped(Stopped::NotRun(NotRun::NotExecutable(..))) => Failure::NotRun(126, error.into()),
        RunError::Stopped(Stopped::Asked(asked)) => {
            Failure::Ended(End::Signalled(u8::try_from(asked.number).unwrap_or_default()))
        }
        _ => Failure::Failed(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::{super::Cli, *};
    use crate::cli::Command;

    fn parsed(arguments: &[&str]) -> Result<RunArgs, clap::Error> {
        match Cli::try_parse_from([&["memtrace", "run"], arguments].concat())?.command {
            Command::Run(args) => Ok(args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_follows_two_dashes_is_the_command_with_its_own_options() {
        let args = parsed(&["--memory-limit", "64M", "--", "grep", "--color", "-o", "x"]).unwrap();
        assert_eq!(args.command, ["grep", "--color", "-o", "x"]);
        assert_eq!(args.memory_limit, Some(Bytes(64 << 20)));
        for wrong in [
            &["sleep", "1"][..],
            &["--"],
            &["--repeat", "0", "--", "true"],
            &["--memory-limit", "x", "--", "true"],
            &["--budget", "leak=some", "--", "true"],
            &["--find-limit", "--memory-limit", "1M", "--", "true"],
            &["--save", "../x", "--", "true"],
            &["--against", "../x", "--", "true"],
        ] {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn failures_have_the_codes_of_a_shell() {
        let not_run = |error| failure(RunError::Stopped(Stopped::NotRun(error))).code();
        assert_eq!(not_run(NotRun::NotFound("x".to_owned())), 127);
        assert_eq!(
            not_run(NotRun::NotExecutable("x".to_owned(), io::ErrorKind::PermissionDenied.into())),
            126
        );
        assert_eq!(not_run(NotRun::NotEntered), 1);
        assert_eq!(failure(RunError::NoHome(NoHome::NotPermitted(String::new()))).code(), 4);
        assert_eq!(failure(RunError::NoHome(NoHome::Missing(String::new()))).code(), 1);
    }
}
