//! A reader process, seen from the daemon.
//!
//! Requests -> answers before a deadline, or a failure. Must not wait for the process without a bound: its answer may
//! never come, and neither may its exit, if it waits for a file system that does not answer.

use std::{
    io::{self, Read, Write},
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::protocol::{Answer, Ask, receive, send};

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
    /// The deadline passed.
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
        command.arg("reader").env_clear().stdin(OwnedFd::from(theirs)).stdout(Stdio::null());
        Ok(Self { child: command.spawn()?, stream })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends the request, and waits for the answer until the deadline.
    ///
    /// # Errors
    /// When there is no answer; the process must not be used again.
    pub fn ask(&mut self, ask: &Ask, patience: Duration) -> Result<Answer, Failure> {
        let mut stream = Timed { stream: &self.stream, until: Instant::now() + patience };
        let answer = send(&mut stream, ask).and_then(|()| receive(&mut stream));
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

/// A stream whose calls fail after the deadline.
struct Timed<'a> {
    stream: &'a UnixStream,
    until: Instant,
}

impl Timed<'_> {
    fn left(&self) -> io::Result<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(bytes)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
