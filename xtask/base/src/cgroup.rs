//! The cgroup that the demo's program is killed in.
//!
//! Our own cgroup -> a limited child of its hierarchy, gone again when dropped.
//! Must not touch a cgroup that it did not make, save for one controller that it gives back.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::outcome::NotPermitted;

/// The two interfaces of the memory controller.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Version {
    /// A hierarchy of its own.
    V1,
    /// The unified hierarchy.
    V2,
}

/// Where a cgroup with a memory limit can be made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Home {
    /// How its files are named.
    pub version: Version,
    /// The directory to make it in.
    pub parent: PathBuf,
}

impl Home {
    /// Whether this user may make it.
    pub fn is_writable(&self) -> bool {
        rustix::fs::access(&self.parent, rustix::fs::Access::WRITE_OK).is_ok()
    }
}

/// Our own memory cgroup (v1), or the one above it (v2, where a cgroup with processes has no limited child).
/// `read` gives the text of a file.
pub fn find_home(cgroups: &str, mounts: &str, read: &dyn Fn(&PathBuf) -> Option<String>) -> Option<Home> {
    let has_memory = |dir: &Path| {
        read(&dir.join("cgroup.controllers")).is_some_and(|all| all.split_whitespace().any(|c| c == "memory"))
    };
    for mount in mounts.lines().filter_map(Mount::parse) {
        match mount.kind {
            "cgroup" if mount.options.split(',').any(|option| option == "memory") => {
                // 4:memory:/kubepods/pod1234/5678
                let own = own_path(cgroups, |controllers| controllers.split(',').any(|c| c == "memory"))?;
                return Some(Home { version: Version::V1, parent: mount.resolve(own) });
            }
            "cgroup2" if has_memory(Path::new(mount.point)) => {
                // 0::/user.slice/user-0.slice/session-1.scope
                let own = own_path(cgroups, str::is_empty)?;
                let above = Path::new(own).parent().and_then(Path::to_str).unwrap_or(own);
                let near = mount.resolve(above);
                let parent = if has_memory(&near) { near } else { PathBuf::from(mount.point) };
                return Some(Home { version: Version::V2, parent });
            }
            _ => {}
        }
    }
    None
}

fn own_path(cgroups: &str, wanted: impl Fn(&str) -> bool) -> Option<&str> {
    cgroups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        fields.next().filter(|controllers| wanted(controllers))?;
        fields.next()
    })
}

/// `32 31 0:29 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory`
struct Mount<'a> {
    root: &'a str,
    point: &'a str,
    kind: &'a str,
    options: &'a str,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (left, right) = line.split_once(" - ")?;
        let (mut left, mut right) = (left.split(' ').skip(3), right.split(' '));
        let (root, point) = (left.next()?, left.next()?);
        Some(Self { root, point, kind: right.next()?, options: right.nth(1)? })
    }

    /// A cgroup's path -> its directory; a container sees only what is below the root of its mount.
    fn resolve(&self, path: &str) -> PathBuf {
        let path = Path::new(path);
        let below = path.strip_prefix(self.root).or_else(|_| path.strip_prefix("/")).unwrap_or(path);
        Path::new(self.point).join(below)
    }
}

/// A memory cgroup of our own; the directory goes when this is dropped.
#[derive(Debug)]
pub struct Cgroup {
    home: Home,
    dir: PathBuf,
    is_enabled_by_us: bool,
}

impl Cgroup {
    /// Makes it, with a limit in bytes.
    pub fn create(home: Home, name: &str, limit: u64) -> Result<Self> {
        let dir = home.parent.join(name);
        fs::create_dir(&dir).with_context(|| format!("failed to create the cgroup {}", dir.display()))?;
        let mut cgroup = Self { home, dir, is_enabled_by_us: false };
        cgroup.enable_memory()?;
        cgroup.limit(limit)?;
        Ok(cgroup)
    }

    fn enable_memory(&mut self) -> Result<()> {
        let is_missing = !self.dir.join("memory.max").exists();
        if self.home.version == Version::V2 && is_missing {
            let enabled = write(&self.home.parent.join("cgroup.subtree_control"), "+memory");
            enabled.map_err(|error| NotPermitted(format!("the demo needs a memory cgroup: {error:#}")))?;
            self.is_enabled_by_us = true;
        }
        Ok(())
    }

