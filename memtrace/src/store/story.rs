//! Whether a kill is one of many of its workload.
//!
//! A record and the store -> its story. Reads a bounded number of records.

use jiff::SignedDuration;

use super::{Filter, Store, StoreError};
use crate::oom::{
    record::OomRecord,
    story::{self, Story},
};

/// The most earlier kills that are read, the newest.
const MOST: usize = 32;
/// How far back, in hours.
const HOURS: i64 = 24;

impl Store {
    /// The kills of this one's workload up to it, and whether there are more; `None` for the first kill.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn story_of(&self, record: &OomRecord) -> Result<Option<(Story, bool)>, StoreError> {
        let name = record.circumstances.container.as_ref();
        let namespace = name.and_then(|name| name.namespace.clone());
        let container = name.and_then(|name| name.container.clone());
        let is_named = namespace.is_some() || container.is_some();
        let filter = Filter {
            since: record.time.checked_sub(SignedDuration::from_hours(HOURS)).ok(),
            until: Some(record.time),
            cgroup: record.victim.task.cgroup.clone().filter(|_| !is_named),
            namespace,
            container,
            limit: Some(MOST),
            ..Filter::default()
        };
        let (workload, mut kills) = (story::workload(record), vec![record.clone()]);
        for earlier in self.list(&filter)? {
            // One that was deleted in between is no part of a story.
            kills.extend(self.kill(&earlier.id)?.filter(|earlier| story::workload(earlier) == workload));
        }
        let is_more = kills.len() > MOST;
        Ok(story::stories(&kills).into_iter().next().map(|story| (story, is_more)))
    }
}
