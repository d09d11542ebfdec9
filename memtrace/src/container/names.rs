//! The names of cgroups, from the sources, kept by container id and pod uid.
//!
//! Input: cgroups made and removed, names from the sources. Output: the [`Name`] of a cgroup, also for some time after
//! its removal. Queries nothing itself. Everything is bounded by bytes or number, and by [`AFTER_DEATH`].

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError},
    time::Duration,
};

use super::{name::Name, path};
use crate::text::{escape, unescape};

/// How long a name is kept after its cgroup is gone and no source lists it.
pub const AFTER_DEATH: Duration = Duration::from_secs(600);
/// The most bytes of cgroups that are kept; then those that are gone are dropped, and further ones stay unknown.
const MOST_BYTES: usize = 8 << 20;
/// The most containers, pods and counts that are kept; further ones stay unknown.
const MOST: usize = 10_000;
/// The most characters of a name. Kubernetes has at most 253; labels of others may contain anything.
const LONGEST: usize = 512;

/// The shared names: the namer writes them, others read them.
#[derive(Clone, Debug, Default)]
pub struct Names {
    inner: Arc<Mutex<Registry>>,
}

/// Times are ns since boot.
#[derive(Debug, Default)]
pub struct Registry {
    cgroups: HashMap<u64, Cgroup>,
    /// Bytes of `cgroups` and `by_path`.
    bytes: usize,
    /// The current cgroup of each path.
    by_path: HashMap<Vec<u8>, u64>,
    containers: HashMap<String, NamedAt>,
    pods: HashMap<String, NamedAt>,
    /// Ids of containers and uids of pods that have a cgroup which the node itself made.
    own: HashSet<String>,
    /// Kills of members while the first process lived, by [`key`].
    member_kills: HashMap<String, u64>,
    changes: u64,
}

#[derive(Debug)]
struct Cgroup {
    path: Vec<u8>,
    died: Option<u64>,
}

#[derive(Debug)]
struct NamedAt {
    name: Name,
    seen: u64,
}

