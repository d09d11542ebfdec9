//! One reader process, as the core sees it.
//!
//! A program to start -> answers in time, or none. Must not wait for the process: neither for its answer beyond the
//! deadline, nor for its end, which a file system that never answers may hold up for good.

use std::{
    io::{self, Read, Write},
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::protocol::{Answer, Ask, receive, send};

/// How long the end of a killed process is waited for.
const ITS_END: Duration = Duration::from_millis(100);

/// A process that answers.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stream: UnixStream,
}

/// Why there was no answer.
#[derive(Debug)]
pub enum Failure {
    /// Not in time.
    Late,
    /// It ended, or spoke nonsense.
    Died(io::Error),
}

impl Process {
    /// Starts one: this program, as `memtrace reader`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(program: &Path) -> io::Result<Self> {
        let (stream, theirs) = UnixStream::pair()?;
        let mut command = Command::new(program);
        command.arg("reader").env_clear().stdin(OwnedFd::from(theirs)).stdout(Stdio::null());
        Ok(Self { child: command.spawn()?, stream })
    }

    /// Its id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks, and waits until the deadline.
    ///
    /// # Errors
    /// Without an answer; then it is of no more use.
    pub fn ask(&mut self, ask: &Ask, patience: Duration) -> Result<Answer, Failure> {
        let mut stream = Timed { stream: &self.stream, until: Instant::now() + patience };
        let answer = send(&mut stream, ask).and_then(|()| receive(&mut stream));
        answer.map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Failure::Late,
            _ => Failure::Died(error),
        })
    }

    /// Kills it: itself again when it does not end, for whoever keeps count.
    pub fn kill(mut self) -> Option<Self> {
        // It may have ended by itself.
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

    /// Whether it is gone; then nothing is left of it.
    pub fn has_ended(&mut self) -> bool {
        // An error is that somebody else has waited for it.
        !matches!(self.child.try_wait(), Ok(None))
    }
}

/// A stream on which each call ends at the deadline.
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
