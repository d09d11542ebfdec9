//! jemalloc where the kernel does not overcommit (`vm.overcommit_memory=2`), or where the process has no /proc to ask.
//!
//! Input: a process whose malloc is jemalloc. Output: claims. Then jemalloc maps without MAP_NORESERVE (src/pages.c,
//! `os_overcommits`), and gives memory back by making it inaccessible instead of by madvise: its extents are cut into
//! thousands of mappings, and a gap with data above it looks like a guard with a stack.

use crate::{
    allocator::{
        AllocatorId, Owner,
        attribute::{
            Claimant,
            claim::{Claims, Piece, runs},
            mapped,
        },
        evidence::{Mark, ProcessEvidence},
    },
    mm::region::VmFlags,
};

const NAME: &str = AllocatorId::Jemalloc.name();
/// The smallest reservation of extents.
const EXTENTS: u64 = 2 << 20;
/// A stack of a thread may have a page or two more than its size.
const STACK_SLACK: u64 = 64 << 10;
const STACK: u64 = 8 << 20;

/// jemalloc that commits its memory itself.
pub struct Committed;

impl Claimant for Committed {
    fn claim(&self, process: &ProcessEvidence, pieces: &[Piece<'_>], claims: &mut Claims) {
        let malloc = mapped::malloc_module(process);
        if !malloc.is_some_and(|module| module.marks.has(Mark::Jemalloc)) || overcommits(pieces) {
            return;
        }
        let arena = process.base_of(Mark::Jemalloc);
        let stacks = StackSign::of(process, pieces);
        let plain: Vec<Piece<'_>> = pieces.iter().filter(|piece| is_plain(process, piece)).copied().collect();
        for run in runs(&plain).filter(|run| run.iter().map(Piece::len).sum::<u64>() >= EXTENTS) {
            let above = run.iter().skip(1).map(Some).chain([None]);
            let below = std::iter::once(None).chain(run.iter().map(Some));
            for ((piece, above), below) in run.iter().zip(above).zip(below) {
                let is_guard =
                    piece.is_reserve() && above.is_some_and(|above| stacks.is_stack(above, Some(piece)));
                if !is_guard && !stacks.is_stack(piece, below) {
                    claims.piece(piece, Owner::inferred(NAME, "extents", arena));
                }
            }
        }
    }
}

/// Whether anything is mapped without reservation, as jemalloc does where the kernel overcommits. True as well where the
/// flags were not read: nothing is claimed on a guess about them.
fn overcommits(pieces: &[Piece<'_>]) -> bool {
    let mut plain = pieces.iter().filter(|piece| piece.is_plain() && piece.len() >= EXTENTS / 2);
    plain.any(|piece| piece.is_noreserve() != Some(false))
}

/// Memory that no module but jemalloc has mapped.
fn is_plain(process: &ProcessEvidence, piece: &Piece<'_>) -> bool {
    let is_foreign = piece.caller(process).is_some_and(|module| !module.marks.has(Mark::Jemalloc));
    (piece.is_data() || piece.is_reserve()) && !piece.is_executable() && !is_foreign
}

/// How a stack is told from extents.
enum StackSign {
    /// By the flag that the kernel sets for MAP_STACK.
    Flag,
    /// By its size, with a guard below.
    Size(u64),
}

impl StackSign {
    /// A kernel that sets the flag has set it for at least one of the threads' stacks.
    fn of(process: &ProcessEvidence, pieces: &[Piece<'_>]) -> Self {
        if pieces.iter().any(|piece| piece.flag(VmFlags::NO_HUGE_PAGE) == Some(true)) {
            Self::Flag
        } else {
            Self::Size(process.stack_limit.unwrap_or(STACK))
        }
    }

    fn is_stack(&self, piece: &Piece<'_>, below: Option<&Piece<'_>>) -> bool {
        if !piece.is_data() {
            return false;
        }
        if piece.is_mapped_as_stack() {
            return true;
        }
        match self {
            Self::Flag => piece.flag(VmFlags::NO_HUGE_PAGE) == Some(true),
            Self::Size(size) => {
                let guard = below.filter(|below| below.is_reserve()).map_or(0, Piece::len);
                let whole = guard.saturating_add(piece.len());
                guard > 0 && (*size..size.saturating_add(STACK_SLACK)).contains(&whole)
            }
        }
    }
}
