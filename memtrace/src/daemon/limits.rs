//! The limits of cgroups, as they were read lately.
//!
//! Input: paths. Output: the limit that each has itself, and the lowest on its way up. What groups have in common is read
//! once.

use std::collections::HashMap;

use super::world::{Question, World};
use crate::{
    container::{
        cgroup::Hierarchy,
        memcg::{self, Limit},
    },
    units::Bytes,
};

/// Limits change seldom; a reading is good for so long, in ns.
pub const TTL: u64 = 10_000_000_000;

/// See the module.
#[derive(Debug, Default)]
pub struct Limits {
    own: HashMap<Vec<u8>, (u64, Option<Bytes>)>,
}

impl Limits {
    /// Forgets what is too old.
    pub fn begin_tick(&mut self, now: u64) {
        self.own.retain(|_, (read, _)| read.saturating_add(TTL) > now);
    }

    /// The limit that a group itself has.
    pub fn own(
        &mut self,
        world: &World,
        hierarchy: Option<&Hierarchy>,
        path: &[u8],
        now: u64,
    ) -> Option<Bytes> {
        if let Some((_, own)) = self.own.get(path) {
            return *own;
        }
        let own = world.ask(&Question::OwnLimit(path), || memcg::own_limit(hierarchy?, path));
        self.own.insert(path.to_vec(), (now, own));
        own
    }

    /// The lowest limit that a group is under, and whose it is.
    pub fn effective(
        &mut self,
        world: &World,
        hierarchy: Option<&Hierarchy>,
        path: &[u8],
        now: u64,
    ) -> Option<Limit> {
        memcg::lowest(path, |path| self.own(world, hierarchy, path, now))
    }
}
