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

    /// Sends the frame of a request, and waits for the answer for as long as the process computes, at most [`MOST`]. Without any CPU
    /// time for `patience` it hangs.
    ///
    /// # Errors
    /// When there is no answer; the process must not be used again.
    pub fn ask(&mut self, frame: &[u8], patience: Duration) -> Result<Answer, Failure> {
        let now = Instant::now();
        let mut stream =
            Timed { stream: &self.stream, pid: self.pid(), patience, begun: now, cpu: None, computed: now };
        let answer = stream.write_all(frame).and_then(|()| receive(&mut stream));
        answer.map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Failure::Late,
            _ => Failure::Died(error),
        })
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
    /// CPU time of the process in ns at the last look, as far as the kernel tells.
    cpu: Option<u64>,
    /// When that had changed.
    computed: Instant,
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
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // An answer in small pieces has an end, too.
                Ok(_) if self.begun.elapsed() >= MOST => return Err(io::ErrorKind::TimedOut.into()),
                result => return result,
            }
            let cpu = cpu_time(self.pid);
            if cpu != self.cpu {
                (self.cpu, self.computed) = (cpu, Instant::now());
            }
            if self.computed.elapsed() >= self.patience || self.begun.elapsed() >= MOST {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }
}

/// Nanoseconds on a CPU. The process has one thread.
pub fn cpu_time(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
    text.split_whitespace().next()?.parse().ok()
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
