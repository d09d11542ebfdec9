//! /proc, read with care.
//!
//! Input: a root (normally `/proc`) and a pid. Output: typed facts; a process that is gone is `Error::Gone`. Parsers
//! take bytes and never panic: names may contain any byte, and a process may end while it is read.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// A /proc file system.
#[derive(Clone, Debug)]
pub struct Procfs {
    root: PathBuf,
}

/// Why a file of /proc could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The process has ended.
    #[error("the process has ended")]
    Gone,
    /// It cannot be read.
    #[error("failed to read {path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file does not have the expected format.
    #[error("failed to parse {file}: no {what}")]
    Malformed {
        /// Kind of file.
        file: &'static str,
        /// What is missing.
        what: &'static str,
    },
}

/// `/proc/PID/stat`, the fields that memtrace uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Name, any bytes.
    pub comm: Vec<u8>,
    /// State letter: `R`, `S`, `Z`...
    pub state: u8,
    /// Id of its parent.
    pub parent: Option<u32>,
    /// Start in clock ticks since boot.
    pub start_ticks: u64,
}

/// `/proc/PID/statm`, in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statm {
    /// Mapped.
    pub size: u64,
    /// Resident.
    pub resident: u64,
    /// Resident pages of files and shared memory.
    pub shared: u64,
}

/// `/proc/PID/status`, the fields that memtrace uses. Kernel threads have no memory fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Real user id.
    pub uid: Option<u32>,
    /// Resident anonymous memory, in kB.
    pub rss_anon_kib: Option<u64>,
    /// Resident file pages, in kB.
    pub rss_file_kib: Option<u64>,
    /// Resident shared memory, in kB.
    pub rss_shmem_kib: Option<u64>,
    /// Peak RSS, in kB.
    pub rss_peak_kib: Option<u64>,
    /// Page tables, in kB.
    pub page_tables_kib: Option<u64>,
    /// Mapped, in kB.
    pub size_kib: Option<u64>,
}

/// One line of `/proc/PID/cgroup`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupLine {
    /// Hierarchy id, 0 for v2.
    pub hierarchy: u32,
    /// Controllers (v1), comma-separated, or empty (v2).
    pub controllers: Vec<u8>,
    /// Path below the hierarchy's root, as this cgroup namespace sees it.
    pub path: Vec<u8>,
}

impl Procfs {
    /// A /proc at `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Its root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The current processes.
    ///
    /// # Errors
    /// When /proc cannot be listed.
    pub fn pids(&self) -> Result<Vec<u32>, Error> {
        let entries =
            fs::read_dir(&self.root).map_err(|source| Error::Io { path: self.root.clone(), source })?;
        Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
    }

    /// `/proc/PID/stat`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn stat(&self, pid: u32) -> Result<Stat, Error> {
        parse_stat(&self.read(pid, "stat")?)
    }

    /// `/proc/PID/statm`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn statm(&self, pid: u32) -> Result<Statm, Error> {
        parse_statm(&self.read(pid, "statm")?)
    }

    /// `/proc/PID/status`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn status(&self, pid: u32) -> Result<Status, Error> {
        Ok(parse_status(&self.read(pid, "status")?))
    }

    /// `/proc/PID/cgroup`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn cgroup(&self, pid: u32) -> Result<Vec<CgroupLine>, Error> {
        Ok(parse_cgroup(&self.read(pid, "cgroup")?))
    }

    fn read(&self, pid: u32, file: &str) -> Result<Vec<u8>, Error> {
        let path = self.root.join(pid.to_string()).join(file);
        fs::read(&path).map_err(|source| match source.raw_os_error() {
            // ESRCH: it ended between open and read.
            Some(libc::ENOENT | libc::ESRCH) => Error::Gone,
            _ => Error::Io { path, source },
        })
    }
}

/// `1234 (a b) c) S 1 ...`: the name may hold spaces and parentheses, the last `)` ends it.
pub(crate) fn parse_stat(bytes: &[u8]) -> Result<Stat, Error> {
    let missing = |what| Error::Malformed { file: "stat", what };
    let open = bytes.iter().position(|byte| *byte == b'(').ok_or(missing("name"))?;
    let close = bytes.iter().rposition(|byte| *byte == b')').ok_or(missing("end of the name"))?;
    let comm = bytes.get(open + 1..close).ok_or(missing("name"))?.to_vec();
    let mut fields = bytes.get(close + 1..).unwrap_or_default().split(|byte| *byte == b' ').skip(1);
    let state = *fields.next().and_then(<[u8]>::first).ok_or(missing("state"))?;
    let parent = fields.next().and_then(number).and_then(|pid| u32::try_from(pid).ok());
    // Field 22 of the file; the state is field 3.
    let start_ticks = fields.nth(17).and_then(number).ok_or(missing("start time"))?;
    Ok(Stat { comm, state, parent, start_ticks })
}

/// `4633 1210 892 163 0 337 0`
pub(crate) fn parse_statm(bytes: &[u8]) -> Result<Statm, Error> {
    let mut fields = bytes.split(u8::is_ascii_whitespace).map(number);
    let mut next = |what| fields.next().flatten().ok_or(Error::Malformed { file: "statm", what });
    Ok(Statm { size: next("size")?, resident: next("resident")?, shared: next("shared")? })
}

/// `RssAnon:\t    1234 kB`
pub(crate) fn parse_status(bytes: &[u8]) -> Status {
    let mut status = Status::default();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, rest) = line.split_at(colon);
        let value = rest
            .split(|byte| matches!(byte, b':' | b'\t' | b' '))
            .find(|word| !word.is_empty())
            .and_then(number);
        match name {
            b"Uid" => status.uid = value.and_then(|uid| u32::try_from(uid).ok()),
            b"RssAnon" => status.rss_anon_kib = value,
            b"RssFile" => status.rss_file_kib = value,
            b"RssShmem" => status.rss_shmem_kib = value,
            b"VmHWM" => status.rss_peak_kib = value,
            b"VmPTE" => status.page_tables_kib = value,
            b"VmSize" => status.size_kib = value,
            _ => {}
        }
    }
    status
}

/// `4:memory:/kubepods/burstable/...` (v1), `0::/system.slice/x.service` (v2). The path may hold colons.
pub(crate) fn parse_cgroup(bytes: &[u8]) -> Vec<CgroupLine> {
    bytes
        .split(|byte| *byte == b'\n')
        .filter_map(|line| {
            let mut parts = line.splitn(3, |byte| *byte == b':');
            Some(CgroupLine {
                hierarchy: parts.next().and_then(number).and_then(|id| u32::try_from(id).ok())?,
                controllers: parts.next()?.to_vec(),
                path: parts.next()?.to_vec(),
            })
        })
        .collect()
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
#[path = "procfs_tests.rs"]
mod tests;
