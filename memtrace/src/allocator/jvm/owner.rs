//! HotSpot: Java heap, metaspace, code cache, and the garbage collector's tables.
//!
//! Input: spaces that are reserved with PROT_NONE and MAP_NORESERVE and committed without it (os_linux.cpp), and the
//! archive of shared classes. Output: claims. Stacks and glibc's arenas are claimed earlier.

use std::sync::Arc;

use super::SHARED_CLASSES;
use crate::{
    allocator::{
        AllocatorId, Owner,
        attribute::{
            Claimant,
            claim::{Claims, Piece, runs},
        },
        evidence::{Mark, ProcessEvidence, base_name},
    },
    mm::region::Backing,
};

const NAME: &str = AllocatorId::Jvm.name();
/// The end of addresses of a heap with compressed oops, with its alignment.
const COMPRESSED_END: u64 = 64 << 30;
/// Metaspace's commit granule (metaspaceSettings.hpp).
const GRANULE: u64 = 64 << 10;
/// The alignment of metaspace nodes and the class space.
const ROOT_CHUNK: u64 = 4 << 20;
/// The smallest unit in which a heap is committed.
const HEAP_REGION: u64 = 1 << 20;

/// The claimant of files that are VM memory: shared classes, and ZGC's heap.
pub struct Files;

impl Claimant for Files {
    fn claim(&self, process: &ProcessEvidence, pieces: &[Piece<'_>], claims: &mut Claims) {
        if !process.has(Mark::Hotspot) {
            return;
        }
        for piece in pieces {
            let Backing::File(file) = &piece.region.backing else { continue };
            let kind = match () {
                () if file.path.starts_with(b"/memfd:java_heap") => "java heap",
                () if base_name(&file.path).ends_with(b".jsa") => SHARED_CLASSES,
                () => continue,
            };
            claims.piece(piece, Owner::read(NAME, kind, 0).of_file(Some(Arc::clone(file))));
        }
    }
}

/// The claimant of memory that the VM reserved.
pub struct Jvm;

impl Claimant for Jvm {
    fn claim(&self, process: &ProcessEvidence, pieces: &[Piece<'_>], claims: &mut Claims) {
        if !process.has(Mark::Hotspot) {
            return;
        }
        for run in runs(pieces) {
            let is_space = |piece: &Piece<'_>| is_space(process, piece);
            for space in run.chunk_by(|left, right| is_space(left) && is_space(right)) {
                if space.iter().all(is_space) {
                    self::space(process, space, claims);
                }
            }
        }
    }
}

/// Whether it is reserved with MAP_NORESERVE or committed without it, and not mapped by libc or another module.
fn is_space(process: &ProcessEvidence, piece: &Piece<'_>) -> bool {
    let is_foreign = piece.caller(process).is_some_and(|module| !module.marks.has(Mark::Hotspot));
    piece.is_plain() && !is_foreign && (piece.is_reserve() || piece.is_noreserve() != Some(true))
}

fn space(process: &ProcessEvidence, space: &[Piece<'_>], claims: &mut Claims) {
    let (Some(first), Some(last)) = (space.first(), space.last()) else { return };
    let is_reserved = space.iter().any(|piece| piece.is_reserve() && piece.is_noreserve() != Some(false));
    let is_called =
        |piece: &Piece<'_>| piece.caller(process).is_some_and(|module| module.marks.has(Mark::Hotspot));
    let code = space.iter().position(|piece| piece.is_executable());
    let kind = match () {
        () if last.end <= COMPRESSED_END => "java heap",
        () if code.is_some() => "gc metadata",
        () if !is_reserved && !space.iter().any(is_called) => return,
        () if is_reserved && is_on(space, HEAP_REGION) && last.end - first.start >= 8 * HEAP_REGION => {
            "java heap"
        }
        () if first.start.is_multiple_of(ROOT_CHUNK) && is_on(space, GRANULE) => "metaspace",
        () => "gc metadata",
    };
    for (at, piece) in space.iter().enumerate() {
        let kind = if code.is_some_and(|code| code <= at) { "code cache" } else { kind };
        claims.piece(piece, Owner::inferred(NAME, kind, 0).graded(is_called(piece)));
    }
}

/// True when all borders are multiples of `unit`.
fn is_on(space: &[Piece<'_>], unit: u64) -> bool {
    space.iter().all(|piece| piece.start.is_multiple_of(unit) && piece.end.is_multiple_of(unit))
}
