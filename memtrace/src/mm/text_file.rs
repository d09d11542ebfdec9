//! Reads files of /proc/PID whose length the process controls, as a stream.
//!
//! A pid and the name of a file -> its lines, one after the other. The memory for it is one buffer and one line,
//! whatever the length of the file. Must not interpret the lines.

use std::{
    fs::File as Handle,
    io::{self, Read},
    path::PathBuf,
    time::{Duration, Instant},
};

use super::procfs::{Error, Procfs};

/// Bytes of one read, and between two checks of the time.
const PIECE: usize = 32 << 10;
/// The most bytes of a line; the rest is dropped. Paths below nested directories can be longer than any limit.
pub(super) const LONGEST: usize = 8 << 10;

/// Cuts a stream of bytes into lines.
#[derive(Debug, Default)]
pub struct Lines {
    /// The beginning of a line whose end has not been read.
    begun: Vec<u8>,
    cut: u64,
}

impl Lines {
    /// Takes the next bytes. `take` gets each line that ends in them, without its end and without empty ones.
    pub fn feed(&mut self, mut bytes: &[u8], mut take: impl FnMut(&[u8])) {
        while let Some((line, rest)) = split(bytes) {
            bytes = rest;
            if self.begun.is_empty() && line.len() <= LONGEST {
                give(line, &mut take);
            } else {
                self.keep(line);
                self.finish(&mut take);
            }
        }
        self.keep(bytes);
    }

    /// The stream has ended: the rest is a line too.
    pub fn finish(&mut self, mut take: impl FnMut(&[u8])) {
        give(&self.begun, &mut take);
        self.begun.clear();
    }

    /// Bytes that were dropped from lines that were too long.
    pub const fn cut(&self) -> u64 {
        self.cut
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LONGEST.saturating_sub(self.begun.len()).min(bytes.len());
        let (kept, dropped) = bytes.split_at(room);
        self.begun.extend_from_slice(kept);
        self.cut = self.cut.saturating_add(dropped.len() as u64);
    }
}

fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b'\n', bytes)?;
    Some((bytes.get(..end)?, bytes.get(end + 1..)?))
}

fn give(line: &[u8], take: &mut impl FnMut(&[u8])) {
    if !line.is_empty() {
        take(line);
    }
}

/// A stream that is read in pieces. The kernel works while a file of /proc is read (for smaps it walks the page
/// tables), and the reader has other processes to read too.
#[derive(Debug)]
pub struct Slow<R> {
    source: R,
    lines: Lines,
    buffer: Vec<u8>,
}

impl<R: Read> Slow<R> {
    /// Begins to read.
    pub fn new(source: R) -> Self {
        Self { source, lines: Lines::default(), buffer: Vec::new() }
    }

    /// Continues reading. Returns whether the end was reached; false when the time is up.
    ///
    /// # Errors
    /// Those of the source.
    pub fn read_on(&mut self, time: Duration, mut take: impl FnMut(&[u8])) -> io::Result<bool> {
        let begun = Instant::now();
        self.buffer.resize(PIECE, 0);
        loop {
            let read = match self.source.read(&mut self.buffer) {
                Ok(0) => {
                    self.lines.finish(&mut take);
                    return Ok(true);
                }
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.lines.feed(self.buffer.get(..read).unwrap_or_default(), &mut take);
            if begun.elapsed() >= time {
                return Ok(false);
            }
        }
    }

    /// Reads to the end.
    ///
    /// # Errors
    /// Those of the source.
    pub fn read_all(&mut self, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        while !self.read_on(Duration::MAX, &mut take)? {}
        Ok(())
    }

    /// Bytes that were dropped from lines that were too long.
    pub const fn cut(&self) -> u64 {
        self.lines.cut()
    }
}

/// Opens a file of a process.
pub(super) fn open(procfs: &Procfs, pid: u32, file: &str) -> Result<Slow<Handle>, Error> {
    let path = path(procfs, pid, file);
    Handle::open(&path).map(Slow::new).map_err(|source| error(source, path))
}

/// Reads a file of a process line by line.
pub(super) fn read(procfs: &Procfs, pid: u32, file: &str, take: impl FnMut(&[u8])) -> Result<(), Error> {
    let outcome = open(procfs, pid, file)?.read_all(take);
    outcome.map_err(|source| error(source, path(procfs, pid, file)))
}

pub(super) fn path(procfs: &Procfs, pid: u32, file: &str) -> PathBuf {
    procfs.root().join(pid.to_string()).join(file)
}

pub(crate) fn error(source: io::Error, path: PathBuf) -> Error {
    match source.raw_os_error() {
        // ESRCH: it ended between open and read, or has released its memory.
        Some(libc::ENOENT | libc::ESRCH) => Error::Gone,
        _ => Error::Io { path, source },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A source that gives so many bytes at once.
    struct Drops<'a>(&'a [u8], usize);

    impl Read for Drops<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let now = self.1.min(self.0.len()).min(buffer.len());
            let (piece, rest) = self.0.split_at(now);
            buffer[..now].copy_from_slice(piece);
            self.0 = rest;
            Ok(now)
        }
    }

    fn lines(bytes: &[u8], at_once: usize) -> (Vec<Vec<u8>>, u64) {
        let (mut all, mut slow) = (Vec::new(), Slow::new(Drops(bytes, at_once)));
        slow.read_all(|line| all.push(line.to_vec())).unwrap();
        (all, slow.cut())
    }

    #[test]
    fn a_line_longer_than_the_limit_keeps_its_beginning_and_the_next_one_is_whole() {
        for at_once in [7, LONGEST, usize::MAX] {
            let long = vec![b'x'; LONGEST + 5];
            let (all, cut) = lines(&[&long[..], b"\nnext\nlast"].concat(), at_once);
            assert_eq!(all, [&long[..LONGEST], b"next", b"last"], "{at_once}");
            assert_eq!(cut, 5);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn lines_are_the_same_however_they_arrive(
            bytes in prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..200),
            at_once in 1_usize..50,
        ) {
            let plain = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            prop_assert_eq!(lines(&bytes, at_once).0, plain.map(<[u8]>::to_vec).collect::<Vec<_>>());
        }
    }
}
