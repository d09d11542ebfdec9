//! What glibc keeps: what lies below blocks in use, in as many heaps as there are arenas.

use crate::allocator::advice::{Advice, Keeper, Remedy};

/// `M_TRIM_THRESHOLD` and `M_MMAP_THRESHOLD` before glibc raised them.
const THRESHOLD: u64 = 128 << 10;
/// Arenas from which on fewer would help.
const MANY_ARENAS: usize = 4;

/// The advice.
pub struct Glibc;

impl Advice for Glibc {
    fn place(&self) -> Option<&'static str> {
        Some("glibc's heaps")
    }

    fn reason(&self, _kept: &Keeper<'_>) -> String {
        "they stay because glibc gives back only the top of a heap, and blocks in use lie above them"
            .to_owned()
    }

    fn remedies(&self, kept: &Keeper<'_>) -> Vec<Remedy> {
        let mut remedies = Vec::new();
        if kept.arenas >= MANY_ARENAS {
            remedies.push(Remedy::setting(
                "share two arenas: free space of one thread serves all",
                "MALLOC_ARENA_MAX=2",
            ));
        }
        if kept.number("mmap_threshold").is_some_and(|mmap| mmap > THRESHOLD) {
            remedies.push(Remedy::setting(
                "give large blocks a mapping of their own, which goes back when they are freed (it was raised by \
                 the program's own frees)",
                "MALLOC_MMAP_THRESHOLD_=131072",
            ));
        } else if kept.number("trim_threshold").is_some_and(|trim| trim > THRESHOLD) {
            remedies
                .push(Remedy::setting("give the top of a heap back sooner", "MALLOC_TRIM_THRESHOLD_=131072"));
        }
        remedies.push(Remedy {
            text: "call malloc_trim(0) after a peak: it gives back free pages in the middle of heaps too"
                .to_owned(),
            setting: None,
        });
        remedies
    }

    fn telling(&self) -> &'static [&'static str] {
        &["trim_threshold", "mmap_threshold", "arena_max"]
    }
}
