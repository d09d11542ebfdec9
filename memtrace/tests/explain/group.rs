//! A memory cgroup of a test's own, v1 or v2, below our own; gone when dropped.

use std::{fs, path::Path, path::PathBuf};

use memtrace::{
    cgroup::{
        hierarchy::{Hierarchy, Version},
        memcg,
    },
    mm::procfs::Procfs,
};

/// The group.
pub struct Group {
    hierarchy: Hierarchy,
    path: String,
    directory: PathBuf,
    home: PathBuf,
}

impl Group {
    /// Makes one.
    pub fn new(name: &str) -> Self {
        let hierarchy =
            Hierarchy::find(Path::new("/proc")).unwrap().expect("the memory controller is mounted");
        let lines = Procfs::new("/proc").cgroup(std::process::id()).unwrap();
        let own = hierarchy.path_of(&lines).expect("we are in a memory cgroup").to_vec();
        let home = match hierarchy.version {
            Version::V1 => own,
            // Where there are processes there cannot be children with a controller.
            Version::V2 => b"/".to_vec(),
        };
        let home_directory = hierarchy.directory(&home).expect("it is visible");
        let home = String::from_utf8(home).unwrap();
        let path = format!("{}/memtrace-explain-{name}-{}", home.trim_end_matches('/'), std::process::id());
        let directory = hierarchy.directory(path.as_bytes()).unwrap();
        fs::create_dir(&directory).unwrap();
        Self { hierarchy, path, directory, home: home_directory }
    }

    /// Its path as the kernel writes it.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Moves a process into it; what it had before stays charged where it was.
    pub fn take(&self, pid: u32) {
        fs::write(self.directory.join("cgroup.procs"), pid.to_string()).unwrap();
    }

    /// What the kernel charges it.
    pub fn usage(&self) -> u64 {
        memcg::usage(&self.hierarchy, self.path.as_bytes()).unwrap().0
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let left = fs::read_to_string(self.directory.join("cgroup.procs")).unwrap_or_default();
        for pid in left.lines() {
            fs::write(self.home.join("cgroup.procs"), pid).ok();
        }
        fs::remove_dir(&self.directory).ok();
    }
}
