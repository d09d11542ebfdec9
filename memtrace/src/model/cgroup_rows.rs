//! The cgroups that get a row: those with processes, and their ancestors that have a limit.
//!
//! Input: the groups with processes, and limits. Output: paths. Updated when a group appeared or disappeared, or when
//! limits may have changed.

use std::collections::HashMap;

use super::{charges, groups::Groups};
use crate::{text::escape, units::Bytes};

#[derive(Debug, Default)]
pub struct CgroupRows {
    /// The ancestors, with a limit, of groups with processes.
    pub above: Vec<Vec<u8>>,
    /// The path of each group, by its escaped form.
    pub paths: HashMap<String, Vec<u8>>,
    /// The change count of the groups at the last update.
    changes: u64,
}

impl CgroupRows {
    /// Updates, if a group appeared or disappeared, or if limits were read again.
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
