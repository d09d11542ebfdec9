//! A cache of the entries of unwind tables, shared by all processes that map the same file.
//!
//! Input: a process, a copy of a stack, the mapped code; /proc. Output: the walk. Only the entries that a walk needed are
//! kept, and no file is kept open, which would keep its file system mounted. Bounded in bytes and files: the files that
//! were not used longest are dropped first.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File as Handle,
    ops::Range,
    sync::Arc,
};

use gimli::UnwindContext;

use super::{
    Copy, Module, Stack,
    entry::Entry,
    maps_cache::MapsCache,
    module_at,
    tables::{self, Tables},
    walk::{Code, Walked, walk},
};
use crate::mm::{
    procfs::Procfs,
    program::{self, Version},
    region::File,
};

/// The most bytes of cached entries: some 10,000 functions.
const MOST_BYTES: usize = 4 << 20;
/// The most cached files, including those without tables.
const MOST_FILES: usize = 4096;
/// The most cached mappings of processes.
const MOST_KNOWN: usize = 1 << 14;

/// Bytes of an entry in the tree of its file, besides its own.
const IN_TREE: usize = 96;

/// What is known of a file.
struct Program {
    /// `None` for a file that has none.
    tables: Option<Tables>,
    /// By the start of their range: its end, and the entry; `None` for a range without one.
    entries: BTreeMap<u64, (u64, Option<Arc<Entry>>)>,
    bytes: usize,
    used: u64,
}

impl Program {
    fn new(handle: &Handle, used: u64) -> Self {
        let tables = Tables::find(&tables::of_file(handle));
        let bytes = IN_TREE + tables.as_ref().map_or(0, Tables::footprint);
        Self { tables, entries: BTreeMap::new(), bytes, used }
    }

    /// The entry of an address; outer `None` when it was not read yet.
    fn known(&self, address: u64) -> Option<Option<Arc<Entry>>> {
        let (_, (end, entry)) = self.entries.range(..=address).next_back()?;
        (address < *end).then(|| entry.clone())
    }

    /// Reads the entry of an address.
    fn look_up(&mut self, handle: &Handle, address: u64) -> Option<Arc<Entry>> {
        let found = self.tables.as_ref()?.entry(&tables::of_file(handle), address);
        let (Range { start, end }, entry) = match found {
            Ok(entry) => (entry.range(), Some(Arc::new(entry))),
            Err(nothing) => (nothing, None),
        };
        self.bytes += IN_TREE + entry.as_ref().map_or(0, |entry| entry.footprint());
        if let Some((_, Some(replaced))) = self.entries.insert(start, (end, entry.clone())) {
            // Ranges of a file that lies may overlap.
            self.bytes -= IN_TREE + replaced.footprint();
        }
        entry
    }
}

/// Entries by file.
pub struct Programs {
    procfs: Procfs,
    /// By version of the file.
    files: HashMap<Version, Program>,
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
        match self.entry(pid, module, file, ip) {
            Some((entry, address)) => Code::Entry(entry, address),
            None => Code::Bare,
        }
    }

    /// The entry of an instruction, and its address in the program.
    fn entry(&mut self, pid: u32, module: &Module, file: &Arc<File>, ip: u64) -> Option<(Arc<Entry>, u64)> {
        self.uses += 1;
        self.make_room();
        let open = || program::open(&self.procfs, pid, file, [(module.range.start, module.range.end)]);
        let key = (pid, module.range.start, Arc::clone(file));
        let mut opened = None;
        let version = match self.known.get(&key) {
            Some(version) => *version,
            None => {
                opened = open();
                let version = opened.as_ref().and_then(Version::of);
                if self.known.len() >= MOST_KNOWN {
                    self.known.clear();
                }
                self.known.insert(key, version);
                version
            }
        }?;
        // Known to be this version, so another one has replaced it.
        let mut handle = || opened.take().or_else(open).filter(|file| Version::of(file) == Some(version));
        let mut is_new = None;
        let program = match self.files.get_mut(&version) {
            Some(program) => program,
            None => {
                let opened = is_new.insert(handle()?);
                let program = Program::new(opened, self.uses);
                self.bytes += program.bytes;
                self.files.entry(version).or_insert(program)
            }
        };
        program.used = self.uses;
        let offset = (ip - module.range.start).checked_add(module.offset)?;
        let address = program.tables.as_ref()?.address(offset)?;
        if let Some(known) = program.known(address) {
            return Some((known?, address));
        }
        let before = program.bytes;
        let entry = program.look_up(&is_new.or_else(handle)?, address);
        self.bytes = (self.bytes + program.bytes).saturating_sub(before);
        Some((entry?, address))
    }

    /// Drops what was not used since the last call.
    pub fn forget_unused(&mut self) {
        let since = std::mem::replace(&mut self.looked, self.uses);
        self.files.retain(|_, program| program.used > since);
        self.known.clear();
        self.bytes = self.files.values().map(|program| program.bytes).sum();
    }

    fn make_room(&mut self) {
        while self.bytes > MOST_BYTES || self.files.len() > MOST_FILES {
            let oldest = self.files.iter().min_by_key(|(_, program)| program.used);
            let oldest = oldest.map(|(version, _)| *version);
            let Some(dropped) = oldest.and_then(|oldest| self.files.remove(&oldest)) else { break };
            self.bytes = self.bytes.saturating_sub(dropped.bytes);
        }
    }
}
