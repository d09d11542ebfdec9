//! The names in a snapshot's rows.
//!
//! Input: rows, and the namer's names. Output: rows with names. Never waits for the namer: while it writes, the names
//! of the last tick are used.

use std::{collections::HashMap, sync::Arc};

use crate::{
    container::{name::Name, names::Names},
    snapshot::ContainerRow,
};

#[derive(Debug, Default)]
pub struct Labels {
    names: Names,
    /// The change count of the names at the last update.
    changes: u64,
    /// By the cgroup's path, escaped.
    known: HashMap<String, (Option<Arc<Name>>, u64)>,
}

impl Labels {
    /// Labels from this source of names.
    pub fn new(names: Names) -> Self {
        Self { names, ..Self::default() }
    }

    /// Names the rows; `paths` has the path of each row's cgroup.
    pub fn fill(&mut self, paths: &HashMap<String, Vec<u8>>, rows: &mut [ContainerRow]) {
        let Self { names, changes, known } = self;
        if let Some(registry) = names.try_lock() {
            if registry.changes() != *changes {
                known.clear();
                *changes = registry.changes();
            }
            for row in rows.iter().filter(|row| !known.contains_key(&row.cgroup)).collect::<Vec<_>>() {
                let name = paths.get(&row.cgroup).and_then(|path| registry.of_path(path));
                let kills = name.as_ref().map_or(0, |name| registry.member_kills(name));
                known.insert(row.cgroup.clone(), (name.map(Arc::new), kills));
            }
        }
        for row in rows.iter_mut() {
            if let Some((name, kills)) = known.get(&row.cgroup) {
                row.name.clone_from(name);
                row.member_kills = *kills;
            }
        }
        known.retain(|cgroup, _| paths.contains_key(cgroup));
    }
}

#[cfg(test)]
mod tests {
    use super::{ContainerRow, HashMap, Labels, Name, Names};

    #[test]
    fn names_follow_what_is_known_and_stand_while_the_namer_writes() {
        let id = "a".repeat(64);
        let path = format!("/docker/{id}");
        let paths: HashMap<String, Vec<u8>> = [(path.clone(), path.clone().into_bytes())].into();
        let names = Names::default();
        let mut labels = Labels::new(names.clone());
        let mut label = || {
            let mut rows = [ContainerRow::empty(path.clone())];
            labels.fill(&paths, &mut rows);
            rows[0].name.as_deref().and_then(Name::label).unwrap_or_default()
        };
        assert_eq!(label(), id[..12]);
        let name = |text: &str| Name { container: Some(text.into()), ..Name::default() };
        names.lock().container(&id, name("web"), 0);
        assert_eq!(label(), "web");
        let writing = names.lock();
        assert_eq!(label(), "web");
        drop(writing);
    }
}
