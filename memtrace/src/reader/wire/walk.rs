//! Walks of stacks as they are sent: copies of stacks, and the mapped code of their process.
//!
//! [`Copy`] and [`Module`]s <-> messages. The code is sent once for each version of it, and then by its key.

use std::{num::NonZeroUsize, sync::Arc};

use memtrace_common::event::stack::Registers;
use serde::{Deserialize, Serialize};

use super::{
    bytes,
    regions::{Distance, Files, Table},
};
use crate::{
    mm::region::File,
    unwind::{Copy, Module},
};

/// The most processes whose code is known by a key, to the daemon and to the reader.
pub const MOST_KNOWN: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63);

/// Copies of stacks of one process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walk {
    /// Its code; `None` when its maps must be read.
    pub modules: Option<Known>,
    /// The copies.
    pub copies: Vec<PackedCopy>,
}

/// The code of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Identifies this version of it.
    pub key: u64,
    /// `None` when it was sent before.
    pub list: Option<Modules>,
}

/// [`Copy`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackedCopy {
    registers: [u64; 8],
    base: u64,
    #[serde(with = "bytes")]
    bytes: Box<[u8]>,
}

impl From<Copy> for PackedCopy {
    fn from(Copy { registers, base, bytes }: Copy) -> Self {
        let Registers { ip, sp, bp, bx, r12, r13, r14, r15 } = registers;
        Self { registers: [ip, sp, bp, bx, r12, r13, r14, r15], base, bytes }
    }
}

impl From<PackedCopy> for Copy {
    fn from(PackedCopy { registers, base, bytes }: PackedCopy) -> Self {
        let [ip, sp, bp, bx, r12, r13, r14, r15] = registers;
        Self { registers: Registers { ip, sp, bp, bx, r12, r13, r14, r15 }, base, bytes }
    }
}

/// [`Module`], with the place of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PackedModule {
    gap: u64,
    len: u64,
    offset: u64,
    file: Option<u32>,
}

/// The code of a process, sorted by address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Modules {
    files: Files,
    modules: Vec<PackedModule>,
}

impl Modules {
    /// Packs modules.
    pub fn pack(modules: &[Module]) -> Self {
        let mut files = Table::<File>::default();
        let mut distance = Distance::default();
        let pack = modules.iter().map(|module| {
            let (gap, len) = distance.pack(module.range.start, module.range.end);
            let file = module.file.as_deref().map(|file| files.place(file));
            PackedModule { gap, len, offset: module.offset, file }
        });
        let modules = pack.collect();
        Self { files: Files::pack(&files), modules }
    }

    /// The modules; `None` when they are invalid or not sorted.
    pub fn unpack(self) -> Option<Arc<[Module]>> {
        let files = self.files.unpack();
        let mut distance = Distance::default();
        let unpack = |PackedModule { gap, len, offset, file }| {
            let (start, end) = distance.unpack_sorted(gap, len)?;
            let file = match file {
                Some(place) => Some(Arc::clone(files.get(usize::try_from(place).ok()?)?)),
                None => None,
            };
            Some(Module { range: start..end, offset, file })
        };
        self.modules.into_iter().map(unpack).collect()
    }
}
