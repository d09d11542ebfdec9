//! The pins of one process: its programs, its ring of kills, its counters.
//!
//! A directory in bpffs -> the records in the ring, and which programs made them. Nothing is consumed: the set stays until
//! [`OldSet::remove`], so a process that is killed before it stored the records loses none.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use aya::maps::{Map, MapData, MapError, PerCpuArray};
use memtrace_common::{counter::Counter, event::oom::LAYOUT};

use crate::probe::{
    attach::{COUNTERS, KILLS},
    kill_ring::{KillRing, Unread},
    plan::describe,
    table::{FACTS, Hook},
};

/// How often a ring is looked at again while a program writes to it, and how long after. A program takes microseconds.
const LOOKS: usize = 100;
const PAUSE: Duration = Duration::from_millis(1);

/// The link in the directory of a program. The directory stays when the program is detached, so that the next process
/// knows what made the records.
pub const LINK: &str = "link";

/// A set whose programs are detached.
#[derive(Debug)]
pub struct OldSet {
    directory: PathBuf,
    /// The programs that were attached.
    programs: Vec<String>,
}

/// What is left in the ring of a set.
#[derive(Debug, Default)]
pub struct Left {
    /// The records, oldest first.
    pub records: Vec<Vec<u8>>,
    /// Records that cannot be read, because another version made them or the last one was never completed.
    pub unreadable: u64,
    /// Kills that did not fit into the ring since its programs were attached.
    pub not_fitting: u64,
}

/// The name of a set of this version that is made now, in ns since boot.
pub fn name(now: u64) -> String {
    format!("v{LAYOUT}-{now}")
}

/// Layout and time of a set.
fn parse(name: &str) -> Option<(u32, u64)> {
    let (layout, time) = name.strip_prefix('v')?.split_once('-')?;
    Some((layout.parse().ok()?, time.parse().ok()?))
}

/// The sets in a directory, oldest first. Other files there are not memtrace's.
pub fn list(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut sets: Vec<(u64, PathBuf)> =
        entries.filter_map(|entry| Some((parse(entry.file_name().to_str()?)?.1, entry.path()))).collect();
    sets.sort();
    sets.into_iter().map(|(_, path)| path).collect()
}

/// Removes a set: its programs are detached, its ring is freed.
pub fn remove(set: &Path) {
    match fs::remove_dir_all(set) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(set = %set.display(), %error, "failed to remove pinned programs");
        }
        _ => {}
    }
}

impl OldSet {
    /// Detaches the programs of a set. The kernel may do it a little later; what they record until then, the programs of
    /// this process record too.
    pub(super) fn detach(directory: PathBuf) -> Self {
        let mut programs = Vec::new();
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            match fs::remove_file(entry.path().join(LINK)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(program = %entry.path().display(), %error, "failed to detach a pinned program");
                }
                _ => {}
            }
            programs.extend(entry.file_name().to_str().map(str::to_owned));
        }
        Self { directory, programs }
    }

    /// The name of its directory.
    pub fn name(&self) -> &str {
        self.directory.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// The hook of a fact, if a program of the set was attached there.
    pub fn hook(&self, fact: &str) -> Option<String> {
        let fact = FACTS.iter().find(|row| row.name == fact)?;
        let is_attached = |hook: &&Hook| self.programs.iter().any(|program| program == hook.program);
        fact.hooks.iter().find(is_attached).map(|hook| describe(hook.form))
    }

    /// Reads what is in its ring.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn left(&self) -> io::Result<Left> {
        if !fs::exists(self.directory.join(KILLS))? {
            return Ok(Left::default());
        }
        let Unread { records, is_busy } = self.unread()?;
        if !matches!(parse(self.name()), Some((LAYOUT, _))) {
            return Ok(Left { unreadable: records.len() as u64 + u64::from(is_busy), ..Left::default() });
        }
        let not_fitting = self.not_fitting().map_err(io::Error::other)?;
        Ok(Left { records, unreadable: u64::from(is_busy), not_fitting })
    }

    fn unread(&self) -> io::Result<Unread> {
        let map = MapData::from_pin(self.directory.join(KILLS)).map_err(io::Error::other)?;
        let ring = KillRing::open(map)?;
        for _ in 0..LOOKS {
            if !ring.unread().is_busy {
                break;
            }
            thread::sleep(PAUSE);
        }
        Ok(ring.unread())
    }

    fn not_fitting(&self) -> Result<u64, MapError> {
        let map = Map::PerCpuArray(MapData::from_pin(self.directory.join(COUNTERS))?);
        let counters: PerCpuArray<MapData, u64> = map.try_into()?;
        Ok(counters.get(&(Counter::KillsFull as u32), 0)?.iter().sum())
    }

    /// Removes what is left of it, because the records are on disk.
    pub fn remove(self) {
        remove(&self.directory);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::{KILLS, LINK, OldSet, list, name, parse};

    #[test]
    fn sets_have_a_layout_and_a_time() {
        assert_eq!(parse(&name(12)).unwrap().1, 12);
        assert_eq!(parse("v7-9"), Some((7, 9)));
        for other in ["", "v", "v1", "1-2", "v1-x", "vx-1"] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_set_tells_what_was_attached_and_keeps_its_ring() {
        let dir = tempfile::tempdir().unwrap();
        let directory = dir.path().join(name(1));
        fs::create_dir(&directory).unwrap();
        fs::create_dir(dir.path().join("other")).unwrap();
        File::create(directory.join(KILLS)).unwrap();
        for program in ["mark_victim", "kprobe_oom_kill_process"] {
            fs::create_dir(directory.join(program)).unwrap();
            File::create(directory.join(program).join(LINK)).unwrap();
        }
        assert_eq!(list(dir.path()), std::slice::from_ref(&directory));
        // The second time as after a process that was killed before it stored the records.
        for _ in 0..2 {
            let set = OldSet::detach(directory.clone());
            assert_eq!(set.hook("oom_kill").as_deref(), Some("tp_btf:mark_victim"));
            assert_eq!(set.hook("oom_request").as_deref(), Some("kprobe:oom_kill_process"));
            assert_eq!(set.hook("signal"), None);
            assert!(!fs::exists(directory.join("mark_victim").join(LINK)).unwrap());
            assert!(fs::exists(directory.join(KILLS)).unwrap());
            assert!(set.left().is_err(), "a file is no map");
        }
        OldSet::detach(directory.clone()).remove();
        assert!(!fs::exists(directory).unwrap());
    }
}
