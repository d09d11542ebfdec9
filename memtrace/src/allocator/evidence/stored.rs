//! The form of evidence in recordings.
//!
//! [`ProcessEvidence`] to plain values and back; the indexes are rebuilt. Ranges that end before they begin are
//! dropped, because the file is untrusted.

use std::{ops::Range, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{Found, Marks, Module, ProcessEvidence};
use crate::mm::region::File;

/// The plain values.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Stored {
    stack_limit: Option<u64>,
    tmpfs: Vec<u64>,
    found: Vec<Found>,
    modules: Vec<StoredModule>,
    unfinished: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct StoredModule {
    file: Arc<File>,
    images: Vec<(u64, u64)>,
    code: Vec<(u64, u64)>,
    marks: Marks,
    is_read: bool,
}

impl From<ProcessEvidence> for Stored {
    fn from(evidence: ProcessEvidence) -> Self {
        let ranges = |ranges: &[Range<u64>]| ranges.iter().map(|range| (range.start, range.end)).collect();
        let module = |module: &Module| StoredModule {
            file: Arc::clone(&module.file),
            images: ranges(&module.images),
            code: ranges(&module.code),
            marks: module.marks,
            is_read: module.is_read,
        };
        Self {
            modules: evidence.modules().iter().map(module).collect(),
            stack_limit: evidence.stack_limit,
            tmpfs: evidence.tmpfs,
            found: evidence.found,
            unfinished: evidence.unfinished,
        }
    }
}

impl From<Stored> for ProcessEvidence {
    fn from(stored: Stored) -> Self {
        let ranges = |ranges: Vec<(u64, u64)>| {
            ranges.into_iter().filter(|(start, end)| start <= end).map(|(start, end)| start..end).collect()
        };
        let module = |module: StoredModule| Module {
            file: module.file,
            images: ranges(module.images),
            code: ranges(module.code),
            marks: module.marks,
            is_read: module.is_read,
            names: None,
        };
        let found = stored.found.into_iter().filter(|found| found.start <= found.end).collect();
        let evidence = Self::new(stored.modules.into_iter().map(module).collect());
        Self { tmpfs: stored.tmpfs, unfinished: stored.unfinished, ..evidence }
            .with_stack_limit(stored.stack_limit)
            .with_found(found)
    }
}
