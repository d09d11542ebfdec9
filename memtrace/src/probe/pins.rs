//! Pins in bpffs: the programs and the ring of kills outlive this process, and the next one finds them.
//!
//! Attached programs -> a set of pins. Sets of earlier processes -> the kills in their rings. Layout:
//! `BPFFS/memtrace/STATE_DIRECTORY/v1-TIME/{KILLS,COUNTERS,PROGRAM/link...}`. Each daemon attaches its own programs and pins
//! them in a new set. Only then are those of the old sets detached, so no kill is missed; one that both record is
//! recognised by its victim. The number after `v` is the layout of the records: a ring of another layout is not read.

mod set;

use std::{
    fs::{self, DirBuilder, File},
    io::ErrorKind,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use aya::{Ebpf, maps::IterableMap as _};
use rustix::fs::{Access, FlockOperation, access, flock, statfs};

pub use self::set::{Left, OldSet};
use super::{
    attach::{COUNTERS, KILLS, Probes},
    links::{self, AttachedLink, chain},
    plan::describe,
    status::Outliving,
    table::{Hook, OUTLIVING},
};

/// The usual mount point of bpffs.
pub const BPFFS: &str = "/sys/fs/bpf";
/// The directory of memtrace in it.
const DIRECTORY: &str = "memtrace";
/// `BPF_FS_MAGIC` (include/uapi/linux/magic.h).
const MAGIC: u32 = 0xcafe_4a11;
/// The longest name of a file.
const LONGEST: usize = 255;
/// The most old sets that are kept; each holds a ring of 8 MiB in kernel memory. One whose kills are stored is removed, so
/// there are more only if daemons end again and again before they can store a kill.
const MOST_OLD: usize = 8;

/// The sets of one state directory. No other process uses them meanwhile.
#[derive(Debug)]
pub struct Pins {
    directory: PathBuf,
    _lock: File,
}

/// What [`unpin`] removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unpinned {
    /// Sets of programs.
    pub sets: usize,
    /// Kills in their rings, which nobody will record.
    pub unread: u64,
    /// State directories whose daemon runs; their sets were left.
    pub in_use: usize,
}

/// Whether programs can be pinned below `bpffs`.
///
/// # Errors
/// Why not.
pub fn check(bpffs: &Path) -> Result<(), String> {
    let at = bpffs.display();
    let kind = statfs(bpffs).map_err(|error| format!("no bpffs at {at}: {error}"))?.f_type;
    // The type of the field differs between architectures.
    if kind as u32 != MAGIC {
        return Err(format!("no bpffs at {at}; mount it with `mount -t bpf bpf {at}`"));
    }
    access(bpffs, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|error| format!("failed to write to {at}: {error}"))
}

/// What a daemon would pin of these links.
pub fn possible(bpffs: &Path, links: &[AttachedLink]) -> Outliving {
    let obstacle = |link: &AttachedLink| Some(detached(link.fact, link.hook, &link.obstacle()?));
    let required = links.iter().filter(|link| Some(&link.fact) == OUTLIVING.first()).find_map(obstacle);
    match check(bpffs).err().or(required) {
        Some(why) => Outliving { directory: None, lost: vec![why] },
        None => Outliving {
            directory: Some(bpffs.join(DIRECTORY).display().to_string()),
            lost: links.iter().filter_map(obstacle).collect(),
        },
    }
}

fn detached(fact: &str, hook: &Hook, why: &str) -> String {
    format!("{fact}: {} is detached with the daemon: {why}", describe(hook.form))
}

impl Pins {
    /// The sets of this state directory, which must exist.
    ///
    /// # Errors
    /// Why nothing can be pinned.
    pub fn open(bpffs: &Path, state_dir: &Path) -> Result<Self, String> {
        check(bpffs)?;
        Self::lock(bpffs.join(DIRECTORY).join(name_of(state_dir)?))
    }

