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

/// The most memory of the modules of one process, and of all cached readings.
const MOST_OF_ONE: usize = 1 << 20;
const MOST_OF_ALL: usize = 4 << 20;

struct Look {
    modules: Arc<[Module]>,
    bytes: usize,
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
        if let Some(Look { modules, good_until, not_before, .. }) = self.kept.get(&pid) {
            let is_good = begun < *good_until && module_at(modules, ip).is_some();
            if is_good || begun < *not_before {
                return Arc::clone(modules);
            }
        }
        let (mut modules, mut bytes) = (Vec::new(), 0);
        // A process that is gone has none.
        let _ = maps::each(procfs, pid, |region| {
            if let Some(module) = Module::of(&region).filter(|_| bytes < MOST_OF_ONE) {
                bytes += size_of::<Module>() + module.file.as_ref().map_or(0, |file| file.path.len());
                modules.push(module);
            }
        });
        let modules: Arc<[Module]> = modules.into();
        let now = Instant::now();
        let cached: usize = self.kept.values().map(|look| look.bytes).sum();
        if self.kept.len() >= MOST_KEPT || cached + bytes > MOST_OF_ALL {
            self.kept.clear();
        }
        let not_before = now + (now - begun) * SHARE;
        let good_until = not_before.max(now + GOOD);
        let look = Look { modules: Arc::clone(&modules), bytes, good_until, not_before };
        self.kept.insert(pid, look);
        modules
    }
}
