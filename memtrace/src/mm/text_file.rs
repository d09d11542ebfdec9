//! Files of /proc/PID that are as long as the process likes: read up to a limit, at once or bit by bit.
//!
//! A pid and the name of a file -> bytes in whole lines. Must not know what is in them.

use std::{
    fs::File as Handle,
    io::{self, Read as _},
    path::PathBuf,
    time::{Duration, Instant},
};

use super::procfs::{Error, Procfs};

/// As much of smaps as is read. Paths are the process's choice, so there has to be an end.
pub(super) const SMAPS_LIMIT: u64 = 256 << 20;
/// What is read between two looks at the clock.
const PIECE: u64 = 32 << 10;

/// The bytes of a file of a process, up to the last whole line within the limit, and whether there was more.
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

/// A file of a process that is read bit by bit: its reader has others to read too, and the kernel does its work, which for
/// smaps is to walk the page tables, as the file is read.
#[derive(Debug)]
pub struct Slow {
    handle: Handle,
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Slow {
    /// Begins with `/proc/PID/smaps`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn smaps(procfs: &Procfs, pid: u32) -> Result<Self, Error> {
        Self::begin(procfs, pid, "smaps")
    }

    /// Begins with `/proc/PID/maps`.
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

    /// Reads on until the end, for which the bytes are returned, or until the time is over.
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
        // As much as there is room for, in whole lines.
        let whole = self.bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.bytes.truncate(whole);
        Ok(Some(std::mem::take(&mut self.bytes)))
    }
}

pub(crate) fn error(source: io::Error, path: PathBuf) -> Error {
    match source.raw_os_error() {
        // ESRCH: it ended between open and read, or has no memory any more.
        Some(libc::ENOENT | libc::ESRCH) => Error::Gone,
        _ => Error::Io { path, source },
    }
}