    fn lock(directory: PathBuf) -> Result<Self, String> {
        let failed = |error| format!("failed to use {}: {error}", directory.display());
        DirBuilder::new().recursive(true).mode(0o700).create(&directory).map_err(failed)?;
        let lock = File::open(&directory).map_err(failed)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| failed(error.into()))?;
        Ok(Self { directory, _lock: lock })
    }

    /// Pins the programs that record kills, with their ring. Returns what is recorded while no daemon runs.
    pub fn pin(&self, probes: &mut Probes, now: u64) -> Outliving {
        let set = self.directory.join(set::name(now));
        match pin(&set, probes) {
            Ok(lost) => Outliving { directory: Some(set.display().to_string()), lost },
            Err(why) => {
                set::remove(&set);
                Outliving { directory: None, lost: vec![why] }
            }
        }
    }

    /// The sets of earlier processes, oldest first; `pinned` is the own one. Their programs are detached now.
    pub fn take_over(&self, pinned: &Outliving) -> Vec<OldSet> {
        let own = pinned.directory.as_ref().map(Path::new);
        let mut sets = set::list(&self.directory);
        sets.retain(|set| Some(set.as_path()) != own);
        let kept = sets.split_off(sets.len().saturating_sub(MOST_OLD));
        for set in sets {
            tracing::error!(set = %set.display(), "too many sets of pinned programs are left; removed one unread");
            set::remove(&set);
        }
        kept.into_iter().map(OldSet::detach).collect()
    }
}

/// Pins all, the ring first: whoever finds a program must find its ring.
fn pin(set: &Path, probes: &mut Probes) -> Result<Vec<String>, String> {
    let failed = |error: &dyn std::fmt::Display| format!("failed to pin in {}: {error}", set.display());
    DirBuilder::new().mode(0o700).create(set).map_err(|error| failed(&error))?;
    probes.kills.map().pin(set.join(KILLS)).map_err(|error| failed(&chain(&error)))?;
    probes.counters.map().pin(set.join(COUNTERS)).map_err(|error| failed(&chain(&error)))?;
    let (mut links, mut lost) = (std::mem::take(&mut probes.links), Vec::new());
    for fact in OUTLIVING {
        let Some(index) = links.iter().position(|link| link.fact == fact) else { continue };
        let link = links.swap_remove(index);
        let hook = link.hook;
        match pin_link(set, link, &mut probes.object).map_err(|why| detached(fact, hook, &why)) {
            Ok(()) => {}
            Err(why) if Some(&fact) == OUTLIVING.first() => return Err(why),
            Err(why) => lost.push(why),
        }
    }
    Ok(lost)
}

fn pin_link(set: &Path, link: AttachedLink, object: &mut Ebpf) -> Result<(), String> {
    if let Some(obstacle) = link.obstacle() {
        return Err(obstacle);
    }
    let hook = link.hook;
    let directory = set.join(hook.program);
    DirBuilder::new().mode(0o700).create(&directory).map_err(|error| error.to_string())?;
    let pinned = link.take(object)?.pin(directory.join(set::LINK));
    // The file keeps the program attached, not the descriptor.
    pinned.map(drop).map_err(|error| {
        let why = chain(&error);
        // Or the next process believes that it was attached. What remains is empty.
        let _ = fs::remove_dir(&directory);
        // The link is gone, and with it the attachment.
        match links::attach(object, hook) {
            Ok(_) => why,
            Err(error) => format!("{why}; and failed to attach it again: {error}"),
        }
    })
}

