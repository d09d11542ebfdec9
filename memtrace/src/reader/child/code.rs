//! The code of processes that a reader process knows by a key.
//!
//! Keys, with the code when it is new -> the code. Bounded in number and in bytes.

use std::sync::Arc;

use lru::LruCache;

use crate::{
    reader::wire::walk::{Known, MOST_KNOWN},
    unwind::Module,
};

/// The most bytes.
const MOST_BYTES: usize = 2 << 20;

/// Code by key, the least recently used is dropped first.
pub struct CodeCache {
    known: LruCache<u64, Arc<[Module]>>,
    bytes: usize,
}

impl CodeCache {
    /// Without any code.
    pub fn new() -> Self {
        Self { known: LruCache::new(MOST_KNOWN), bytes: 0 }
    }

    /// The code of a key; `None` when it is not known, or invalid.
    pub fn of(&mut self, Known { key, list }: Known) -> Option<Arc<[Module]>> {
        let Some(list) = list else { return self.known.get(&key).map(Arc::clone) };
        let modules = list.unpack()?;
        self.bytes += size(&modules);
        if let Some((_, other)) = self.known.push(key, Arc::clone(&modules)) {
            self.bytes -= size(&other);
        }
        while self.bytes > MOST_BYTES {
            let Some((_, other)) = self.known.pop_lru() else { break };
            self.bytes -= size(&other);
        }
        Some(modules)
    }
}

/// Bytes of a list. Files are shared within it, and counted each time.
fn size(modules: &[Module]) -> usize {
    let path =
        |module: &Module| module.file.as_ref().map_or(0, |file| size_of_val(&**file) + file.path.len());
    size_of_val(modules) + modules.iter().map(path).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{mm::region::File, reader::wire::walk::Modules};

    fn code(len: usize) -> Arc<[Module]> {
        let file = File { device: 1, inode: 2, path: vec![b'x'; len] };
        [Module { range: 0x1000..0x2000, offset: 0, file: Some(Arc::new(file)) }].into()
    }

    fn known(key: u64, list: Option<&[Module]>) -> Known {
        Known { key, list: list.map(Modules::pack) }
    }

    #[test]
    fn code_is_known_by_its_key_until_there_is_too_much() {
        let mut cache = CodeCache::new();
        assert!(cache.of(known(1, None)).is_none());
        let small = code(10);
        assert_eq!(cache.of(known(1, Some(&small))), Some(Arc::clone(&small)));
        assert_eq!(cache.of(known(1, None)), Some(small));
        let large = code(MOST_BYTES / 2);
        for key in 2..20 {
            assert!(cache.of(known(key, Some(&large))).is_some());
            assert!(cache.bytes <= MOST_BYTES);
        }
        assert!(cache.of(known(1, None)).is_none());
        assert!(cache.of(known(19, None)).is_some());
    }

    #[test]
    fn more_than_all_that_may_be_kept_is_used_once() {
        let mut cache = CodeCache::new();
        let large = code(MOST_BYTES * 2);
        assert!(cache.of(known(1, Some(&large))).is_some());
        assert_eq!((cache.bytes, cache.of(known(1, None))), (0, None));
    }
}
