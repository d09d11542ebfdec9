//! The current state of HotSpot's heap, from its own fields.
//!
//! Input: the fields of this build, and memory. Output: the spaces of the heap, of one collector. No field shows which
//! collector runs, so they are tried in turn, and the first with only plausible values is accepted. Collectors with
//! static fields, which only the running one fills, come first.

use super::Space;
use crate::allocator::{
    image::Image,
    jvm::{
        fields::{Fields, Place},
        names::Field,
    },
};

/// Larger than any heap.
const LARGEST_HEAP: u64 = 1 << 46;
/// The unit of ZGC's pages (zGlobals.hpp: `ZGranuleSize`).
const GRANULE: u64 = 2 << 20;
/// Sizes of G1's regions (heapRegionBounds.hpp), including those of JDK 18 and later.
const REGIONS: std::ops::RangeInclusive<u64> = 1 << 20..=512 << 20;

/// A heap.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Heap {
    pub(super) collector: &'static str,
    pub(super) spaces: Vec<Space>,
    /// The most bytes that are filled but not counted yet.
    pub(super) uncounted: u64,
    /// Whether a collection is moving objects, so that the spaces are inconsistent.
    pub(super) is_collecting: bool,
}

impl Heap {
    pub(super) fn of(collector: &'static str, spaces: Vec<Space>) -> Self {
        Self { collector, spaces, uncounted: 0, is_collecting: false }
    }
}

/// Reads the heap in these ranges `TIMES` times in a row; `None` when no collector fits.
pub(super) fn read<const TIMES: usize>(
    fields: &Fields,
    image: &mut dyn Image,
    ranges: &[(u64, u64)],
) -> Option<[Heap; TIMES]> {
    let mut machine = Machine { fields, ranges, image };
    let heaps: Vec<Heap> = (0..TIMES).map_while(|_| machine.heap()).collect();
    heaps.try_into().ok()
}

struct Machine<'a> {
    fields: &'a Fields,
    /// The ranges of the heap, sorted.
    ranges: &'a [(u64, u64)],
    image: &'a mut dyn Image,
}

