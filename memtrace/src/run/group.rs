//! The cgroup of one run: made, limited, entered, read, emptied, removed.
//!
//! A [`Home`] -> [`Group`]. Dropping it kills what is in it and removes it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    process::{Pid, Signal, kill_process, test_kill_process},
};

use super::home::Home;
use crate::{
    cgroup::{hierarchy::Version, pressure},
    units::Bytes,
};

/// How long killed processes may take to be gone: they may wait for a disk.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks whether they are.
const PAUSE: Duration = Duration::from_millis(2);
/// The deepest group below a run's that is emptied.
const MAX_DEPTH: usize = 32;
/// The most groups that an earlier process with the same pid may have left behind.
const MOST: u32 = 1000;
/// The start of a group's name; its maker's pid and a number follow.
const NAME: &str = "memtrace-run-";

/// A run's cgroup.
#[derive(Debug)]
pub struct Group {
    version: Version,
    /// Its path.
    pub path: Vec<u8>,
    /// Its directory.
    pub directory: PathBuf,
}

impl Group {
    /// Makes one.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn make(home: &Home) -> io::Result<Self> {
        let (name, directory) = new_directory(&home.directory)?;
        let above = home.path.strip_suffix(b"/").unwrap_or(&home.path);
        let path = [above, b"/", name.as_bytes()].concat();
        let group = Self { version: home.hierarchy.version, path, directory };
        if group.version == Version::V1 {
            // Where it is not on for all (before Linux 5.11), children of the command would count for themselves.
            let _ = fs::write(group.directory.join("memory.use_hierarchy"), "1");
        }
        Ok(group)
    }

    /// Sets its limit, and whether it may swap.
    ///
    /// # Errors
    /// When the limit cannot be set.
    pub fn limit(&self, limit: Option<Bytes>, swap: bool) -> io::Result<()> {
        let write = |name: &str, text: &str| fs::write(self.directory.join(name), text);
        let bytes = limit.map(|limit| limit.0.to_string());
        match self.version {
            Version::V1 => {
                if let Some(bytes) = &bytes {
                    write("memory.limit_in_bytes", bytes)?;
                }
                if !swap {
                    // Without swap accounting the second file is missing, and the first one does what can be done.
                    let _ = write("memory.swappiness", "0");
                    let _ = bytes.map(|bytes| write("memory.memsw.limit_in_bytes", &bytes));
                }
            }
            Version::V2 => {
                if let Some(bytes) = &bytes {
                    write("memory.max", bytes)?;
                }
                if !swap {
                    let _ = write("memory.swap.max", "0");
                }
            }
        }
        Ok(())
    }

    /// The file by which a process with one thread enters it.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn entrance(&self) -> io::Result<fs::File> {
        // For a process the kernel keeps all forks and exits waiting, which takes it an RCU grace period (10 to 30 ms)
        // where nobody did so just before. For the calling thread it does not.
        let name = match self.version {
            Version::V1 => "tasks",
            Version::V2 => "cgroup.procs",
        };
        fs::OpenOptions::new().write(true).open(self.directory.join(name))
    }

    /// Its processes, and those of groups below it.
    pub fn processes(&self) -> Vec<u32> {
        let mut pids = Vec::new();
        each(&self.directory, 0, &mut |directory| {
            let text = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
            pids.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
        });
        pids
    }

    /// Microseconds in which all of its tasks waited for memory; v1 counts none.
    pub fn stalled(&self) -> Option<u64> {
        let text = fs::read(self.directory.join("memory.pressure")).ok()?;
        pressure::full_total(&text)
    }

    /// Kills all that is in it, and returns when nothing is.
    ///
    /// # Errors
    /// When something is left after a long time.
    pub fn kill_all(&self) -> io::Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            // One write kills all at once, also those that are just being forked (Linux 5.14).
            if fs::write(self.directory.join("cgroup.kill"), "1").is_err() {
                for pid in self.processes() {
                    let _ = Pid::from_raw(pid.cast_signed()).map(|pid| kill_process(pid, Signal::KILL));
                }
            }
            if self.processes().is_empty() {
                return Ok(());
            }
            if Instant::now() >= end {
                return Err(io::ErrorKind::TimedOut.into());
            }
            thread::sleep(PAUSE);
        }
    }

    /// Kills what is in it and removes it.
    ///
    /// # Errors
    /// When it is still there.
    pub fn remove(&self) -> io::Result<()> {
        self.kill_all()?;
        let end = Instant::now() + PATIENCE;
        loop {
            // A group is busy until its last task is gone altogether.
            match remove_tree(&self.directory, 0) {
                Err(_) if self.directory.exists() && Instant::now() < end => thread::sleep(PAUSE),
                Err(error) if self.directory.exists() => return Err(error),
                _ => return Ok(()),
            }
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.directory.exists()
            && let Err(error) = self.remove()
        {
            eprintln!("memtrace: failed to remove {}: {error}", self.directory.display());
        }
    }
}

/// Makes the first directory of this process that is not there yet.
fn new_directory(home: &Path) -> io::Result<(String, PathBuf)> {
    let mut number = 0_u32;
    loop {
        let name = format!("{NAME}{}-{number}", std::process::id());
        let directory = home.join(&name);
        match fs::create_dir(&directory) {
            Ok(()) => return Ok((name, directory)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < MOST => number += 1,
            Err(error) => return Err(error),
        }
    }
}

/// The groups below a directory, and itself, the deepest first.
fn each(directory: &Path, depth: usize, take: &mut dyn FnMut(&Path)) {
    if depth < MAX_DEPTH {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            each(&entry.path(), depth + 1, take);
        }
    }
    take(directory);
}

fn remove_tree(directory: &Path, depth: usize) -> io::Result<()> {
    let mut outcome = Ok(());
    each(directory, depth, &mut |directory| {
        if let Err(error) = fs::remove_dir(directory) {
            outcome = Err(error);
        }
    });
    outcome
}

/// Removes empty groups that runs left behind which were killed.
pub fn sweep(home: &Path) {
    for entry in fs::read_dir(home).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let maker = name.to_str().and_then(|name| name.strip_prefix(NAME)?.split('-').next()?.parse().ok());
        let is_over =
            |pid: i32| Pid::from_raw(pid).is_some_and(|pid| test_kill_process(pid) == Err(Errno::SRCH));
        if maker.is_some_and(is_over) {
            // It fails where there are processes, which is as it should be.
            let _ = fs::remove_dir(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_groups_of_runs_that_are_over_are_swept() {
        let dir = tempfile::tempdir().unwrap();
        let own = format!("{NAME}{}-0", std::process::id());
        // No process has the highest number that there is.
        let over = format!("{NAME}{}-3", i32::MAX);
        for name in [&own, &over, "other", "memtrace-run-x", "memtrace-run-"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        sweep(dir.path());
        let left = |name: &str| dir.path().join(name).exists();
        assert!(left(&own) && left("other") && left("memtrace-run-x") && !left(&over));
    }
}
