//! A reader process, seen from the daemon.
//!
//! Requests -> answers, or a failure when the process hangs. Must not wait for the process without a bound: its answer may
//! never come, and neither may its exit, if it waits for a file system that does not answer.

use std::{
    fs,
    io::{self, Read, Write},
    os::{
        fd::OwnedFd,
        unix::{net::UnixStream, process::CommandExt as _},
    },
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::protocol::{Answer, receive};

/// The longest wait for an answer, on a node whose CPUs are full.
const MOST: Duration = Duration::from_secs(60);
/// The most CPU time for one request, and the most time that is spent neither on a CPU nor waiting for one, as multiples of
/// the caller's patience. A process could otherwise work a little now and then, and hold a reader up until [`MOST`].
const TIMES: u32 = 5;
/// The longest wait for the exit of a killed process.
const ITS_END: Duration = Duration::from_millis(100);

/// A running reader process.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stream: UnixStream,
}

/// Why there was no answer.
#[derive(Debug)]
pub enum Failure {
    /// The process hung.
    Late,
    /// It took so much CPU time.
    Busy(Duration),
    /// The process ended, or its answer did not decode.
    Died(io::Error),
}

impl Process {
    /// Starts the program with the argument `reader`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(program: &Path) -> io::Result<Self> {
        let (stream, theirs) = UnixStream::pair()?;
        let mut command = Command::new(program);
        command.arg0("memtrace").arg("reader").env_clear().stdin(OwnedFd::from(theirs)).stdout(Stdio::null());
        Ok(Self { child: command.spawn()?, stream })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends the frame of a request, and waits for the answer for as long as [`Watch`] lets the process go on.
    ///
    /// # Errors
    /// When there is no answer; the process must not be used again.
    pub fn ask(&mut self, frame: &[u8], patience: Duration) -> Result<Answer, Failure> {
        let watch = Watch::new(patience);
        let mut stream = Timed {
            stream: &self.stream,
            pid: self.pid(),
            patience,
            begun: Instant::now(),
            watch,
            end: None,
        };
        let answer = stream.write_all(frame).and_then(|()| receive(&mut stream));
        answer.map_err(|error| stream.end.take().unwrap_or(Failure::Died(error)))
    }

    /// Kills the process; returns it if it does not exit.
    pub fn kill(mut self) -> Option<Self> {
        // It may have exited already.
        let _ = self.child.kill();
        let begun = Instant::now();
        while begun.elapsed() < ITS_END {
            if self.has_ended() {
                return None;
            }
            std::thread::sleep(ITS_END / 50);
        }
        Some(self)
    }

    /// Whether it has exited; reaps it.
    pub fn has_ended(&mut self) -> bool {
        // The only error is that it was reaped already.
        !matches!(self.child.try_wait(), Ok(None))
    }
}

/// A stream whose calls fail when the process at its other end hangs.
struct Timed<'a> {
    stream: &'a UnixStream,
    pid: u32,
    patience: Duration,
    begun: Instant,
    watch: Watch,
    /// Why a call failed, if not for the stream.
    end: Option<Failure>,
}

impl Timed<'_> {
    /// A part of the patience, after which the process is looked at.
    fn slice(&self) -> Duration {
        (self.patience / 10).max(Duration::from_millis(1))
    }

    /// Calls until it succeeds, fails, or the process hangs.
    fn wait<T>(&mut self, mut call: impl FnMut(&UnixStream) -> io::Result<T>) -> io::Result<T> {
        loop {
            match call(self.stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.end = self.watch.look(self.begun.elapsed(), usage(self.pid));
                }
                // An answer in small pieces has an end, too.
                Ok(_) if self.begun.elapsed() >= MOST => self.end = Some(Failure::Late),
                result => return result,
            }
            if self.end.is_some() {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }
}

/// What a process has got of the CPUs, in ns, as far as the kernel tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Usage {
    /// On a CPU.
    computed: u64,
    /// Waiting for one.
    waited: u64,
}

/// Follows a process during a request. CPU time is no progress, only the answer is.
#[derive(Debug)]
struct Watch {
    patience: Duration,
    /// The first look, with its time since the request.
    first: Option<(Duration, Usage)>,
    last: Option<Usage>,
    /// When that had changed.
    changed: Duration,
}

impl Watch {
    const fn new(patience: Duration) -> Self {
        Self { patience, first: None, last: None, changed: Duration::ZERO }
    }

