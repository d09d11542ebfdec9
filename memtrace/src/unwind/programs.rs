//! A cache of the unwind tables of programs, shared by all processes that map the same file.
//!
//! Input: a process, a copy of a stack, the mapped code; /proc. Output: the walk. Bounded in bytes and files: the least
//! recently used are dropped first.

use std::{collections::HashMap, sync::Arc};

use gimli::UnwindContext;

use super::{
    Copy, Module, Stack,
    maps_cache::MapsCache,
    module_at,
    tables::Tables,
    walk::{Code, Walked, walk},
};
use crate::mm::{
    procfs::Procfs,
    program::{self, Version},
    region::File,
};

/// The most bytes of cached tables.
const MOST_BYTES: usize = 12 << 20;
/// The most cached files, including those without tables.
const MOST_FILES: usize = 4096;
/// The most cached mappings of processes.
const MOST_KNOWN: usize = 1 << 14;

/// Tables, `None` for a file that has none.
type Found = Option<Arc<Tables>>;

/// Tables by file.
pub struct Programs {
    procfs: Procfs,
    /// Tables by version of the file.
    files: HashMap<Version, (Found, u64)>,
    /// File versions by process and mapping, so that no file is opened again for a known mapping.
    known: HashMap<(u32, u64, Arc<File>), Option<Version>>,
    maps_cache: MapsCache,
    bytes: usize,
    uses: u64,
    /// The use count at the last call of [`Programs::forget_unused`].
    looked: u64,
    context: UnwindContext<usize>,
}

impl Programs {
    /// An empty cache.
    pub fn new(procfs: Procfs) -> Self {
        Self {
            procfs,
            files: HashMap::new(),
            known: HashMap::new(),
            maps_cache: MapsCache::default(),
            bytes: 0,
            uses: 0,
            looked: 0,
            context: UnwindContext::new(),
        }
    }

    /// Walks a stack of a process. `modules` are sorted by address; with `None` maps is read.
    pub fn walk(&mut self, pid: u32, copy: &Copy, modules: Option<&[Module]>) -> Walked {
        let looked;
        let modules = match modules {
            Some(modules) => modules,
            None => {
                looked = self.maps_cache.modules(&self.procfs, pid, copy.registers.ip);
                &looked
            }
        };
        let mut context = std::mem::take(&mut self.context);
        let stack = Stack { base: copy.base, bytes: &copy.bytes };
        let walked = walk(&copy.registers, &stack, &mut context, |ip| self.code(pid, modules, ip));
        self.context = context;
        walked
    }

    fn code(&mut self, pid: u32, modules: &[Module], ip: u64) -> Code {
        let Some(module) = module_at(modules, ip) else { return Code::None };
        let Some(file) = &module.file else { return Code::Bare };
        let Some(tables) = self.tables(pid, module, file) else { return Code::Bare };
        let offset = (ip - module.range.start).checked_add(module.offset);
        match offset.and_then(|offset| tables.address(offset)) {
            Some(address) => Code::Tables(tables, address),
            None => Code::Bare,
        }
    }

    fn tables(&mut self, pid: u32, module: &Module, file: &Arc<File>) -> Found {
        self.uses += 1;
        let key = (pid, module.range.start, Arc::clone(file));
        if let Some(version) = self.known.get(&key) {
            match version {
                None => return None,
                Some(version) => {
                    if let Some((tables, used)) = self.files.get_mut(version) {
                        *used = self.uses;
                        return tables.clone();
                    }
                }
            }
        }
        let opened = program::open(&self.procfs, pid, file, [(module.range.start, module.range.end)]);
        let version = opened.as_ref().and_then(Version::of);
        if self.known.len() >= MOST_KNOWN {
            self.known.clear();
        }
        self.known.insert(key, version);
        let (handle, version) = opened.zip(version)?;
        if let Some((tables, used)) = self.files.get_mut(&version) {
            *used = self.uses;
            return tables.clone();
        }
        let tables = Tables::read(&handle).map(Arc::new);
        let bytes = tables.as_ref().map_or(0, |tables| tables.len());
        self.make_room(bytes);
        self.bytes += bytes;
        self.files.insert(version, (tables.clone(), self.uses));
        tables
    }

    /// Drops the tables that were not used since the last call.
    pub fn forget_unused(&mut self) {
        let since = std::mem::replace(&mut self.looked, self.uses);
        self.files.retain(|_, (_, used)| *used > since);
        self.known.clear();
        self.bytes = self.files.values().filter_map(|(tables, _)| Some(tables.as_ref()?.len())).sum();
    }

    fn make_room(&mut self, bytes: usize) {
        while self.bytes + bytes > MOST_BYTES || self.files.len() >= MOST_FILES {
            let oldest = self.files.iter().min_by_key(|(_, (_, used))| *used).map(|(version, _)| *version);
            let Some((tables, _)) = oldest.and_then(|oldest| self.files.remove(&oldest)) else { break };
            self.bytes -= tables.map_or(0, |tables| tables.len());
        }
    }
}
