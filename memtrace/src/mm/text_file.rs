//! Reads files of /proc/PID whose length the process controls: up to a limit, at once or in pieces.
//!
//! A pid and the name of a file -> bytes in whole lines. Must not interpret them.

use std::{
    fs::File as Handle,
    io::{self, Read as _},
    path::PathBuf,
    time::{Duration, Instant},
};

use super::procfs::{Error, Procfs};

/// The most bytes of smaps that are read. A limit is needed because the process chooses the paths.
pub(super) const SMAPS_LIMIT: u64 = 256 << 20;
/// Bytes read between two checks of the time.
const PIECE: u64 = 32 << 10;

/// Reads a file of a process up to the last whole line within the limit. Returns the bytes and whether there was more.
pub(super) fn read_file(procfs: &Procfs, pid: u32, file: &str, limit: u64) -> Result<(Vec<u8>, bool), Error> {
    let path = procfs.root().join(pid.to_string()).join(file);
    let mut bytes = Vec::new();
    let outcome = Handle::open(&path).and_then(|handle| handle.take(limit).read_to_end(&mut bytes));
    outcome.map_err(|source| error(source, path))?;
    let is_truncated = bytes.len() as u64 >= limit;
    if is_truncated {
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        bytes.truncate(whole);
    }
    Ok((bytes, is_truncated))
}

/// A file of a process that is read in pieces. The kernel works while the file is read (for smaps it walks the page
/// tables), and the reader has other processes to read too.
#[derive(Debug)]
pub struct Slow {
    handle: Handle,
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Slow {
    /// Opens `/proc/PID/smaps`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn smaps(procfs: &Procfs, pid: u32) -> Result<Self, Error> {
        Self::begin(procfs, pid, "smaps")
    }

    /// Opens `/proc/PID/maps`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn maps(procfs: &Procfs, pid: u32) -> Result<Self, Error> {
        Self::begin(procfs, pid, "maps")
    }

    fn begin(procfs: &Procfs, pid: u32, file: &str) -> Result<Self, Error> {
        let path = procfs.root().join(pid.to_string()).join(file);
        match Handle::open(&path) {
            Ok(handle) => Ok(Self { handle, path, bytes: Vec::new() }),
            Err(source) => Err(error(source, path)),
        }
    }

    /// Continues reading. Returns the bytes at the end of the file, `None` when the time is up.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn read_on(&mut self, time: Duration) -> Result<Option<Vec<u8>>, Error> {
        let begun = Instant::now();
        while (self.bytes.len() as u64) < SMAPS_LIMIT {
            let mut piece = (&mut self.handle).take(PIECE);
            match piece.read_to_end(&mut self.bytes) {
                Ok(0) => return Ok(Some(std::mem::take(&mut self.bytes))),
                Ok(_) => {}
                Err(source) => return Err(error(source, self.path.clone())),
            }
            if begun.elapsed() >= time {
                return Ok(None);
            }
        }
        // Keep what fits the limit, in whole lines.
        let whole = self.bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.bytes.truncate(whole);
        Ok(Some(std::mem::take(&mut self.bytes)))
    }
}

pub(crate) fn error(source: io::Error, path: PathBuf) -> Error {
    match source.raw_os_error() {
        // ESRCH: it ended between open and read, or has released its memory.
        Some(libc::ENOENT | libc::ESRCH) => Error::Gone,
        _ => Error::Io { path, source },
    }
}
