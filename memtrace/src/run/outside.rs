//! Processes of the command that are not in its cgroup: it, or who manages it, has moved them.
//!
//! /proc -> names, bounded. Found by walking from the command to its children; those that were left by their parents are
//! not found.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use crate::{
    cgroup::hierarchy::{Hierarchy, is_within},
    mm::procfs::Procfs,
    text::{comm, escape},
};

/// The most processes that one look visits, and that are told.
const MOST_VISITED: usize = 256;
const MOST_TOLD: usize = 8;

/// What was seen so far.
pub struct Outside {
    proc: PathBuf,
    hierarchy: Hierarchy,
    /// Escaped.
    path: String,
    seen: BTreeMap<u32, String>,
}

impl Outside {
    /// Watches for processes outside of the cgroup at `path`.
    pub fn of(proc: &Path, hierarchy: &Hierarchy, path: &[u8]) -> Self {
        Self { proc: proc.into(), hierarchy: hierarchy.clone(), path: escape(path), seen: BTreeMap::new() }
    }

    /// Looks at the command and its descendants.
    pub fn look(&mut self, command: u32) {
        let procfs = Procfs::new(&self.proc);
        let mut open = vec![command];
        let mut visited = 0;
        while let Some(pid) = open.pop() {
            visited += 1;
            if visited > MOST_VISITED || self.seen.len() >= MOST_TOLD {
                return;
            }
            let Ok(lines) = procfs.cgroup(pid) else { continue };
            let Some(path) = self.hierarchy.path_of(&lines).map(|path| self.hierarchy.absolute(path)) else {
                continue;
            };
            // A process that is ending is in the root group already.
            let Ok(stat) = procfs.stat(pid) else { continue };
            let is_ending = matches!(stat.state, b'Z' | b'X');
            let path = escape(&path);
            if !is_ending && !is_within(&path, &self.path) {
                let told = format!("{} (pid {pid}) in {path}", comm(&stat.comm));
                self.seen.entry(pid).or_insert(told);
            }
            open.extend(self.children(pid));
        }
    }

    /// All that were seen.
    pub fn told(self) -> Vec<String> {
        self.seen.into_values().collect()
    }

    fn children(&self, pid: u32) -> Vec<u32> {
        let tasks = fs::read_dir(self.proc.join(format!("{pid}/task"))).into_iter().flatten().flatten();
        let of = |task: fs::DirEntry| fs::read_to_string(task.path().join("children")).unwrap_or_default();
        let lists: Vec<String> = tasks.take(MOST_VISITED).map(of).collect();
        lists.iter().flat_map(|list| list.split_whitespace()).filter_map(|pid| pid.parse().ok()).collect()
    }
}
