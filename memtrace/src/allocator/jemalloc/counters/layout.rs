//! Offsets of the fields of jemalloc's `arena_s`, by version.
//!
//! Data only: from debug information (`pahole`) of builds with default options. Builds with another page size, debug
//! checks or another mutex have other offsets, and the checks on the values reject them.

/// A layout. Offsets are in bytes, from the arena unless stated otherwise.
#[derive(Debug, PartialEq, Eq)]
pub struct Layout {
    /// The version with this layout.
    pub version: &'static str,
    /// `std::env::consts::ARCH` that it is for.
    pub arch: &'static str,
    /// Bytes of a page, the unit of all counts.
    pub page: u64,
    /// Pages in use.
    pub active: u64,
    /// Dirty, muzzy and retained pages.
    pub extents: [Extents; 3],
    /// `decay.time_ms` of dirty and muzzy pages.
    pub decay: [u64; 2],
    /// Index and base of the arena.
    pub place: Place,
    /// `stats.resident`, `stats.allocated` of `base_s`; 0 in builds without statistics.
    pub base_resident: u64,
    /// Counters of blocks in use, in builds with statistics.
    pub blocks: Option<Blocks>,
}

/// One of `ecache_s` or `extents_s`.
#[derive(Debug, PartialEq, Eq)]
pub struct Extents {
    /// Pages in it.
    pub pages: u64,
    /// The same for guarded extents (since 5.3).
    pub guarded: Option<u64>,
    /// `state`: 1, 2, 3 for dirty, muzzy, retained.
    pub state: u64,
}

/// Where an arena has its index.
#[derive(Debug, PartialEq, Eq)]
pub enum Place {
    /// Since 5.3: its own index, its base, and `pa_shard.base`, which is equal.
    Own {
        /// `ind`.
        index: u64,
        /// `base`.
        base: u64,
        /// `pa_shard.base`.
        shard_base: u64,
    },
    /// 5.2: through its base, whose first word is the index.
    Base(u64),
}

/// Offsets of the counters of blocks in use, by size class.
#[derive(Debug, PartialEq, Eq)]
pub struct Blocks {
    /// `bins[0].stats.curregs`.
    pub small: u64,
    /// From one bin to the next.
    pub small_stride: u64,
    /// `stats.lstats[0]`.
    pub large: u64,
    /// From one class to the next.
    pub large_stride: u64,
    /// `active_bytes` in it; `None` before 5.3.1, where `nmalloc - ndalloc` counts the blocks.
    pub active_bytes: Option<u64>,
}

const fn extents(pages: u64, guarded: u64, state: u64) -> Extents {
    Extents { pages, guarded: Some(guarded), state }
}

const fn old(pages: u64) -> Extents {
    Extents { pages, guarded: None, state: pages + 8 }
}

/// All known layouts.
pub const LAYOUTS: [Layout; 7] = [
    Layout {
        version: "5.3.1",
        arch: "x86_64",
        page: 4096,
        active: 12296,
        extents: [extents(22104, 31760, 31776), extents(41544, 51200, 51216), extents(60984, 70640, 70656)],
        decay: [71064, 72848],
        place: Place::Own { index: 80640, base: 80648, shard_base: 80624 },
        base_resident: 3920,
        blocks: Some(Blocks {
            small: 80704 + 136,
            small_stride: 224,
            large: 24 + 968,
            large_stride: 56,
            active_bytes: Some(16),
        }),
    },
    Layout {
        version: "5.3.0",
        arch: "x86_64",
        page: 4096,
        active: 10656,
        extents: [extents(20480, 30136, 30152), extents(39920, 49576, 49592), extents(59360, 69016, 69032)],
        decay: [69440, 71224],
        place: Place::Own { index: 78928, base: 78936, shard_base: 78920 },
        base_resident: 3888,
        blocks: Some(Blocks {
            small: 78952 + 136,
            small_stride: 224,
            large: 24 + 952,
            large_stride: 48,
            active_bytes: None,
        }),
    },
    Layout {
        version: "5.2.1",
        arch: "x86_64",
        page: 4096,
        active: 10344,
        extents: [old(15424), old(20392), old(25360)],
        decay: [25496, 27280],
        place: Place::Base(29480),
        base_resident: 2016,
        blocks: None,
    },
    Layout {
        version: "5.3.1",
        arch: "aarch64",
        page: 4096,
        active: 12296,
        extents: [extents(22112, 31768, 31784), extents(41560, 51216, 51232), extents(61008, 70664, 70680)],
        decay: [71112, 72904],
        place: Place::Own { index: 80704, base: 80712, shard_base: 80696 },
        base_resident: 3928,
        blocks: None,
    },
    Layout {
        version: "5.3.1",
        arch: "aarch64",
        page: 65536,
        active: 11400,
        extents: [extents(20440, 29320, 29336), extents(38336, 47216, 47232), extents(56232, 65112, 65128)],
        decay: [65560, 67352],
        place: Place::Own { index: 75136, base: 75144, shard_base: 75128 },
        base_resident: 3928,
        blocks: None,
    },
    Layout {
        version: "5.3.0",
        arch: "aarch64",
        page: 4096,
        active: 10672,
        extents: [extents(20504, 30160, 30176), extents(39952, 49608, 49624), extents(59400, 69056, 69072)],
        decay: [69504, 71296],
        place: Place::Own { index: 79024, base: 79032, shard_base: 79016 },
        base_resident: 3896,
        blocks: None,
    },
    Layout {
        version: "5.2.1",
        arch: "aarch64",
        page: 4096,
        active: 10352,
        extents: [old(15448), old(20424), old(25400)],
        decay: [25544, 27336],
        place: Place::Base(29552),
        base_resident: 2024,
        blocks: None,
    },
];

/// Classes that share slabs, in bytes (`SC_NBINS` 36, quantum 16).
pub const SMALL: [u64; 36] = [
    8, 16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 896, 1024, 1280,
    1536, 1792, 2048, 2560, 3072, 3584, 4096, 5120, 6144, 7168, 8192, 10240, 12288, 14336,
];
/// The number of larger classes.
pub const LARGE_CLASSES: u32 = 196;

/// Size of a large class: four classes per doubling, from 16 KiB on.
pub fn large(class: u32) -> u64 {
    let (double, step) = (class / 4, u64::from(class % 4));
    (16_u64 << 10).checked_shl(double).and_then(|size| size.checked_add(size / 4 * step)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_jemallocs() {
        let first: Vec<u64> = (0..6).map(large).collect();
        assert_eq!(first, [16384, 20480, 24576, 28672, 32768, 40960]);
        assert_eq!(SMALL.len(), 36);
    }
}
