//! A cache of the limits of cgroups.
//!
//! Input: paths, and a function that reads a group's own limit. Output: that limit, and the lowest one up to the root.
//! The limit of a common ancestor is read once. Pure.

use std::collections::HashMap;

use crate::{
    cgroup::memcg::{self, Limit},
    units::Bytes,
};

/// How long a reading is valid, in ns: limits rarely change.
const TTL: u64 = 10_000_000_000;

#[derive(Debug, Default)]
pub struct Limits {
    own: HashMap<Vec<u8>, Option<Bytes>>,
    /// When the oldest reading was made.
    since: Option<u64>,
}

impl Limits {
    /// Begins a tick; true when the cache was cleared and all limits must be read again.
    pub fn begin_tick(&mut self, now: u64) -> bool {
        let are_old = self.since.is_none_or(|since| since.saturating_add(TTL) <= now);
        if are_old {
            self.own.clear();
            self.since = Some(now);
        }
        are_old
    }

    /// The limit of the group itself.
    pub fn own(&mut self, path: &[u8], read: impl FnOnce(&[u8]) -> Option<Bytes>) -> Option<Bytes> {
        if let Some(own) = self.own.get(path) {
            return *own;
        }
        let own = read(path);
        self.own.insert(path.to_vec(), own);
        own
    }

    /// The lowest limit that applies to a group, and the owner of that limit.
    pub fn effective(&mut self, path: &[u8], read: impl Fn(&[u8]) -> Option<Bytes>) -> Option<Limit> {
        memcg::lowest(path, |path| self.own(path, &read))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::{Bytes, Limits, TTL};

    #[test]
    fn what_is_common_is_read_once_and_all_of_it_anew_after_a_while() {
        let asked = RefCell::new(Vec::new());
        let read = |path: &[u8]| {
            asked.borrow_mut().push(path.to_vec());
            (path == b"/pods").then_some(Bytes(7))
        };
        let mut limits = Limits::default();
        assert!(limits.begin_tick(1));
        for group in [&b"/pods/a"[..], b"/pods/b", b"/pods/a"] {
            let limit = limits.effective(group, read).unwrap();
            assert_eq!((limit.bytes, limit.owner.as_str()), (Bytes(7), "/pods"));
        }
        assert_eq!(asked.take(), [&b"/pods/a"[..], b"/pods", b"/", b"/pods/b"]);
        assert!(!limits.begin_tick(TTL));
        assert_eq!((limits.own(b"/pods", read), asked.take().len()), (Some(Bytes(7)), 0));
        assert!(limits.begin_tick(TTL + 1));
        assert_eq!((limits.own(b"/pods", read), asked.take().len()), (Some(Bytes(7)), 1));
    }
}