    /// Sets its limit, also while it is in use.
    pub fn limit(&self, bytes: u64) -> Result<()> {
        // Without the swap limits a machine with swap would never kill.
        let (limit, swap, swap_bytes) = match self.home.version {
            Version::V1 => ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", bytes),
            Version::V2 => ("memory.max", "memory.swap.max", 0),
        };
        write(&self.dir.join(limit), &bytes.to_string())?;
        let swap = self.dir.join(swap);
        if swap.exists() { write(&swap, &swap_bytes.to_string()) } else { Ok(()) }
    }

    /// Bytes charged to the cgroup.
    pub fn usage(&self) -> Option<u64> {
        let file = match self.home.version {
            Version::V1 => "memory.usage_in_bytes",
            Version::V2 => "memory.current",
        };
        fs::read_to_string(self.dir.join(file)).ok()?.trim().parse().ok()
    }

    /// How many tasks of the group in this directory, without those below it, the OOM killer has killed.
    pub fn oom_kills(dir: &Path) -> Option<u64> {
        let texts =
            ["memory.oom_control", "memory.events.local"].map(|name| fs::read_to_string(dir.join(name)));
        let mut lines = texts.iter().flatten().flat_map(|text| text.lines());
        lines.find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
    }

    /// The file that takes the pids of its members.
    pub fn procs(&self) -> PathBuf {
        self.dir.join("cgroup.procs")
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // A killed process stays in its cgroup for a moment.
        let is_gone = (0..100).any(|_| {
            fs::remove_dir(&self.dir).is_ok() || {
                thread::sleep(Duration::from_millis(50));
                false
            }
        });
        if !is_gone {
            eprintln!("demo: failed to remove the cgroup {}: remove it with rmdir", self.dir.display());
        }
        if self.is_enabled_by_us {
            let control = self.home.parent.join("cgroup.subtree_control");
            if let Err(error) = write(&control, "-memory") {
                eprintln!("demo: {error:#}");
            }
        }
    }
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("failed to write {text} to {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";
    const V2: &str = "35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";

    fn nothing(_: &PathBuf) -> Option<String> {
        None
    }

    fn memory(_: &PathBuf) -> Option<String> {
        Some("cpu io memory pids\n".to_owned())
    }

    fn at(version: Version, parent: &str) -> Option<Home> {
        Some(Home { version, parent: parent.into() })
    }

    #[test]
    fn on_v1_the_home_is_our_own_memory_cgroup() {
        let home = find_home("5:devices:/\n4:memory:/ci/job\n0::/\n", V1, &nothing);
        assert_eq!(home, at(Version::V1, "/sys/fs/cgroup/memory/ci/job"));
    }

    #[test]
    fn in_a_container_the_path_is_below_the_root_of_the_mount() {
        let mounts = V1.replace("0:29 /", "0:29 /docker/abc");
        let home = find_home("4:memory:/docker/abc\n", &mounts, &nothing);
        assert_eq!(home, at(Version::V1, "/sys/fs/cgroup/memory/"));
    }

    #[test]
    fn on_v2_the_home_is_above_our_own_cgroup() {
        let home = find_home("0::/user.slice/session-1.scope\n", V2, &memory);
        assert_eq!(home, at(Version::V2, "/sys/fs/cgroup/user.slice"));
    }

    #[test]
    fn on_v2_the_root_is_the_home_where_the_cgroup_above_has_no_memory_controller() {
        let root =
            |file: &PathBuf| memory(file).filter(|_| file.starts_with("/sys/fs/cgroup/cgroup.controllers"));
        let home = find_home("0::/user.slice/session-1.scope\n", V2, &root);
        assert_eq!(home, at(Version::V2, "/sys/fs/cgroup"));
    }

    #[test]
    fn without_a_memory_controller_there_is_no_home() {
        assert_eq!(find_home("0::/\n", V2, &nothing), None);
        assert_eq!(find_home("0::/\n", "", &memory), None);
    }
}
