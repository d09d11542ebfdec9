//! Whether a kill is one of many of its workload.
//!
//! A record and the store -> a sentence, or nothing. Reads a bounded number of records.

use jiff::SignedDuration;

use crate::{
    oom::{record::OomRecord, story},
    report,
    store::{Filter, Store, StoreError},
};

/// The most earlier kills that are read, the newest.
const MOST: usize = 32;
/// How far back, in hours.
const HOURS: i64 = 24;

/// "3rd kill of shop/cart/redis in 12 min, each 25 s to 27 s after its start"; `None` for the first kill.
pub(super) fn again(record: &OomRecord, store: &Store) -> Result<Option<String>, StoreError> {
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
    for earlier in store.list(&filter)? {
        // One that was deleted in between is no part of a story.
        kills.extend(store.kill(&earlier.id)?.filter(|earlier| story::workload(earlier) == workload));
    }
    Ok(story::stories(&kills).first().map(|story| report::again(story, kills.len() > MOST)))
}
