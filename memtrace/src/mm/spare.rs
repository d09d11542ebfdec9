//! Room that tables of processes keep after a crowd has gone.
//!
//! A hash table -> the same with room for what is in it. A table of 20,000 processes is 7 to 18 MiB, whatever is left in it.

use std::{collections::HashMap, hash::Hash};

/// Smaller tables are left as they are.
const SMALL: usize = 1024;

/// The room for a table of `count` entries; `None` when what it has will do. A table that is given back and grows again
/// costs more than its room, so it keeps twice what it needs.
fn room(capacity: usize, count: usize) -> Option<usize> {
    (capacity > SMALL && capacity / 4 > count).then(|| (count * 2).max(SMALL / 2))
}

/// Gives back the room of a map that is nearly empty.
pub fn give_back<K: Eq + Hash, V>(map: &mut HashMap<K, V>) {
    if let Some(room) = room(map.capacity(), map.len()) {
        map.shrink_to(room);
    }
}

#[cfg(test)]
mod tests {
    use super::{HashMap, SMALL, give_back};

    #[test]
    fn a_crowd_that_has_gone_leaves_no_room_behind_and_the_rest_stays() {
        let mut map: HashMap<u32, u64> = (0..20_000).map(|pid| (pid, u64::from(pid))).collect();
        let full = map.capacity();
        give_back(&mut map);
        assert_eq!(map.capacity(), full, "it is in use");
        map.retain(|pid, _| *pid < 300);
        give_back(&mut map);
        assert!(map.capacity() < full / 10, "{} of {full}", map.capacity());
        assert_eq!((map.len(), map.get(&299)), (300, Some(&299)));
        let few = map.capacity();
        map.clear();
        give_back(&mut map);
        assert!(map.capacity() == few && few <= SMALL, "a small one is left alone: {few}");
    }
}
