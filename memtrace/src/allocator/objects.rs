//! What fills a heap, by type: bytes and instances, read from outside.
//!
//! Input: a process, as for its counters. Output: [`Objects`], or why there are none. Types and counts leave the process,
//! never a byte of what its objects contain. The memory is untrusted, and changes while it is read.

#[doc(hidden)]
pub mod conformance;
pub mod growth;
pub mod tally;

use serde::{Deserialize, Serialize};

use super::{
    AllocatorId,
    counters::{Absent, Target},
    evidence::ProcessEvidence,
};
use crate::{
    text,
    units::{Bytes, Grade},
};

/// The most types of a heap that are told, the largest first.
pub const MOST_ROWS: usize = 100;
/// The most bytes of a type's name, before it is escaped.
pub const LONGEST_NAME: usize = 200;
/// The most reasons of a heap.
const MOST_REASONS: usize = 16;

/// Reads the objects of one runtime.
pub trait ObjectReader: Sync {
    /// Name of the runtime, as in its rows.
    fn name(&self) -> &'static str;

    /// Whether the process contains this runtime. If so, [`Self::read`] must return figures or a reason.
    fn applies(&self, process: &ProcessEvidence) -> bool;

    /// Reads the figures.
    ///
    /// # Errors
    /// [`Absent`] when they are not certain.
    fn read(&self, target: &mut Target<'_>) -> Result<Objects, Absent>;
}

/// What fills one heap. The rows, the other types and the untyped blocks add up to what is in use, as far as it was read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Objects {
    /// Name of the runtime.
    pub runtime: String,
    /// Types, the largest first.
    pub rows: Vec<Row>,
    /// The sum of smaller types, which have no row.
    pub others: Others,
    /// In use, but of no type that could be recognised; without the buffers that are told with their owners.
    pub untyped_bytes: Bytes,
    /// In use in the heap that was looked at, objects or not.
    pub heap_bytes: Bytes,
    /// The largest error of `heap_bytes`.
    pub error_bytes: Bytes,
    /// Bytes of the heap that were read.
    pub read_bytes: Bytes,
    /// Pieces of the heap: pools, regions.
    pub pieces: u64,
    /// Those that were read.
    pub pieces_read: u64,
    /// Those that changed while they were read; thrown away.
    pub pieces_changed: u64,
    /// How the figures were determined.
    pub grade: Grade,
    /// What the figures do not contain, and why.
    pub missing: Vec<String>,
}

/// One type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Its name, escaped and cut.
    pub name: String,
    /// The blocks of its instances, as the allocator rounds them, with `held_bytes`.
    pub bytes: Bytes,
    /// The part of `bytes` in buffers that its instances hold elsewhere.
    pub held_bytes: Bytes,
    /// The largest error of `bytes`; 0 for exact.
    pub error_bytes: Bytes,
    /// Instances.
    pub count: u64,
    /// The largest error of `count`.
    pub error_count: u64,
    /// How it changed since an earlier look; `None` without one.
    pub growth: Option<Growth>,
}

/// How a type changed between two looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Growth {
    /// The change of its bytes.
    pub bytes: i64,
    /// The largest error of `bytes`: those of both looks.
    pub error_bytes: Bytes,
    /// The change of the number of its instances.
    pub count: i64,
    /// The largest error of `count`.
    pub error_count: u64,
}

/// The sum of several types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Others {
    /// How many.
    pub types: u64,
    /// Their bytes.
    pub bytes: Bytes,
    /// Their instances.
    pub count: u64,
}

impl Objects {
    /// A heap of which nothing is known, for tests.
    #[cfg(test)]
    pub fn empty(runtime: &str) -> Self {
        Self {
            runtime: runtime.to_owned(),
            rows: Vec::new(),
            others: Others::default(),
            untyped_bytes: Bytes(0),
            heap_bytes: Bytes(0),
            error_bytes: Bytes(0),
            read_bytes: Bytes(0),
            pieces: 0,
            pieces_read: 0,
            pieces_changed: 0,
            grade: Grade::Read,
            missing: Vec::new(),
        }
    }

    /// Cuts what another process sent.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        self.runtime = text::cut(self.runtime);
        self.rows.truncate(MOST_ROWS);
        for row in &mut self.rows {
            row.name = text::cut(std::mem::take(&mut row.name));
        }
        self.missing.truncate(MOST_REASONS);
        self.missing.iter_mut().for_each(|reason| *reason = text::cut(std::mem::take(reason)));
        self
    }
}

/// The heaps of a process, at one time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Census {
    /// When, ns since boot.
    pub at: u64,
    /// The heaps that could be read.
    pub heaps: Vec<Objects>,
    /// Those that could not.
    pub absent: Vec<Absent>,
}

impl Census {
    /// Cuts what another process sent.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        self.heaps.truncate(AllocatorId::ALL.len());
        self.absent.truncate(AllocatorId::ALL.len());
        self.heaps = self.heaps.into_iter().map(Objects::bounded).collect();
        for absent in &mut self.absent {
            absent.allocator = text::cut(std::mem::take(&mut absent.allocator));
            absent.reason = text::cut(std::mem::take(&mut absent.reason));
        }
        self
    }
}

/// Runs every reader that applies, with the budget of the target's image.
pub fn read_all(target: &mut Target<'_>) -> (Vec<Objects>, Vec<Absent>) {
    let (mut heaps, mut absent) = (Vec::new(), Vec::new());
    let readers = AllocatorId::ALL.iter().filter_map(|id| id.allocator().objects());
    for reader in readers.filter(|reader| reader.applies(target.process)) {
        match reader.read(target) {
            Ok(objects) => heaps.push(objects),
            Err(reason) => absent.push(reason),
        }
    }
    (heaps, absent)
}
