//! One run of the command: started in a group of its own, watched to its end, measured.
//!
//! A [`Home`] and a [`Plan`] -> [`Run`]. Whatever happens, the group and all in it are gone afterwards.

use std::{
    ffi::OsString,
    io,
    os::fd::{AsFd as _, BorrowedFd},
    path::Path,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{
    child::{self, NotRun, Running},
    group::Group,
    home::Home,
    look::Looks,
    outside::Outside,
    progress::Progress,
    records,
    signals::{Received, Signals},
};
use crate::{
    cgroup::{hierarchy::Version, memcg, stat},
    sizing::run::{End, Peak, Run, course::Gathered},
    text::escape,
    units::{Bytes, Grade},
};

/// Between two samples of the usage alone.
const FINE: Duration = Duration::from_millis(20);
/// Between two readings of all kinds: this part of the time so far, from the least to the most.
const PART: u32 = 100;
const LEAST: Duration = Duration::from_millis(20);
const MOST: Duration = Duration::from_secs(1);
/// Between two looks at processes and at the progress line.
const SLOW: Duration = Duration::from_millis(500);
/// How long a command that was asked to end may take, where more runs would follow.
const GRACE: Duration = Duration::from_secs(10);

/// What to run, and how.
pub struct Plan<'a> {
    /// The command and its arguments.
    pub command: &'a [OsString],
    /// Its limit.
    pub limit: Option<Bytes>,
    /// Whether it may swap, or there is no swap.
    pub swap: bool,
    /// Whether to wait for processes that it leaves behind.
    pub waits_for_all: bool,
    /// Whether it is one of several runs: then a request to end ends it, whatever it does with the request.
    pub is_one_of_many: bool,
    /// Whether to look at the owners of its memory.
    pub looks: bool,
    /// Where a daemon may be, and where it keeps its records.
    pub daemon: Option<(&'a Path, &'a Path)>,
    /// /proc.
    pub proc: &'a Path,
}

/// A run, and the request that ended it.
pub struct Done {
    /// What it was.
    pub run: Run,
    /// The first signal that asked to end.
    pub asked: Option<Received>,
}

/// Why there is no run.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// The command was not run.
    #[error(transparent)]
    NotRun(#[from] NotRun),
    /// A signal came before it was.
    #[error("ended by a signal before the command was started")]
    Asked(Received),
    /// Its group could not be made or limited.
    #[error("{0}")]
    Group(String),
    /// It could not be watched.
    #[error("failed to wait for the command")]
    Wait(#[from] io::Error),
}

/// Runs the command once.
///
/// # Errors
/// See [`Stopped`].
pub fn once(
    home: &Home,
    plan: &Plan<'_>,
    signals: &Signals,
    progress: &mut Progress,
) -> Result<Done, Stopped> {
    let started = Timestamp::now();
    let failed = |what: &str| {
        let what = what.to_owned();
        move |error: io::Error| Stopped::Group(format!("failed to {what}: {error}"))
    };
    let group = Group::make(home).map_err(failed("make a cgroup"))?;
    group.limit(plan.limit, plan.swap).map_err(failed("set the memory limit"))?;
    let entrance = group.entrance().map_err(failed("open the cgroup"))?;
    if let Some(asked) = signals.end_asked() {
        return Err(Stopped::Asked(asked));
    }
    let begin = Instant::now();
    let child = child::start(plan.command, &entrance, signals.inherited())?;
    drop(entrance);
    let mut watch = Watch::new(home, plan, &group, begin, child);
    // Those that came before the command was there did not reach it.
    while let Some(received) = signals.next() {
        watch.pass_on(Received { is_from_kernel: false, ..received });
    }
    let end = watch.until_end(signals, progress)?;
    let seconds = begin.elapsed().as_secs_f64();
    progress.clear();
    let (run, asked) = watch.measure(end, seconds, started);
    group.remove().map_err(failed("remove the cgroup"))?;
    Ok(Done { run, asked })
}

/// A run in progress.
struct Watch<'a> {
    home: &'a Home,
    plan: &'a Plan<'a>,
    group: &'a Group,
    begin: Instant,
    child: Running,
    path: String,
    gauges: memcg::Gauges,
    reader: stat::Reader,
    gathered: Gathered,
    looks: Option<Looks>,
    outside: Outside,
    asked: Option<(Received, Instant)>,
    /// When each is due.
    fine: Instant,
    whole: Instant,
    slow: Instant,
}

impl<'a> Watch<'a> {
    fn new(home: &'a Home, plan: &'a Plan<'a>, group: &'a Group, begin: Instant, child: Running) -> Self {
        let path = escape(&group.path);
        let socket = plan.daemon.map(|(_, socket)| socket);
        Self {
            looks: plan.looks.then(|| Looks::at(plan.proc, path.clone(), plan.limit, socket)),
            outside: Outside::of(plan.proc, &home.hierarchy, &group.path),
            gauges: memcg::Gauges::new(2),
            reader: stat::Reader::default(),
            gathered: Gathered::default(),
            asked: None,
            fine: begin,
            whole: begin,
            slow: begin,
            home,
            plan,
            group,
            begin,
            child,
            path,
        }
    }