    /// Looks at the process at a time since the request. It is given up after [`MOST`]; without any CPU time for `patience`;
    /// and when it has computed, or done neither that nor waited for a CPU, for [`TIMES`] as long.
    fn look(&mut self, at: Duration, now: Option<Usage>) -> Option<Failure> {
        if now != self.last {
            (self.last, self.changed) = (now, at);
        }
        if at.saturating_sub(self.changed) >= self.patience || at >= MOST {
            return Some(Failure::Late);
        }
        let now = now?;
        let (begun, first) = *self.first.get_or_insert((at, now));
        let since = |now: u64, first: u64| Duration::from_nanos(now.saturating_sub(first));
        let computed = since(now.computed, first.computed);
        let with_cpus = computed.saturating_add(since(now.waited, first.waited));
        let most = self.patience.saturating_mul(TIMES);
        match () {
            () if computed >= most => Some(Failure::Busy(most)),
            () if at.saturating_sub(begun).saturating_sub(with_cpus) >= most => Some(Failure::Late),
            () => None,
        }
    }
}

/// The process has one thread.
fn usage(pid: u32) -> Option<Usage> {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
    let mut numbers = text.split_whitespace().map_while(|word| word.parse().ok());
    Some(Usage { computed: numbers.next()?, waited: numbers.next()? })
}

/// Nanoseconds of a process on a CPU.
pub fn cpu_time(pid: u32) -> Option<u64> {
    usage(pid).map(|usage| usage.computed)
}

impl Read for Timed<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.slice()))?;
        self.wait(|mut stream| stream.read(bytes))
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.slice()))?;
        self.wait(|mut stream| stream.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::thread_cpu;

    const PATIENCE: Duration = Duration::from_secs(2);

    /// Looks five times a second at a process that gets so much of each fifth, in ms, until it is given up.
    fn until_the_end(computed: u64, waited: u64) -> (Duration, Failure) {
        let mut watch = Watch::new(PATIENCE);
        let ms = |number: u64| number * 1_000_000;
        (0..)
            .find_map(|look| {
                let at = Duration::from_millis(200 * look);
                let now = Usage { computed: ms(computed * look), waited: ms(waited * look) };
                watch.look(at, Some(now)).map(|end| (at, end))
            })
            .unwrap()
    }

    #[test]
    fn a_process_has_so_much_time_for_a_request_whatever_it_does_with_it() {
        let seconds = Duration::from_secs;
        // It sleeps.
        assert!(matches!(until_the_end(0, 0), (at, Failure::Late) if at == PATIENCE));
        // It works a little now and then.
        assert!(matches!(until_the_end(1, 0), (at, Failure::Late) if at < seconds(11)));
        // It computes, on an idle node and on one whose CPUs are full.
        let most = 5 * PATIENCE;
        assert!(
            matches!(until_the_end(200, 0), (at, Failure::Busy(most_of)) if (at, most_of) == (most, most))
        );
        assert!(matches!(until_the_end(100, 100), (at, Failure::Busy(_)) if at == 2 * most));
        // It waits for a CPU nearly all the time: that is not its fault.
        assert!(matches!(until_the_end(1, 199), (at, Failure::Late) if at == MOST));
    }

    #[test]
    fn a_kernel_that_tells_nothing_leaves_the_patience() {
        let mut watch = Watch::new(PATIENCE);
        assert!(watch.look(PATIENCE / 2, None).is_none());
        assert!(matches!(watch.look(PATIENCE, None), Some(Failure::Late)));
    }

    #[test]
    fn the_time_of_a_thread_is_what_its_own_clock_says() {
        let tid = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
        let outer = thread_cpu();
        let before = cpu_time(tid).unwrap();
        let begun = thread_cpu();
        while thread_cpu() - begun < Duration::from_millis(20) {
            std::hint::black_box(0);
        }
        let inner = thread_cpu() - begun;
        let computed = Duration::from_nanos(cpu_time(tid).unwrap() - before);
        // The kernel accounts at its own ticks and at each switch, and when the thread's clock is read.
        let tick = Duration::from_millis(10);
        assert!(computed + tick >= inner, "{computed:?} of {inner:?}");
        assert!(computed <= thread_cpu() - outer + tick, "{computed:?} of {:?}", thread_cpu() - outer);
    }
}
