//! What code a process has mapped, by a look at its maps: for those that are too young to be known otherwise.
//!
//! Input: a pid, an address. Output: the modules. A look is kept for a moment; where the address is not in it (another
//! program was begun, a library was loaded) it is taken anew, but never for more than a small part of the time.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Module, module_at};
use crate::mm::{maps, procfs::Procfs};

/// How long a look is good for.
const GOOD: Duration = Duration::from_millis(200);
/// A look may take this part of the time: one in so many.
const SHARE: u32 = 20;
/// Looks that are kept.
const MOST_KEPT: usize = 256;

struct Look {
    modules: Arc<[Module]>,
    good_until: Instant,
    not_before: Instant,
}

/// What was read of processes.
#[derive(Default)]
pub struct MapsCache {
    kept: HashMap<u32, Look>,
}

impl MapsCache {
    /// What a process has mapped, in order of address; nothing when it is gone.
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