    /// Watches until the command has ended, and those it left behind, if they count.
    fn until_end(&mut self, signals: &Signals, progress: &mut Progress) -> io::Result<End> {
        let end = loop {
            if let Some(end) = self.child.ended()? {
                break end;
            }
            self.wait(signals, Some(self.child.handle().as_fd()))?;
            self.tick(signals, progress)?;
        };
        while self.plan.waits_for_all && self.asked.is_none() && !self.group.processes().is_empty() {
            self.wait(signals, None)?;
            self.tick(signals, progress)?;
        }
        Ok(end)
    }

    /// Until a signal comes, the command ends, or a sample is due.
    fn wait(&self, signals: &Signals, handle: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let due = self.fine.min(self.whole).min(self.slow);
        let timeout = due.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(timeout).map_err(io::Error::other)?;
        let mut fds = vec![PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN)];
        fds.extend(handle.map(|handle| PollFd::from_borrowed_fd(handle, PollFlags::IN)));
        match poll(&mut fds, Some(&timeout)) {
            Err(rustix::io::Errno::INTR) | Ok(_) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn tick(&mut self, signals: &Signals, progress: &mut Progress) -> io::Result<()> {
        while let Some(received) = signals.next() {
            self.pass_on(received);
        }
        if let Some((_, when)) = self.asked
            && self.plan.is_one_of_many
            && when.elapsed() > GRACE
        {
            self.group.kill_all()?;
        }
        let now = Instant::now();
        let at = now.duration_since(self.begin);
        if now >= self.fine {
            self.fine = now + FINE;
            if let Some(usage) = self.gauges.usage(&self.home.hierarchy, &self.group.path) {
                self.gathered.take_usage(usage);
                if let Some(looks) = &mut self.looks {
                    looks.tick(at.as_secs_f64(), usage);
                }
            }
        }
        if now >= self.whole {
            self.whole = now + (at / PART).clamp(LEAST, MOST);
            if let Some(reading) = self.reader.read(&self.home.hierarchy, &self.group.path) {
                self.gathered.take(at.as_secs_f64(), reading.charge);
            }
        }
        if now >= self.slow {
            self.slow = now + SLOW;
            self.outside.look(self.child.pid());
            let usage = self.gauges.usage(&self.home.hierarchy, &self.group.path);
            progress.show(at, usage, self.gathered.crest(), self.plan.limit);
        }
        Ok(())
    }

    /// Passes a signal on to the command, unless a terminal has sent it to both.
    fn pass_on(&mut self, received: Received) {
        if !received.is_from_kernel {
            self.child.send(received.number);
        }
        if received.asks_to_end() {
            self.asked.get_or_insert((received, Instant::now()));
        }
    }

    /// What is known at the end, while the group is still there.
    fn measure(self, end: End, seconds: f64, started: Timestamp) -> (Run, Option<Received>) {
        let Self { home, plan, group, path, mut reader, gathered, looks, outside, asked, .. } = self;
        let left = group.processes().len();
        let last = reader.read(&home.hierarchy, &group.path).map(|reading| reading.charge);
        let charge = last.unwrap_or_default();
        let mark = charge.peak_bytes.map(|bytes| Peak { bytes, grade: Grade::Read });
        let crest = gathered.crest().map(|bytes| Peak { bytes, grade: Grade::Sampled });
        let mut notes = Vec::new();
        if mark.is_none() {
            notes.push(
                "this kernel keeps no mark of the highest charge: the peak is the highest of samples"
                    .to_owned(),
            );
        }
        // v1 does not count charges that fail for the limit of memory and swap together, which it checks first.
        let is_v2 = home.hierarchy.version == Version::V2;
        let counts_hits = is_v2 || plan.swap || plan.limit.is_none();
        let limit = |of: &[u8]| memcg::lowest(of, |path| memcg::own_limit(&home.hierarchy, path));
        let kills = charge.oom_kills;
        let records = match plan.daemon {
            Some((state, socket)) if kills.is_some_and(|kills| kills > 0) => {
                records::of(state, socket, &path, started)
            }
            _ => Vec::new(),
        };
        let run = Run {
            cgroup: path,
            limit_bytes: plan.limit,
            outer_limit: limit(&home.path),
            end,
            seconds,
            peak: mark.or(crest),
            course: gathered.course(seconds, plan.limit),
            at_peak: gathered.highest().cloned(),
            look: looks.and_then(|looks| looks.end(seconds)),
            oom_kills: kills,
            limit_hits: charge.max_events.filter(|hits| *hits > 0 || counts_hits),
            stalled_seconds: group.stalled().map(|microseconds| microseconds as f64 / 1e6),
            left,
            outside: outside.told(),
            records,
            notes,
        };
        (run, asked.map(|(received, _)| received))
    }
}
