//! The Go runtime: heap arenas and metadata.
//!
//! Input: arenas at Go's own addresses (runtime/malloc.go: 0x00c0 in bits 32 to 47 up to 1.25, any multiple of 64 MiB
//! below 2^46 since 1.26), and the reservations around its page summaries. Output: claims. Goroutine stacks are part of
//! the heap.

use crate::{
    allocator::{
        AllocatorId, Owner,
        attribute::{
            Claimant,
            claim::{Claims, Piece, runs},
        },
        evidence::{Mark, ProcessEvidence, content::heap_of},
    },
    mm::region::VmFlags,
};

const NAME: &str = AllocatorId::Go.name();
/// `heapArenaBytes`.
const ARENA: u64 = 64 << 20;
/// Go's hints have at most 46 bits; the kernel itself chooses higher addresses.
const HINTS_END: u64 = 1 << 46;
/// Bits 32 to 39 of the hints up to 1.25.
const HINT: u64 = if cfg!(target_arch = "aarch64") { 0x40 } else { 0xc0 };
/// The smallest of the page summaries' reservations.
const SMALLEST_RESERVE: u64 = 128 << 10;

/// The Go runtime.
pub struct Go;

impl Claimant for Go {
    fn claim(&self, process: &ProcessEvidence, pieces: &[Piece<'_>], claims: &mut Claims) {
        if !process.has(Mark::Go) {
            return;
        }
        let is_pure = !process.has(Mark::Glibc) && !process.has(Mark::Musl);
        for run in runs(pieces) {
            for plain in run.chunk_by(|left, right| is_go(left) && is_go(right)) {
                let (Some(first), Some(last)) = (plain.first(), plain.last()) else { continue };
                if !is_go(first) {
                    continue;
                }
                if is_heap(first.start, last.end) {
                    heap(plain, claims);
                } else {
                    metadata(process, plain, is_pure, claims);
                }
            }
        }
    }
}

/// Plain memory, and not MAP_NORESERVE.
fn is_go(piece: &Piece<'_>) -> bool {
    piece.is_plain() && !piece.is_executable() && piece.is_noreserve() != Some(true)
}

const fn is_heap(start: u64, end: u64) -> bool {
    let is_hint = start >> 32 & 0xff == HINT && start & 0xffff_ffff < 0x8000_0000;
    let is_whole = start.is_multiple_of(ARENA) && end.is_multiple_of(ARENA);
    start >= 1 << 36 && end <= HINTS_END && is_whole | is_hint
}

fn heap(run: &[Piece<'_>], claims: &mut Claims) {
    let start = run.first().map_or(0, |piece| piece.start);
    for piece in run {
        let kind = if piece.is_reserve() { "heap reserve" } else { "heap" };
        claims.piece(piece, Owner::read(NAME, kind, start));
    }
}

/// Without libc, all other plain memory belongs to the runtime; with libc, only memory around reservations, and what
/// Go's code mapped.
fn metadata(process: &ProcessEvidence, run: &[Piece<'_>], is_pure: bool, claims: &mut Claims) {
    let is_summary = |piece: &Piece<'_>| piece.is_reserve() && piece.len() >= SMALLEST_RESERVE;
    let is_advised = |piece: &Piece<'_>| piece.flag(VmFlags::HUGE_PAGE) == Some(true);
    let has_summary = run.iter().any(|piece| is_summary(piece) || is_advised(piece));
    for piece in run {
        let is_called = piece.caller(process).is_some_and(|module| module.marks.has(Mark::Go));
        if is_pure || is_called {
            claims.piece(piece, Owner::inferred(NAME, "runtime metadata", 0).graded(is_called));
        } else if has_summary && !looks_like_libc(piece) {
            claims.piece(piece, Owner::inferred(NAME, "runtime metadata", 0));
        }
    }
}

/// Whether later rules, for glibc's thread arenas and stacks, may claim it.
fn looks_like_libc(piece: &Piece<'_>) -> bool {
    let is_arena = heap_of(piece.start) == piece.start && piece.len() < ARENA;
    let is_tail = piece.is_reserve() && piece.end.is_multiple_of(ARENA);
    is_arena || is_tail || piece.flag(VmFlags::NO_HUGE_PAGE) == Some(true) && !piece.is_reserve()
}
