//! Memory whose owner has named it with `PR_SET_VMA_ANON_NAME`.
//!
//! Input: names of regions. Output: claims that are certain. Names: section "VMA names" of each allocator's source:
//! glibc setvmaname.c, Go runtime/set_vma_name_linux.go, mimalloc prim.c, jemalloc pages.c, tcmalloc
//! system_allocator.h, snmalloc pal_linux.h. A process may lie about itself, and only about itself.

use super::{Allocator, Owner, claim::Claims, claim::Piece, evidence::ProcessEvidence};

/// What names begin with, whose they are, and what for. The first that fits wins.
const NAMES: [(&[u8], &str, &str); 26] = [
    (b" glibc: malloc arena", "glibc", "thread arena"),
    (b" glibc: malloc", "glibc", "mmapped chunk"),
    (b" glibc: loader malloc", "glibc", "loader"),
    (b" glibc: pthread", "stack", "thread stack"),
    (b" glibc: unused stack", "stack", "unused thread stack"),
    (b" glibc:", "glibc", "other"),
    (b" Go: heap reservation", "go", "heap reserve"),
    (b" Go: heap", "go", "heap"),
    (b" Go: OS thread stack", "stack", "thread stack"),
    (b" Go:", "go", "runtime metadata"),
    (b"mimalloc", "mimalloc", "arena"),
    (b"jemalloc_pg", "jemalloc", "extents"),
    (b"tcmalloc_region_NORMAL", "tcmalloc", "normal region"),
    (b"tcmalloc_region_SAMPLED", "tcmalloc", "sampled region"),
    (b"tcmalloc_region_COLD", "tcmalloc", "cold region"),
    (b"tcmalloc_region_METADATA", "tcmalloc", "metadata"),
    (b"tcmalloc", "tcmalloc", "region"),
    (b"snmalloc", "snmalloc", "heap"),
    (b"cpython:obmalloc", "cpython", "obmalloc arena"),
    (b"cpython:", "cpython", "other"),
    (b"v8", "v8", "page"),
    // Android: bionic's malloc and stacks.
    (b"scudo:", "scudo", "heap"),
    (b"libc_malloc", "jemalloc", "extents"),
    (b"stack_and_tls:", "stack", "thread stack"),
    (b"bionic_alloc", "bionic", "loader"),
    (b"dalvik-", "art", "java heap"),
];

/// Whoever gave its memory a name.
pub struct Named;

impl Allocator for Named {
    fn name(&self) -> &'static str {
        "named"
    }

    fn claim(&self, _process: &ProcessEvidence, pieces: &[Piece<'_>], claims: &mut Claims) {
        for piece in pieces {
            let Some(name) = piece.region.name.as_deref().filter(|_| piece.is_plain()) else { continue };
            let known = NAMES.iter().find(|(prefix, ..)| name.starts_with(prefix));
            let Some((_, allocator, kind)) = known else { continue };
            claims.piece(piece, Owner::read(allocator, kind, arena(allocator, kind, piece.start)));
        }
    }
}

/// Stacks and glibc's arenas are apart by address; what has one instance a process is one row.
fn arena(allocator: &str, kind: &str, start: u64) -> u64 {
    match (allocator, kind) {
        ("stack", _) => start,
        ("glibc", "thread arena") => super::glibc::heap_of(start),
        _ => 0,
    }
}