impl Machine<'_> {
    fn heap(&mut self) -> Option<Heap> {
        let heap = self.fixed(("Universe", "_collectedHeap"))?;
        let found = self.parallel().or_else(|| self.garbage_first(heap));
        let found = found.or_else(|| self.shenandoah(heap)).or_else(|| self.serial(heap));
        let found = found.or_else(|| self.z(heap))?;
        let flags = [("CollectedHeap", "_is_gc_active"), ("CollectedHeap", "_is_stw_gc_active")];
        let is_collecting = flags.into_iter().any(|flag| self.is_set(heap, flag));
        Some(Heap { is_collecting, ..found })
    }

    fn serial(&mut self, heap: u64) -> Option<Heap> {
        let either = |field| [("SerialHeap", field), ("GenCollectedHeap", field)];
        let young = self.any_word(heap, either("_young_gen"))?;
        let old = self.any_word(heap, either("_old_gen"))?;
        let eden = self.word(young, ("DefNewGeneration", "_eden_space"))?;
        let from = self.word(young, ("DefNewGeneration", "_from_space"))?;
        let old = self.word(old, ("TenuredGeneration", "_the_space"))?;
        self.generations("Serial", [eden, from, old], ["ContiguousSpace", "Space"])
    }

    fn parallel(&mut self) -> Option<Heap> {
        let young = self.fixed(("ParallelScavengeHeap", "_young_gen"))?;
        let old = self.fixed(("ParallelScavengeHeap", "_old_gen"))?;
        let eden = self.word(young, ("PSYoungGen", "_eden_space"))?;
        let from = self.word(young, ("PSYoungGen", "_from_space"))?;
        let old = self.word(old, ("PSOldGen", "_object_space"))?;
        self.generations("Parallel", [eden, from, old], ["MutableSpace", "ImmutableSpace"])
    }

    /// Two generations; `used()` of the young one excludes the to-space of survivors (defNewGeneration.cpp,
    /// psYoungGen.cpp).
    fn generations(
        &mut self,
        collector: &'static str,
        [eden, from, old]: [u64; 3],
        classes: [&'static str; 2],
    ) -> Option<Heap> {
        let eden = self.space("eden", eden, classes)?;
        let survivors = self.space("survivors", from, classes)?;
        Some(Heap::of(collector, vec![eden, survivors, self.space("old", old, classes)?]))
    }

    /// The figures of its memory beans, in regions (g1MonitoringSupport.hpp; the second names are those of JDK 11).
    fn garbage_first(&mut self, heap: u64) -> Option<Heap> {
        let support = [("G1CollectedHeap", "_monitoring_support"), ("G1CollectedHeap", "_g1mm")];
        let support = self.any_word(heap, support)?;
        let region = [("G1HeapRegion", "GrainBytes"), ("HeapRegion", "GrainBytes")];
        let region = region.into_iter().find_map(|field| self.fixed(field))?;
        if !region.is_power_of_two() || !REGIONS.contains(&region) {
            return None;
        }
        let mut space = |name, used: [&'static str; 2], capacity: [&'static str; 2]| {
            let used = self.any_word(support, used.map(|field| ("G1MonitoringSupport", field)))?;
            let capacity = self.any_word(support, capacity.map(|field| ("G1MonitoringSupport", field)))?;
            let is_possible = used <= capacity && capacity < LARGEST_HEAP && capacity.is_multiple_of(region);
            is_possible.then(|| Space::new(name, used, capacity))
        };
        let (used, capacity) =
            (["_eden_space_used", "_eden_used"], ["_eden_space_committed", "_eden_committed"]);
        // Eden regions count as full; the fill level of survivor and old regions is known.
        let eden = space("eden", used, capacity).filter(|eden| eden.used.is_multiple_of(region))?;
        let used = ["_survivor_space_used", "_survivor_used"];
        let survivors = space("survivors", used, ["_survivor_space_committed", "_survivor_committed"])?;
        let old = space("old", ["_old_gen_used", "_old_used"], ["_old_gen_committed", "_old_committed"])?;
        let is_there = eden.capacity.saturating_add(survivors.capacity).saturating_add(old.capacity) > 0;
        // A region that is being filled is not counted until it is full, and a retained one may be half full.
        is_there.then(|| Heap { uncounted: 2 * region, ..Heap::of("G1", vec![eden, survivors, old]) })
    }

    /// One heap of regions (shenandoahHeap.cpp: `used()`).
    fn shenandoah(&mut self, heap: u64) -> Option<Heap> {
        let region = self.fixed(("ShenandoahHeapRegion", "RegionSizeBytes"))?;
        let count = self.word(heap, ("ShenandoahHeap", "_num_regions"))?;
        let committed = self.word(heap, ("ShenandoahHeap", "_committed"))?;
        let used = match self.fields.place(("ShenandoahHeap", "_used")) {
            Some(_) => self.word(heap, ("ShenandoahHeap", "_used"))?,
            None => {
                let all = self.word(heap, ("ShenandoahHeap", "_global_generation"))?;
                self.word(all, ("ShenandoahGeneration", "_used"))?
            }
        };
        let most = region.checked_mul(count).filter(|most| region > 0 && *most < LARGEST_HEAP)?;
        let is_possible =
            used <= committed && committed <= most && committed.is_multiple_of(region) && committed > 0;
        is_possible.then(|| Heap::of("Shenandoah", vec![Space::new("heap", used, committed)]))
    }

    /// Pages of one heap (zPageAllocator.hpp). In JDK 21 the non-generational ZGC has other names. Since 25 it counts
    /// by NUMA node, and only one node is supported here.
    fn z(&mut self, heap: u64) -> Option<Heap> {
        let z = self.inner(heap, ("ZCollectedHeap", "_heap"));
        let z = z.and_then(|heap| self.inner(heap, ("ZHeap", "_page_allocator")));
        let x = self.inner(heap, ("XCollectedHeap", "_heap"));
        let x = x.and_then(|heap| self.inner(heap, ("XHeap", "_page_allocator")));
        let node = z.and_then(|pages| self.only_node(pages));
        let ways = [
            (z, z, "ZPageAllocator", "ZPageAllocator"),
            (x, x, "XPageAllocator", "XPageAllocator"),
            (node, z, "ZPartition", "ZPageAllocator"),
        ];
        let lens = self.ranges.iter().map(|(start, end)| end.saturating_sub(*start));
        let mapped = lens.fold(0, u64::saturating_add);
        let mut found = ways.into_iter().filter_map(|(counted, limited, class, outer)| {
            let (used, capacity) =
                (self.word(counted?, (class, "_used"))?, self.word(counted?, (class, "_capacity"))?);
            let most = self.word(limited?, (outer, "_max_capacity"))?;
            let is_possible = used <= capacity
                && (1..=most.min(mapped)).contains(&capacity)
                && [used, capacity, most].iter().all(|bytes| bytes.is_multiple_of(GRANULE));
            is_possible.then(|| Heap::of("Z", vec![Space::new("heap", used, capacity)]))
        });
        found.next().filter(|_| found.next().is_none())
    }

    /// The address of the only node's counters (zValue.hpp, zNUMA.hpp).
    fn only_node(&mut self, pages: u64) -> Option<u64> {
        let count = self.fixed(("ZNUMA", "_count")).filter(|count| count & 0xffff_ffff == 1);
        let nodes = self.inner(pages, ("ZPageAllocator", "_partitions")).filter(|_| count.is_some())?;
        self.word(nodes, ("ZPerNUMAZPartition", "_addr"))
    }

    /// A space from its bottom to its top, within the heap.
    fn space(&mut self, name: &str, space: u64, classes: [&'static str; 2]) -> Option<Space> {
        let bottom = self.any_word(space, classes.map(|class| (class, "_bottom")))?;
        let end = self.any_word(space, classes.map(|class| (class, "_end")))?;
        let top = self.any_word(space, classes.map(|class| (class, "_top")))?;
        let is_possible = bottom <= top
            && top <= end
            && [bottom, top, end].iter().all(|address| address.is_multiple_of(8))
            && (bottom == end || self.is_heap(bottom) && self.is_heap(end - 1));
        is_possible.then(|| Space::new(name, top - bottom, end - bottom))
    }

    fn is_heap(&self, address: u64) -> bool {
        self.ranges.iter().any(|(start, end)| (*start..*end).contains(&address))
    }

    /// The word of a static field.
    fn fixed(&mut self, field: Field) -> Option<u64> {
        match self.fields.place(field)? {
            Place::Static(address) => self.image.word(address).filter(|word| *word != 0),
            Place::Within(_) => None,
        }
    }

    /// The address of an object embedded in another.
    fn inner(&self, object: u64, field: Field) -> Option<u64> {
        match self.fields.place(field)? {
            Place::Within(offset) => object.checked_add(offset),
            Place::Static(_) => None,
        }
    }

    fn word(&mut self, object: u64, field: Field) -> Option<u64> {
        let address = self.inner(object, field)?;
        self.image.word(address)
    }

    fn any_word<const N: usize>(&mut self, object: u64, fields: [Field; N]) -> Option<u64> {
        fields.into_iter().find_map(|field| self.word(object, field))
    }

    fn is_set(&mut self, object: u64, field: Field) -> bool {
        let mut byte = [0];
        self.inner(object, field).is_some_and(|address| self.image.read(address, &mut byte)) && byte != [0]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::allocator::{image::fake, jvm::names::WANTED};

    const HEAP: u64 = 0x10_0000;

    fn read(fields: &[(Field, Place)], image: &mut fake::Fake) -> Option<Heap> {
        let ranges = [(HEAP, HEAP + (64 << 20)), (HEAP + (64 << 20), HEAP + (128 << 20))];
        Machine { fields: &Fields::made(fields), ranges: &ranges, image }.heap()
    }

    /// The heap at 0x1000, generations at 0x2000 and 0x3000, spaces from 0x4000 on.
    fn serial(spaces: [[u64; 3]; 3]) -> (Vec<(Field, Place)>, fake::Fake) {
        let within = |class, field, at| ((class, field), Place::Within(at));
        let fields = vec![
            (("Universe", "_collectedHeap"), Place::Static(0x500)),
            within("CollectedHeap", "_is_gc_active", 24),
            within("GenCollectedHeap", "_young_gen", 8),
            within("GenCollectedHeap", "_old_gen", 16),
            within("DefNewGeneration", "_eden_space", 0),
            within("DefNewGeneration", "_from_space", 8),
            within("TenuredGeneration", "_the_space", 0),
            within("Space", "_bottom", 0),
            within("Space", "_end", 8),
            within("ContiguousSpace", "_top", 16),
        ];
        let mut memory = fake::Fake::default()
            .with_words(0x500, &[0x1000])
            .with_words(0x1000, &[0, 0x2000, 0x3000, 0])
            .with_words(0x2000, &[0x4000, 0x5000])
            .with_words(0x3000, &[0x6000]);
        for (space, at) in spaces.into_iter().zip([0x4000, 0x5000, 0x6000]) {
            memory = memory.with_words(at, &space);
        }
        (fields, memory)
    }

    #[test]
    fn spaces_are_as_full_as_their_tops_are_high() {
        let (eden, survivors) = ([HEAP, HEAP + 4096, HEAP + 1024], [HEAP + 4096, HEAP + 8192, HEAP + 4096]);
        let old = [HEAP + 8192, HEAP + 65536, HEAP + 16384];
        let (fields, mut memory) = serial([eden, survivors, old]);
        let spaces = vec![
            Space::new("eden", 1024, 4096),
            Space::new("survivors", 0, 4096),
            Space::new("old", 8192, 57344),
        ];
        assert_eq!(read(&fields, &mut memory), Some(Heap::of("Serial", spaces)));
        memory.write_word(0x1018, 1);
        assert!(read(&fields, &mut memory).unwrap().is_collecting);
    }

    /// Eden in whole regions, with both names of its fields.
    #[test]
    fn g1_counts_in_regions() {
        const MIB: u64 = 1 << 20;
        let names = [
            [
                "_eden_space_used",
                "_eden_space_committed",
                "_survivor_space_used",
                "_survivor_space_committed",
            ],
            ["_eden_used", "_eden_committed", "_survivor_used", "_survivor_committed"],
        ];
        for ([eden, eden_all, survivors, survivors_all], [old, old_all]) in
            names.into_iter().zip([["_old_gen_used", "_old_gen_committed"], ["_old_used", "_old_committed"]])
        {
            let fields = [eden, eden_all, survivors, survivors_all, old, old_all];
            let support = |field| ("G1MonitoringSupport", field);
            let mut all = vec![
                (("Universe", "_collectedHeap"), Place::Static(0x500)),
                (("G1CollectedHeap", "_g1mm"), Place::Within(8)),
                (("HeapRegion", "GrainBytes"), Place::Static(0x508)),
            ];
            all.extend(
                fields.into_iter().zip(0..).map(|(field, at)| (support(field), Place::Within(at * 8))),
            );
            let mut memory = fake::Fake::default()
                .with_words(0x500, &[0x1000, 2 * MIB])
                .with_words(0x1000, &[0, 0x2000])
                .with_words(0x2000, &[4 * MIB, 20 * MIB, 3 * MIB + 24, 4 * MIB, 5 * MIB + 8, 40 * MIB]);
            let heap = read(&all, &mut memory).unwrap();
            let used: Vec<u64> = heap.spaces.iter().map(|space| space.used).collect();
            assert_eq!((used, heap.uncounted), (vec![4 * MIB, 3 * MIB + 24, 5 * MIB + 8], 4 * MIB));
            memory.write_word(0x2000, 4 * MIB + 8);
            assert_eq!(read(&all, &mut memory), None);
        }
    }

    #[test]
    fn what_cannot_be_a_heap_is_none() {
        let good = [HEAP, HEAP + 4096, HEAP + 1024];
        let wrong = [
            [HEAP + 2048, HEAP + 4096, HEAP + 1024],
            [HEAP, HEAP + 4096, HEAP + 8192],
            [HEAP, HEAP + 4096, HEAP + 1021],
            [0x8000, 0x9000, 0x8800],
            [HEAP, HEAP + (200 << 20), HEAP + 1024],
        ];
        for space in wrong {
            let (fields, mut memory) = serial([good, space, good]);
            assert_eq!(read(&fields, &mut memory), None, "{space:x?}");
        }
    }

    proptest! {
        /// For any table contents and any addresses in it.
        #[test]
        fn any_fields_and_memory_are_read_to_an_end(
            mut memory in fake::memory(),
            places in prop::collection::vec((any::<bool>(), any::<u64>(), 0_u64..64), WANTED.len()),
        ) {
            let near: Vec<u64> = memory.ranges().into_iter().map(|(start, _)| start).collect();
            let place = |(is_static, far, at): (bool, u64, u64)| match near.get(far as usize % (near.len() + 1)) {
                Some(start) if is_static => Place::Static(start + at * 8),
                None if is_static => Place::Static(far),
                Some(_) => Place::Within(at * 8),
                None => Place::Within(far),
            };
            let fields: Vec<_> = WANTED.iter().copied().zip(places.into_iter().map(place)).collect();
            if let Some(heap) = read(&fields, &mut memory) {
                prop_assert!(heap.spaces.iter().all(|space| space.used <= space.capacity));
            }
        }
    }
}
