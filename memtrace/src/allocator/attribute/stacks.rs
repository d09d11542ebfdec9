//! Stacks: of the main thread, of other threads, and alternate signal stacks.
//!
//! Input: `[stack]`, MAP_STACK, guards below plain memory. Output: claims. glibc and HotSpot map a guard and a stack in
//! one call and protect the guard; since glibc 2.42 the guard may be inside the mapping and invisible. Since Linux 6.7
//! MAP_STACK sets the flag `nh`.

use super::{
    Claimant, Holder, Owner,
    claim::{Claims, Piece, runs},
};
use crate::{
    allocator::evidence::{Mark, ProcessEvidence},
    mm::region::{Backing, VmFlags},
};

const NAME: &str = Holder::Stack.name();
/// The largest range that is accepted as a guard: HotSpot's yellow and red zones are much smaller.
const LARGEST_GUARD: u64 = 1 << 20;
/// Alternate signal stacks have a few pages, thread stacks 64 KiB at the least.
const LARGEST_SIGNAL_STACK: u64 = 60 << 10;
/// `SIGSTKSZ`: nobody makes a smaller one. Single pages with gaps between them are something else.
const SMALLEST_GUESS: u64 = 8 << 10;
/// Larger than any default stack size.
const LARGEST_GUESS: u64 = 64 << 20;
/// musl's threads: 128 KiB and thread-local storage.
const MUSL_STACK: u64 = 0x2_1000;
/// Rust's threads.
const RUST_STACK: u64 = 2 << 20;

/// All stacks.
pub struct Stacks;

impl Claimant for Stacks {
    fn claim(&self, process: &ProcessEvidence, pieces: &[Piece<'_>], claims: &mut Claims) {
        for run in runs(pieces) {
            let mut guard: Option<&Piece<'_>> = None;
            for piece in run {
                if piece.region.backing == Backing::Stack {
                    claims.piece(piece, Owner::read(NAME, "main stack", 0));
                } else if is_guard(piece) {
                    guard = Some(piece);
                    continue;
                } else if let Some((end, is_certain)) = stack(process, piece, guard) {
                    claim_stack(piece, guard, end, is_certain, claims);
                }
                guard = None;
            }
        }
    }
}

fn is_guard(piece: &Piece<'_>) -> bool {
    piece.is_reserve() && piece.len() <= LARGEST_GUARD && piece.is_noreserve() != Some(true)
}

/// The end of a stack that begins with this piece, and whether it is certain.
fn stack(process: &ProcessEvidence, piece: &Piece<'_>, guard: Option<&Piece<'_>>) -> Option<(u64, bool)> {
    if !piece.is_data() || piece.is_executable() || piece.is_noreserve() == Some(true) {
        return None;
    }
    if piece.is_mapped_as_stack() {
        return Some((piece.end, true));
    }
    if piece.flag(VmFlags::NO_HUGE_PAGE) == Some(true) {
        return Some((piece.end, false));
    }
    // Without MAP_STACK (musl, or an old kernel): requires a guard below and a size that fits.
    if piece.len() < SMALLEST_GUESS {
        return None;
    }
    guard.filter(|guard| guard.born().is_none_or(|born| Some(born) == piece.born()))?;
    if piece.born().is_some() {
        // Traced since its call, so nothing has merged with it.
        return (piece.len() <= LARGEST_GUESS).then_some((piece.end, false));
    }
    let sizes = [process.stack_limit.unwrap_or(8 << 20), RUST_STACK];
    let default = sizes.into_iter().find(|size| *size <= piece.len());
    let default = if process.has(Mark::Musl) { default.or(Some(MUSL_STACK)) } else { default };
    let len = default.map_or(piece.len(), |size| {
        // A page or two of thread-local storage and headers belong to it, but merged neighbours do not.
        if piece.len() < size + LARGEST_SIGNAL_STACK { piece.len() } else { size }
    });
    (len <= LARGEST_GUESS).then(|| (piece.start.saturating_add(len.min(piece.len())), false))
}

fn claim_stack(
    piece: &Piece<'_>,
    guard: Option<&Piece<'_>>,
    end: u64,
    is_certain: bool,
    claims: &mut Claims,
) {
    let kind =
        if piece.len() <= LARGEST_SIGNAL_STACK && guard.is_some() { "signal stack" } else { "thread stack" };
    claims.range(piece.start, end, Owner::inferred(NAME, kind, piece.start).graded(is_certain));
    if let Some(guard) = guard {
        claims.piece(guard, Owner::inferred(NAME, "guard", piece.start).graded(is_certain));
    }
}
