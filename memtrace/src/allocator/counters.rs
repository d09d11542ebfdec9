//! What an allocator's own counters say: how much of its memory is in use, and how much it merely keeps.
//!
//! Input: an [`Image`] of a process's memory, and what is known of its programs. Output: [`Counters`], or why there are
//! none. Nothing here may stop the process, or bring a page in that is not there. What is read is hostile: cycles,
//! giant counts, pointers anywhere, and it changes under the reader.

use serde::{Deserialize, Serialize};

use crate::units::{Bytes, Grade};

/// What one allocator says of its memory in one process. Figures are the allocator's, in its own terms brought to
/// these; what it does not tell is `None`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Name of the allocator, as in its rows.
    pub allocator: String,
    /// Version of the layout that was recognised, such as `2.36` or `5.3.1`.
    pub version: Option<String>,
    /// Handed to the program and not freed.
    pub allocated_bytes: Option<Bytes>,
    /// Free in the allocator's books and resident all the same: dirty, cached, in bins.
    pub free_resident_bytes: Option<Bytes>,
    /// Given back with `MADV_FREE`: resident until the kernel wants it.
    pub lazily_freed_bytes: Option<Bytes>,
    /// Mapped or reserved and not resident.
    pub retained_bytes: Option<Bytes>,
    /// What the allocator needs for itself.
    pub metadata_bytes: Option<Bytes>,
    /// How far `allocated_bytes` may be from the truth, either way; 0 where the atlas says exact.
    pub error_bytes: Option<Bytes>,
    /// Single arenas, generations or heaps.
    pub arenas: Vec<ArenaCounters>,
    /// What its configuration was seen to be, such as `background_thread` = `false`.
    pub settings: Vec<Setting>,
    /// How the figures are known.
    pub grade: Grade,
    /// Why some figures are missing, in words.
    pub missing: Vec<String>,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            allocator: String::new(),
            version: None,
            allocated_bytes: None,
            free_resident_bytes: None,
            lazily_freed_bytes: None,
            retained_bytes: None,
            metadata_bytes: None,
            error_bytes: None,
            arenas: Vec::new(),
            settings: Vec::new(),
            grade: Grade::Read,
            missing: Vec::new(),
        }
    }
}

/// One arena of an allocator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ArenaCounters {
    /// `main`, `arena 3`, `G1 old`.
    pub name: String,
    /// Handed to the program.
    pub allocated_bytes: Option<Bytes>,
    /// Free and resident.
    pub free_resident_bytes: Option<Bytes>,
    /// Obtained from the kernel.
    pub system_bytes: Option<Bytes>,
}

/// A configuration value that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Setting {
    /// The allocator's own name for it.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// Why there are no counters, in words: `not sure which of two layouts it is`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{allocator}: {reason}")]
pub struct Absent {
    /// Name of the allocator.
    pub allocator: String,
    /// The reason.
    pub reason: String,
}

/// Memory of a process, page by page, as far as it is there.
pub trait Image {
    /// Fills the buffer from an address; false when not all of it could be read: a page is not present, the address is
    /// none of the process's, or the budget of this reading is spent.
    fn read(&mut self, address: u64, buffer: &mut [u8]) -> bool;

    /// Bytes of a page.
    fn page_size(&self) -> u64;

    /// True once the budget of bytes or time is spent: every further read fails.
    fn is_spent(&self) -> bool;

    /// The ranges of `start..end` whose pages are present, in order.
    fn present(&mut self, start: u64, end: u64) -> Vec<(u64, u64)>;

    /// A little-endian word.
    fn word(&mut self, address: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        self.read(address, &mut bytes).then(|| u64::from_le_bytes(bytes))
    }
}
