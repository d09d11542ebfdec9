//! Arbitrary regions and evidence: every byte has one owner, and nothing panics.

use proptest::{collection::vec, option, prelude::*};

use super::*;

/// Addresses that allocators use: small ones, 64 MiB multiples, hints, the end of the address space.
const PLACES: [u64; 8] = [
    0,
    0x40_0000,
    0xc0_0000_0000,
    2 << 40,
    0x1000_0000_0000,
    0x7f00_0000_0000,
    0x7fff_ffff_f000,
    u64::MAX - 0xfff,
];
const SIZES: [u64; 12] =
    [0, 4096, 8192, 0x2_1000, 256 << 10, MIB, 8 * MIB, 55 * MIB, 64 * MIB, 128 * MIB, 1 << 30, 256 << 30];

fn backing() -> impl Strategy<Value = Backing> {
    let file = |path: &str| {
        Backing::File(Arc::new(File { device: 1, inode: 0x40_0000, path: path.as_bytes().to_vec() }))
    };
    prop_oneof![
        12 => Just(Backing::Anonymous),
        1 => Just(Backing::SharedAnonymous),
        1 => Just(Backing::Heap),
        1 => Just(Backing::Stack),
        1 => Just(Backing::UnknownFile),
        1 => Just(Backing::Special(Arc::from(b"[vdso]".as_slice()))),
        1 => Just(file("/app")),
        1 => Just(file("/memfd:java_heap (deleted)")),
        1 => Just(file("/classes.jsa")),
    ]
}

prop_compose! {
    fn born()(
        prot in 0_u8..8,
        flags in prop::sample::select(vec![0x22_u32, 0x4022, 0x32, 0x2_0022]),
        len in prop::sample::select(SIZES.to_vec()),
        caller in prop::sample::select(PLACES.to_vec()),
    ) -> Born {
        Born { addr: caller, len, prot: Prot(prot), flags, caller }
    }
}

prop_compose! {
    /// A gap, then a region.
    fn region()(
        gap in prop_oneof![3 => Just(0), 1 => prop::sample::select(SIZES.to_vec())],
        len in prop::sample::select(SIZES.to_vec()),
        prot in prop_oneof![Just(0_u8), Just(3), 0_u8..8],
        backing in backing(),
        born in option::of(born()),
        flags in option::of(any::<u16>()),
        is_shared in prop::bool::weighted(0.1),
        name in option::weighted(0.1, prop::sample::select(vec!["mimalloc", " Go: heap", " glibc: malloc arena", "?"])),
    ) -> (u64, u64, Region) {
        let region = Region {
            born,
            is_shared,
            vm_flags: flags.map(VmFlags),
            name: name.map(|name| Arc::from(name.as_bytes())),
            ..Region::new(0, 0, Prot(prot), backing)
        };
        (gap, len, region)
    }
}

prop_compose! {
    fn process()(
        marks in vec(prop::sample::select(Mark::ALL.iter().map(|(mark, _)| *mark).collect::<Vec<_>>()), 0..6),
        base in prop::sample::select(PLACES.to_vec()),
        size in prop::sample::select(SIZES.to_vec()),
        found in vec((prop::sample::select(PLACES.to_vec()), prop::sample::select(SIZES.to_vec()), 0..3), 0..8),
        is_read in any::<bool>(),
        stack_limit in option::of(any::<u64>()),
    ) -> ProcessEvidence {
        let image = base..base.saturating_add(size);
        let app = module("/app", 0x40_0000, &marks);
        let app = Module { images: vec![image.clone()], code: vec![image], is_read, ..app };
        let found = found.into_iter().map(|(start, len, what)| Found {
            start,
            end: start.saturating_add(len),
            content: match what {
                0 => Content::MmappedChunk,
                1 => Content::GlibcHeap { arena: start | 0x30 },
                _ => Content::ObmallocArena,
            },
        });
        let found = found.collect();
        ProcessEvidence::new(vec![app]).with_stack_limit(stack_limit).with_found(found)
    }
}

/// Consecutive regions from an address on.
fn laid_out(start: u64, parts: Vec<(u64, u64, Region)>) -> Vec<Region> {
    let mut at = start;
    let mut place = |(gap, len, region): (u64, u64, Region)| {
        let start = at.saturating_add(gap);
        at = start.saturating_add(len);
        Region { start, end: at, ..region }
    };
    parts.into_iter().map(&mut place).collect()
}

proptest! {
    #[test]
    fn every_byte_has_one_owner(
        process in process(),
        start in prop::sample::select(PLACES.to_vec()),
        parts in vec(region(), 0..24),
    ) {
        let regions = laid_out(start, parts);
        let owned = attribute(&process, &regions);
        let mut rest = owned.iter();
        for (index, region) in regions.iter().enumerate().filter(|(_, region)| !region.is_empty()) {
            let mut at = region.start;
            while at < region.end {
                let next = rest.next().unwrap();
                prop_assert_eq!((next.start, next.region), (at, index));
                prop_assert!(next.end > at && next.end <= region.end);
                at = next.end;
            }
        }
        prop_assert_eq!(rest.next(), None);
    }

    /// Regions of one process never overlap, but those of two scans might.
    #[test]
    fn overlapping_regions_are_survived(
        process in process(),
        places in vec((prop::sample::select(PLACES.to_vec()), region()), 0..16),
    ) {
        let regions: Vec<Region> = places
            .into_iter()
            .map(|(place, (gap, len, region))| {
                let start = place.saturating_add(gap);
                Region { start, end: start.saturating_add(len), ..region }
            })
            .collect();
        let owned = attribute(&process, &regions);
        let is_in_order = owned.is_sorted_by(|left, right| left.end <= right.start);
        prop_assert!(is_in_order);
    }
}

/// Printed, not checked: `cargo test --release -p memtrace --lib sixty_thousand -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn sixty_thousand_regions() {
    let app = module("/app", 0x40_0000, &Mark::ALL.iter().map(|(mark, _)| *mark).collect::<Vec<_>>());
    let process = ProcessEvidence::new(vec![app]);
    let region = |at: u64| plain(0x7f00_0000_0000 + at * 8192, 4096 << (at % 2), RW, (at % 7) as u16);
    let regions: Vec<Region> = (0..60_000).map(region).collect();
    let start = std::time::Instant::now();
    let owned = attribute(&process, &regions);
    println!("{} ranges in {:?}", owned.len(), start.elapsed());
}
