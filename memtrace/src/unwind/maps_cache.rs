//! The mapped code of a process from its maps, for processes too new to have been scanned.
//!
//! Input: a pid, an address. Output: the modules. A reading is cached briefly. If the address is not in it (after exec
//! or dlopen), maps is read again, but this may take only a small share of the time.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Module, module_at};
use crate::mm::{maps, procfs::Procfs};

/// How long a reading is valid.
const GOOD: Duration = Duration::from_millis(200);
/// Readings may take 1/`SHARE` of the time.
const SHARE: u32 = 20;
/// The most cached readings.
const MOST_KEPT: usize = 256;

struct Look {
    modules: Arc<[Module]>,
    good_until: Instant,
    not_before: Instant,
}

/// The cached readings.
#[derive(Default)]
pub struct MapsCache {
    kept: HashMap<u32, Look>,
}

impl MapsCache {
    /// The code mappings of a process, sorted by address; empty when it is gone.
    pub fn modules(&mut self, procfs: &Procfs, pid: u32, ip: u64) -> Arc<[Module]> {
        let begun = Instant::now();
        if let Some(Look { modules, good_until, not_before }) = self.kept.get(&pid) {
            let is_good = begun < *good_until && module_at(modules, ip).is_some();
            if is_good || begun < *not_before {
                return Arc::clone(modules);
            }
        }
        let regions = maps::read(procfs, pid).map(|maps| maps.regions).unwrap_or_default();
        let modules: Arc<[Module]> = regions.iter().filter_map(Module::of).collect();
        let now = Instant::now();
        if self.kept.len() >= MOST_KEPT {
            self.kept.clear();
        }
        let not_before = now + (now - begun) * SHARE;
        let look = Look { modules: Arc::clone(&modules), good_until: not_before.max(now + GOOD), not_before };
        self.kept.insert(pid, look);
        modules
    }
}