impl Names {
    /// Locks the registry; a writer holds it for microseconds.
    pub fn lock(&self) -> MutexGuard<'_, Registry> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks without waiting: `None` while it is locked. For the thread that must never wait.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, Registry>> {
        match self.inner.try_lock() {
            Ok(registry) => Some(registry),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl Registry {
    /// Adds a cgroup.
    pub fn born(&mut self, id: u64, path: &[u8]) {
        if self.bytes + size(path) > MOST_BYTES {
            self.keep(|cgroup| cgroup.died.is_none());
        }
        if self.bytes + size(path) <= MOST_BYTES {
            self.bytes += size(path);
            let was = self.cgroups.insert(id, Cgroup { path: path.to_vec(), died: None });
            self.bytes -= was.map_or(0, |was| size(&was.path));
            self.by_path.insert(path.to_vec(), id);
            // Somebody else may have been believed to be it.
            self.changes += u64::from(self.learn_own(path));
        }
    }

    /// Notes which container and pod the node itself made this cgroup for. Returns whether one of them is new.
    fn learn_own(&mut self, path: &[u8]) -> bool {
        let name = Some(path).filter(|path| path::own(path) == *path).and_then(path::name);
        let Some(Name { container_id, pod_uid, .. }) = name else { return false };
        let mut is_new = false;
        for id in [container_id, pod_uid].into_iter().flatten() {
            is_new |= self.own.len() < MOST && self.own.insert(id);
        }
        is_new
    }

    /// Drops the other cgroups.
    fn keep(&mut self, is_kept: impl Fn(&Cgroup) -> bool) {
        self.cgroups.retain(|_, cgroup| is_kept(cgroup));
        self.bytes = self.cgroups.values().map(|cgroup| size(&cgroup.path)).sum();
    }

    /// Marks a cgroup as gone; its path may be reused.
    pub fn died(&mut self, id: u64, now: u64) {
        if let Some(cgroup) = self.cgroups.get_mut(&id) {
            cgroup.died.get_or_insert(now);
            if self.by_path.get(&cgroup.path) == Some(&id) {
                self.by_path.remove(&cgroup.path);
            }
        }
    }

    /// Takes the complete list of existing cgroups, by id and path.
    pub fn walked(&mut self, existing: HashMap<u64, Vec<u8>>, now: u64) {
        let gone: Vec<u64> = self.cgroups.keys().filter(|id| !existing.contains_key(id)).copied().collect();
        gone.into_iter().for_each(|id| self.died(id, now));
        for (id, path) in existing {
            if self.cgroups.get(&id).is_none_or(|known| known.path != path) {
                self.born(id, &path);
            }
        }
    }

    /// A change counter: while it is the same, names need not be looked up again.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Sets the number of members of a container that were killed while its first process lived.
    pub fn set_member_kills(&mut self, key: String, count: u64) {
        self.changes += 1;
        if self.member_kills.len() < MOST || self.member_kills.contains_key(&key) {
            self.member_kills.insert(key, count);
        }
    }

    /// See [`Registry::set_member_kills`]; 0 if there were none.
    pub fn member_kills(&self, name: &Name) -> u64 {
        key(name).and_then(|key| self.member_kills.get(&key)).copied().unwrap_or_default()
    }

    /// Takes the name of a container from a source. Fields that it does not have are kept, and earlier sources take
    /// precedence.
    pub fn container(&mut self, id: &str, name: Name, now: u64) {
        self.changes += 1;
        if let Some(uid) = &name.pod_uid {
            let Name { namespace, pod, pod_uid, runtime, source, .. } = name.clone();
            let pod = Name { namespace, pod, pod_uid, runtime, source, ..Name::default() };
            learn(&mut self.pods, uid, pod, now);
        }
        learn(&mut self.containers, id, name, now);
    }

    /// Takes the name of a pod from a source.
    pub fn pod(&mut self, uid: &str, name: Name, now: u64) {
        self.changes += 1;
        learn(&mut self.pods, uid, name, now);
    }

    /// Whether a source has named this container.
    pub fn knows(&self, container_id: &str) -> bool {
        self.containers.get(container_id).is_some_and(|known| known.name.container.is_some())
    }

    /// Whether a source has named it, and its image.
    pub fn has_image(&self, container_id: &str) -> bool {
        self.knows(container_id)
            && self.containers.get(container_id).is_some_and(|known| known.name.image.is_some())
    }

    /// The number of containers with a cgroup that no source has named.
    pub fn nameless(&self) -> usize {
        self.by_path
            .keys()
            .filter_map(|path| path::name(path)?.container_id)
            .filter(|id| !self.knows(id))
            .count()
    }

    /// The path of a cgroup, even if it is gone.
    pub fn path(&self, id: u64) -> Option<&[u8]> {
        self.cgroups.get(&id).map(|cgroup| cgroup.path.as_slice())
    }

    /// The id of the cgroup that currently has this path.
    pub fn id(&self, path: &[u8]) -> Option<u64> {
        self.by_path.get(path).copied()
    }

    /// The name of a cgroup, even if it is gone.
    pub fn of(&self, id: u64) -> Option<Name> {
        self.of_path(self.path(id)?)
    }

    /// The name of the cgroup with this path.
    pub fn of_path(&self, path: &[u8]) -> Option<Name> {
        let mut name = self.believed(path)?;
        let from_path = name.source.take();
        if let Some(known) = name.container_id.as_ref().and_then(|id| self.containers.get(id)) {
            fill(&mut name, &known.name);
            // The path may contain a name where the runtime has an id.
            name.runtime = known.name.runtime.clone().or(name.runtime);
        }
        if let Some(known) = name.pod_uid.as_ref().and_then(|uid| self.pods.get(uid)) {
            fill(&mut name, &known.name);
        }
        name.source = name.source.or(from_path);
        Some(name)
    }

    /// The name in a path. Below a container or a user's manager anybody may have put it there: a container or a pod that has
    /// a cgroup elsewhere is not believed to be there as well. Then it is the one above.
    fn believed(&self, path: &[u8]) -> Option<Name> {
        let (own, name) = (path::own(path), path::name(path)?);
        if own.len() == path.len() {
            return Some(name);
        }
        let outer = path::name(own);
        let is_of_others = |of: fn(&Name) -> Option<&String>| {
            let claimed = of(&name).filter(|id| outer.as_ref().and_then(of) != Some(*id));
            claimed.is_some_and(|id| self.own.contains(id))
        };
        let is_claim =
            is_of_others(|name| name.container_id.as_ref()) || is_of_others(|name| name.pod_uid.as_ref());
        if is_claim { outer } else { Some(name) }
    }

    /// The same for the escaped path of records and rows.
    pub fn of_shown(&self, path: &str) -> Option<Name> {
        self.of_path(&unescape(path))
    }

    /// Forgets entries that have been gone for [`AFTER_DEATH`].
    pub fn prune(&mut self, now: u64) {
        let kept = u64::try_from(AFTER_DEATH.as_nanos()).unwrap_or(u64::MAX);
        let is_old = |at: u64| at.saturating_add(kept) < now;
        self.keep(|cgroup| !cgroup.died.is_some_and(is_old));
        // A container or pod with a cgroup, existing or gone, counts as seen.
        for cgroup in self.cgroups.values() {
            let name = path::name(path::own(&cgroup.path));
            let Some(Name { container_id, pod_uid, .. }) = name else { continue };
            if let Some(known) = container_id.and_then(|id| self.containers.get_mut(&id)) {
                known.seen = now;
            }
            if let Some(known) = pod_uid.and_then(|uid| self.pods.get_mut(&uid)) {
                known.seen = now;
            }
        }
        self.containers.retain(|_, known| !is_old(known.seen));
        self.pods.retain(|_, known| !is_old(known.seen));
        self.own.clear();
        let paths: Vec<Vec<u8>> = self.cgroups.values().map(|cgroup| cgroup.path.clone()).collect();
        for path in &paths {
            self.learn_own(path);
        }
    }

    /// The numbers of known cgroups, containers and pods.
    pub fn counts(&self) -> (usize, usize, usize) {
        (self.cgroups.len(), self.containers.len(), self.pods.len())
    }
}

/// Bytes of a cgroup with this path: both maps have the path.
const fn size(path: &[u8]) -> usize {
    2 * path.len() + size_of::<(u64, Cgroup)>() + size_of::<(Vec<u8>, u64)>()
}

/// A key that survives a container's restart: its name in its pod, else its id, else the unit.
pub fn key(name: &Name) -> Option<String> {
    match (&name.pod_uid, &name.container) {
        (Some(uid), Some(container)) => Some(format!("{uid}/{container}")),
        _ => name.container_id.clone().or_else(|| name.container.clone()).or_else(|| name.unit.clone()),
    }
}

fn learn(known: &mut HashMap<String, NamedAt>, key: &str, name: Name, now: u64) {
    if let Some(known) = known.get_mut(key) {
        known.seen = now;
        fill(&mut known.name, &name);
    } else if known.len() < MOST {
        known.insert(key.to_owned(), NamedAt { name, seen: now });
    }
}

/// Fills in missing fields from `more`.
fn fill(name: &mut Name, more: &Name) {
    let Name { namespace, pod, pod_uid, container, container_id, image, restart, unit, runtime, source } =
        more;
    for (field, more) in [
        (&mut name.namespace, namespace),
        (&mut name.pod, pod),
        (&mut name.pod_uid, pod_uid),
        (&mut name.container, container),
        (&mut name.container_id, container_id),
        (&mut name.image, image),
        (&mut name.unit, unit),
        (&mut name.runtime, runtime),
        (&mut name.source, source),
    ] {
        if field.is_none() {
            field.clone_from(more);
        }
    }
    name.restart = name.restart.or(*restart);
}

/// Escapes and truncates an external name; `None` when it is empty.
pub fn text(bytes: &[u8]) -> Option<String> {
    if bytes.is_empty() {
        return None;
    }
    // An escape has at most ten characters.
    let text = escape(bytes.get(..LONGEST * 4).unwrap_or(bytes));
    if text.chars().count() <= LONGEST {
        return Some(text);
    }
    Some(text.chars().take(LONGEST - 1).chain(['…']).collect())
}

#[cfg(test)]
#[path = "names_tests.rs"]
mod tests;