/// Removes the sets of all state directories whose daemon does not run, and detaches their programs.
///
/// # Errors
/// When there is no bpffs, or it cannot be read.
pub fn unpin(bpffs: &Path) -> Result<Unpinned, String> {
    check(bpffs)?;
    let all = bpffs.join(DIRECTORY);
    let failed = |error: std::io::Error| format!("failed to read {}: {error}", all.display());
    let entries = match fs::read_dir(&all) {
        Ok(entries) => entries.collect::<Result<Vec<_>, _>>().map_err(failed)?,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Unpinned::default()),
        Err(error) => return Err(failed(error)),
    };
    let mut unpinned = Unpinned::default();
    for entry in entries {
        let Ok(pins) = Pins::lock(entry.path()) else {
            unpinned.in_use += 1;
            continue;
        };
        for set in set::list(&pins.directory) {
            let old = OldSet::detach(set);
            unpinned.sets += 1;
            let left = old.left().unwrap_or_default();
            unpinned.unread += left.records.len() as u64 + left.unreadable;
            old.remove();
        }
        fs::remove_dir(&pins.directory).map_err(failed)?;
    }
    if unpinned.in_use == 0 {
        fs::remove_dir(&all).map_err(failed)?;
    }
    Ok(unpinned)
}

/// The name of a state directory in bpffs, which allows no dots: `/var/lib/memtrace` is `var-lib-memtrace`.
fn name_of(state_dir: &Path) -> Result<String, String> {
    let path = state_dir
        .canonicalize()
        .map_err(|error| format!("failed to resolve {}: {error}", state_dir.display()))?;
    let bytes = path.as_os_str().as_encoded_bytes();
    let name: String = bytes
        .strip_prefix(b"/")
        .unwrap_or(bytes)
        .iter()
        .map(|byte| match byte {
            b'/' => "-".to_owned(),
            byte if byte.is_ascii_alphanumeric() => char::from(*byte).to_string(),
            byte => format!("_{byte:02x}"),
        })
        .collect();
    if name.len() > LONGEST { Err(format!("the path {} is too long", path.display())) } else { Ok(name) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{MOST_OLD, Outliving, Pins, check, name_of, set};

    #[test]
    fn another_file_system_is_no_bpffs() {
        let dir = tempfile::tempdir().unwrap();
        assert!(check(dir.path()).unwrap_err().contains("mount -t bpf"));
        assert!(check(&dir.path().join("absent")).unwrap_err().starts_with("no bpffs at"));
        assert!(super::unpin(dir.path()).is_err());
    }

    #[test]
    fn each_state_directory_has_a_name_without_dots() {
        let dir = tempfile::tempdir().unwrap();
        let name = |path: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(&path).unwrap();
            name_of(&path).unwrap()
        };
        let names = [name("a/b.c"), name("a-b.c"), name("a/b-c"), name("a_b"), name("ä")];
        assert!(
            names.iter().all(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)))
        );
        assert!(names[0].ends_with("-a-b_2ec"), "{}", names[0]);
        for (index, name) in names.iter().enumerate() {
            assert!(!names[index + 1..].contains(name), "{name}");
        }
    }

    #[test]
    fn a_second_daemon_cannot_have_the_same_pins() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("memtrace/state");
        let first = Pins::lock(place.clone()).unwrap();
        assert!(Pins::lock(place.clone()).is_err());
        drop(first);
        assert!(Pins::lock(place).is_ok());
    }

    #[test]
    fn old_sets_are_found_in_order_and_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let pins = Pins::lock(dir.path().join("state")).unwrap();
        let times: Vec<u64> = (0..MOST_OLD as u64 + 3).map(|index| 9 + index * 1000).collect();
        for time in &times {
            fs::create_dir(pins.directory.join(set::name(*time))).unwrap();
        }
        let own = pins.directory.join(set::name(9 + 5000)).display().to_string();
        let found = pins.take_over(&Outliving { directory: Some(own.clone()), ..Outliving::default() });
        let expected: Vec<_> =
            times.iter().filter(|time| **time != 5009).skip(2).map(|time| set::name(*time)).collect();
        let names: Vec<_> = found.iter().map(|set| set.name().to_owned()).collect();
        assert_eq!(names, expected);
        assert!(fs::exists(own).unwrap());
        assert!(!fs::exists(pins.directory.join(set::name(9))).unwrap(), "the oldest is removed");
        for set in found {
            set.remove();
        }
        assert_eq!(set::list(&pins.directory).len(), 1);
    }
}
