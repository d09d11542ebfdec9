//! Evidence about a process besides its regions, as plain values.
//!
//! Input: findings of [`read`] in files and memory, or values of a test. Output: lookups for the allocators. Nothing
//! here does I/O.

use std::{collections::HashMap, ops::Range, sync::Arc};

use serde::{Deserialize, Serialize};

use super::jvm::names::Names;
use crate::mm::region::File;

pub mod content;
pub mod deadline;
pub mod elf;
pub mod inspect;
pub mod mark;
pub mod memory;
pub mod read;
pub mod scan;
pub mod sign;
mod stored;

pub use content::{Content, Found};
pub use mark::Marks;
pub use sign::Sign;

pub use super::Mark;

/// A program or library in an address space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// The file.
    pub file: Arc<File>,
    /// Its address ranges, bss included; several if it is mapped several times.
    pub images: Vec<Range<u64>>,
    /// Its code.
    pub code: Vec<Range<u64>>,
    /// The signs found in it.
    pub marks: Marks,
    /// Whether the file could be read, so that images and marks are complete.
    pub is_read: bool,
    /// Names of HotSpot's fields. Not kept in recordings, because a replay reads no memory.
    pub names: Option<Arc<Names>>,
}

impl Module {
    /// Last part of its path, without ` (deleted)`.
    pub fn name(&self) -> &[u8] {
        base_name(&self.file.path)
    }

    /// Its lowest address, which identifies this copy of it.
    pub fn base(&self) -> u64 {
        self.images.iter().map(|image| image.start).min().unwrap_or_default()
    }
}

/// Last part of a path in maps, without ` (deleted)`.
pub fn base_name(path: &[u8]) -> &[u8] {
    let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

/// Evidence about a process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "stored::Stored", into = "stored::Stored")]
pub struct ProcessEvidence {
    /// Its soft limit on the main stack, which is the default size of thread stacks; `None` when unknown or unlimited.
    pub stack_limit: Option<u64>,
    /// Devices of the tmpfs file systems in its mount namespace.
    pub tmpfs: Vec<u64>,
    /// Allocator structures found in its memory, sorted by address.
    pub found: Vec<Found>,
    /// What was not searched before the time was over, so that it is gathered again at the next look.
    pub unfinished: Option<String>,
    modules: Vec<Module>,
    files: HashMap<Arc<File>, usize>,
    marks: Marks,
    code: Vec<(Range<u64>, usize)>,
    images: Vec<(Range<u64>, usize)>,
}

impl ProcessEvidence {
    /// Evidence with these modules.
    pub fn new(modules: Vec<Module>) -> Self {
        let index = |ranges: fn(&Module) -> &[Range<u64>]| {
            let each = modules.iter().enumerate();
            let mut all: Vec<_> = each
                .flat_map(|(at, module)| ranges(module).iter().map(move |range| (range.clone(), at)))
                .collect();
            all.sort_unstable_by_key(|(range, _)| range.start);
            all
        };
        let (code, images) = (index(|module| &module.code), index(|module| &module.images));
        let files = modules.iter().enumerate().map(|(at, module)| (Arc::clone(&module.file), at)).collect();
        let marks = modules.iter().fold(Marks::default(), |all, module| all.and(module.marks));
        Self { modules, files, marks, code, images, ..Self::default() }
    }

    /// Adds structures found in its memory.
    pub fn with_found(self, mut found: Vec<Found>) -> Self {
        found.sort_unstable_by_key(|found| found.start);
        Self { found, ..self }
    }

    /// Notes what was not searched, if anything.
    pub fn with_unfinished(self, unfinished: Option<String>) -> Self {
        Self { unfinished, ..self }
    }

    /// Sets its limit on the main stack.
    pub fn with_stack_limit(self, stack_limit: Option<u64>) -> Self {
        Self { stack_limit, ..self }
    }

    /// Bytes of memory that it uses, from counts. Programs that several processes run count for each.
    pub fn footprint(&self) -> u64 {
        let module = |module: &Module| {
            let ranges = (module.images.capacity() + module.code.capacity()) * size_of::<Range<u64>>();
            size_of::<Module>() + size_of::<File>() + module.file.path.len() + ranges
        };
        let modules: usize = self.modules.iter().map(module).sum();
        let index = (self.code.capacity() + self.images.capacity()) * size_of::<(Range<u64>, usize)>();
        let files = self.files.capacity() / 7 * 8 * (size_of::<(Arc<File>, usize)>() + 1);
        let found = self.found.capacity() * size_of::<Found>() + self.tmpfs.capacity() * size_of::<u64>();
        let found = found + self.unfinished.as_ref().map_or(0, String::len);
        (size_of::<Self>() + modules + index + files + found) as u64
    }

    /// All modules.
    pub fn modules(&self) -> &[Module] {
        &self.modules
    }

    /// Whether a module has this mark.
    pub const fn has(&self, mark: Mark) -> bool {
        self.marks.has(mark)
    }

    /// The lowest address of the first module with this mark: identifies an allocator that has only one arena.
    pub fn base_of(&self, mark: Mark) -> u64 {
        self.modules.iter().find(|module| module.marks.has(mark)).map_or(0, Module::base)
    }

    /// The module whose code is at an address.
    pub fn module_of_code(&self, address: u64) -> Option<&Module> {
        self.find(&self.code, address)
    }

    /// The module whose image contains an address.
    pub fn module_of_image(&self, address: u64) -> Option<&Module> {
        self.find(&self.images, address)
    }

    /// The module of a file.
    pub fn module_of_file(&self, file: &File) -> Option<&Module> {
        self.modules.get(*self.files.get(file)?)
    }

    /// The images that overlap a range, with their modules.
    pub fn images_in(&self, start: u64, end: u64) -> impl Iterator<Item = (&Range<u64>, &Module)> {
        let first = self.images.partition_point(|(image, _)| image.end <= start);
        let rest = self.images.get(first..).unwrap_or_default();
        let near = rest.iter().take_while(move |(image, _)| image.start < end);
        near.filter_map(|(image, at)| Some((image, self.modules.get(*at)?)))
    }

    /// The structures found within a range.
    pub fn found_in(&self, start: u64, end: u64) -> &[Found] {
        let first = self.found.partition_point(|found| found.start < start);
        let last = self.found.partition_point(|found| found.start < end);
        self.found.get(first..last).unwrap_or_default()
    }

    fn find(&self, ranges: &[(Range<u64>, usize)], address: u64) -> Option<&Module> {
        let after = ranges.partition_point(|(range, _)| range.start <= address);
        let (range, at) = ranges.get(after.checked_sub(1)?)?;
        range.contains(&address).then(|| self.modules.get(*at))?
    }
}
