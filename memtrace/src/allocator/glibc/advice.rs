//! What glibc retains: free memory below blocks in use, in the heaps of each arena.

use crate::allocator::advice::{Advice, Keeper, Remedy};

/// Default of `M_TRIM_THRESHOLD` and `M_MMAP_THRESHOLD`, before glibc raises them.
const THRESHOLD: u64 = 128 << 10;
/// Number of arenas from which fewer would help.
const MANY_ARENAS: usize = 4;

/// The advice.
pub struct Glibc;

impl Advice for Glibc {
    fn place(&self) -> Option<&'static str> {
        Some("glibc's heaps")
    }

    fn reason(&self, _kept: &Keeper<'_>) -> String {
        "they are kept because glibc returns only the top of a heap, and blocks in use lie above them"
            .to_owned()
    }

    fn remedies(&self, kept: &Keeper<'_>) -> Vec<Remedy> {
        let mut remedies = Vec::new();
        let is_of_many = kept.arenas >= MANY_ARENAS;
        if is_of_many {
            // Measured with a peak of 12 threads at once: 159 MiB remain without and with it, 15 MiB after malloc_trim; with
            // peaks one after another 484 MiB without, 93 MiB with it.
            remedies.push(trim());
            remedies.push(Remedy::setting(
                "use only two arenas: threads whose peaks come one after another then share free memory; after a peak of \
                 all threads at once it gives nothing back",
                "MALLOC_ARENA_MAX=2",
            ));
        }
        if kept.number("mmap_threshold").is_some_and(|mmap| mmap > THRESHOLD) {
            remedies.push(Remedy::setting(
                "allocate large blocks with mmap, so that freeing returns them (the program's own frees have raised \
                 this threshold)",
                "MALLOC_MMAP_THRESHOLD_=131072",
            ));
        } else if kept.number("trim_threshold").is_some_and(|trim| trim > THRESHOLD) {
            remedies.push(Remedy::setting(
                "return the top of a heap sooner; what lies below blocks in use stays",
                "MALLOC_TRIM_THRESHOLD_=131072",
            ));
        }
        if !is_of_many {
            remedies.push(trim());
        }
        remedies
    }

    fn telling(&self) -> &'static [&'static str] {
        &["trim_threshold", "mmap_threshold", "arena_max"]
    }
}

/// What no setting of glibc does.
fn trim() -> Remedy {
    let text = "call malloc_trim(0) after a peak: it also returns free pages in the middle of heaps, which no setting of \
                glibc does; jemalloc with background_thread:true does it by itself";
    Remedy { text: text.to_owned(), setting: None }
}
