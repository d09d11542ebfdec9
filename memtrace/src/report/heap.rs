//! Phrases on a heap that was read by type: how much of it, and how far off.
//!
//! [`Objects`] -> phrases, the same in records and explanations.

use crate::{allocator::objects::Objects, units::Bytes};

/// How much is in use, and how much of that was read.
pub(super) fn coverage(heap: &Objects) -> String {
    let Objects { heap_bytes, error_bytes, pieces, pieces_read, pieces_changed, .. } = heap;
    let read = if pieces_read == pieces {
        "all of it read".to_owned()
    } else {
        format!("{pieces_read} of {pieces} pieces read")
    };
    let changed = match pieces_changed {
        0 => String::new(),
        changed => format!(", {changed} changed meanwhile and were left out"),
    };
    format!("{heap_bytes}{} in use, {read}{changed}", plus_minus(*error_bytes))
}

fn plus_minus(error: Bytes) -> String {
    if error.0 == 0 { String::new() } else { format!(" ± {error}") }
}

/// The error of a figure in a table.
pub(super) fn error(bytes: Bytes) -> String {
    if bytes.0 == 0 { "-".to_owned() } else { format!("± {bytes}") }
}
