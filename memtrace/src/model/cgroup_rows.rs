//! The cgroups that have a row: those with processes, and those above them that have a limit.
//!
//! Input: the groups with processes, and limits. Output: paths. Looked at anew when a group came or went, or when limits
//! may have changed.

use std::collections::HashMap;

use super::{charges, groups::Groups};
use crate::{text::escape, units::Bytes};

#[derive(Debug, Default)]
pub struct CgroupRows {
    /// The groups above those with processes that have a limit.
    pub above: Vec<Vec<u8>>,
    /// The path of each, by its escaped form.
    pub paths: HashMap<String, Vec<u8>>,
    /// How often groups had come or gone when that was looked at.
    changes: u64,
}

impl CgroupRows {
    /// Looks, if a group came or went, or if limits were asked for anew.
    pub fn look(&mut self, groups: &Groups, has_limits: bool, own_limit: impl FnMut(&[u8]) -> Option<Bytes>) {
        if self.changes == groups.changes() && !has_limits {
            return;
        }
        self.changes = groups.changes();
        self.above = charges::groups(groups.iter().map(|group| group.path.as_slice()), own_limit);
        let own = groups.iter().map(|group| (group.name().to_owned(), group.path.clone()));
        let above = self.above.iter().map(|path| (escape(path), path.clone()));
        self.paths = own.chain(above).collect();
    }
}
