//! Layouts of glibc's structures, by version (malloc/malloc.c, malloc/arena.c). Offsets are in bytes.
//!
//! Data only. The layout of a process is found by checks on its memory, never by a version alone.

/// `struct malloc_state`.
#[derive(Debug, PartialEq, Eq)]
pub struct State {
    /// The versions with this layout.
    pub versions: &'static str,
    /// `fastbinsY[10]`; gone in 2.43.
    pub fastbins: Option<u64>,
    /// `top`.
    pub top: u64,
    /// `bins[254]`.
    pub bins: u64,
    /// `next`.
    pub next: u64,
    /// `system_mem`.
    pub system_mem: u64,
    /// Its size.
    pub size: u64,
}

/// `flags`: contiguity and, before 2.27, fast chunks. The mutex is before it.
pub const STATE_FLAGS: u64 = 4;
/// `NBINS`, the unused bin 0 left out.
pub const BINS: u64 = 127;
/// `NFASTBINS`.
pub const FASTBINS: u64 = 10;

/// `global_max_fast` by default: larger chunks are in no fast bin.
pub const MOST_FAST: u64 = 128;

/// Every layout of `malloc_state`.
pub const STATES: [State; 3] = [
    State {
        versions: "2.27-2.42",
        fastbins: Some(16),
        top: 96,
        bins: 112,
        next: 2160,
        system_mem: 2184,
        size: 2200,
    },
    State { versions: "2.43", fastbins: None, top: 8, bins: 24, next: 2072, system_mem: 2096, size: 2112 },
    State {
        versions: "2.26",
        fastbins: Some(8),
        top: 88,
        bins: 104,
        next: 2152,
        system_mem: 2176,
        size: 2192,
    },
];

/// `heap_info` begins with `ar_ptr`, `prev`, `size` in all. Its size (32 bytes up to 2.34, 48 after) is the offset of
/// the arena in the arena's first heap.
pub const HEAP_WORDS: u64 = 3;

/// `struct malloc_par`; its first five words are the same in all: `trim_threshold`, `top_pad`, `mmap_threshold`,
/// `arena_test`, `arena_max`.
#[derive(Debug, PartialEq, Eq)]
pub struct Parameters {
    /// The versions with this layout.
    pub versions: &'static str,
    /// `n_mmaps`, 32 bits; `n_mmaps_max` follows it.
    pub n_mmaps: u64,
    /// `no_dyn_threshold`, 32 bits.
    pub no_dyn_threshold: u64,
    /// `mmapped_mem`; `max_mmapped_mem` follows it.
    pub mmapped_mem: u64,
    /// `sbrk_base`.
    pub sbrk_base: u64,
    /// `tcache_count`.
    pub tcache_count: u64,
    /// Its size.
    pub size: u64,
}

/// Every layout of `malloc_par`.
pub const PARAMETERS: [Parameters; 3] = [
    Parameters {
        versions: "2.35-2.42",
        n_mmaps: 60,
        no_dyn_threshold: 72,
        mmapped_mem: 80,
        sbrk_base: 96,
        tcache_count: 120,
        size: 136,
    },
    Parameters {
        versions: "2.26-2.34",
        n_mmaps: 40,
        no_dyn_threshold: 52,
        mmapped_mem: 56,
        sbrk_base: 72,
        tcache_count: 96,
        size: 112,
    },
    Parameters {
        versions: "2.43",
        n_mmaps: 68,
        no_dyn_threshold: 80,
        mmapped_mem: 88,
        sbrk_base: 104,
        tcache_count: 128,
        size: 144,
    },
];

/// `struct tcache_perthread_struct`.
#[derive(Debug, PartialEq, Eq)]
pub struct Cache {
    /// The versions with this layout.
    pub versions: &'static str,
    /// Bytes of the chunk that contains it.
    pub chunk: u64,
    /// Bytes of a count; `None` when free slots are counted instead, so that lists must be walked.
    pub count_width: Option<u64>,
    /// `entries`.
    pub entries: u64,
}

/// Every layout of the thread caches.
pub const CACHES: [Cache; 3] = [
    Cache { versions: "2.30-2.41", chunk: 0x290, count_width: Some(2), entries: 128 },
    Cache { versions: "2.42-2.43", chunk: 0x300, count_width: None, entries: 152 },
    Cache { versions: "2.26-2.29", chunk: 0x250, count_width: Some(1), entries: 64 },
];

/// Bins of a thread cache with chunks of one size each: 32, 48, ... bytes.
pub const CACHE_BINS: u64 = 64;

/// The size of the chunks of a thread cache's bin, or of a fast bin.
pub const fn size_of_bin(bin: u64) -> u64 {
    32 + 16 * bin
}
