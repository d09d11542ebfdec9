//! The parts of libjvm's debugger interface that are in its file: the address of its table of fields, and the names in
//! it.
//!
//! Input: an ELF file. Output: [`Names`]. The table (vmStructs.hpp) is exported in every build and survives stripping.
//! It is filled in memory, but the names that it points to are in the file. The VM never touches them, so they may not
//! be resident and are read from the file. The file is untrusted: everything is bounded.

use std::collections::HashMap;

use crate::allocator::evidence::elf::Elf;

/// HotSpot has 1 MB of constants.
const MOST_CONSTANTS: u64 = 16 << 20;
/// The most exported variables, and the longest name of one; HotSpot has some ten.
const MOST_VARIABLES: usize = 64;
const LONGEST: usize = 64;
/// The most places of one name: short names also occur as the end of longer ones.
const MOST_PLACES: usize = 256;

/// A class and a field of it.
pub type Field = (&'static str, &'static str);

/// The fields to find: memory in use and capacity of each collector, the table of flags, and what a walk over objects
/// needs. Names differ between releases.
pub const WANTED: &[Field] = &[
    ("Universe", "_collectedHeap"),
    ("CollectedHeap", "_is_gc_active"),
    ("CollectedHeap", "_is_stw_gc_active"),
    ("GenCollectedHeap", "_young_gen"),
    ("GenCollectedHeap", "_old_gen"),
    ("SerialHeap", "_young_gen"),
    ("SerialHeap", "_old_gen"),
    ("DefNewGeneration", "_eden_space"),
    ("DefNewGeneration", "_from_space"),
    ("TenuredGeneration", "_the_space"),
    ("Space", "_bottom"),
    ("Space", "_end"),
    ("ContiguousSpace", "_bottom"),
    ("ContiguousSpace", "_end"),
    ("ContiguousSpace", "_top"),
    ("ParallelScavengeHeap", "_young_gen"),
    ("ParallelScavengeHeap", "_old_gen"),
    ("PSYoungGen", "_eden_space"),
    ("PSYoungGen", "_from_space"),
    ("PSOldGen", "_object_space"),
    ("ImmutableSpace", "_bottom"),
    ("ImmutableSpace", "_end"),
    ("MutableSpace", "_bottom"),
    ("MutableSpace", "_end"),
    ("MutableSpace", "_top"),
    ("G1CollectedHeap", "_g1mm"),
    ("G1CollectedHeap", "_monitoring_support"),
    ("HeapRegion", "GrainBytes"),
    ("G1HeapRegion", "GrainBytes"),
    ("G1MonitoringSupport", "_eden_space_committed"),
    ("G1MonitoringSupport", "_eden_space_used"),
    ("G1MonitoringSupport", "_survivor_space_committed"),
    ("G1MonitoringSupport", "_survivor_space_used"),
    ("G1MonitoringSupport", "_old_gen_committed"),
    ("G1MonitoringSupport", "_old_gen_used"),
    ("G1MonitoringSupport", "_eden_committed"),
    ("G1MonitoringSupport", "_eden_used"),
    ("G1MonitoringSupport", "_survivor_committed"),
    ("G1MonitoringSupport", "_survivor_used"),
    ("G1MonitoringSupport", "_old_committed"),
    ("G1MonitoringSupport", "_old_used"),
    ("ShenandoahHeap", "_used"),
    ("ShenandoahHeap", "_committed"),
    ("ShenandoahHeap", "_num_regions"),
    ("ShenandoahHeap", "_global_generation"),
    ("ShenandoahGeneration", "_used"),
    ("ShenandoahHeapRegion", "RegionSizeBytes"),
    ("ZCollectedHeap", "_heap"),
    ("ZHeap", "_page_allocator"),
    ("ZPageAllocator", "_used"),
    ("ZPageAllocator", "_capacity"),
    ("ZPageAllocator", "_max_capacity"),
    ("ZPageAllocator", "_partitions"),
    ("ZPerNUMAZPartition", "_addr"),
    ("ZPartition", "_used"),
    ("ZPartition", "_capacity"),
    ("ZNUMA", "_count"),
    ("XCollectedHeap", "_heap"),
    ("XHeap", "_page_allocator"),
    ("XPageAllocator", "_used"),
    ("XPageAllocator", "_capacity"),
    ("XPageAllocator", "_max_capacity"),
    ("HeapRegion", "_bottom"),
    ("HeapRegion", "_top"),
    ("HeapRegion", "_end"),
    ("G1HeapRegion", "_bottom"),
    ("G1HeapRegion", "_top"),
    ("G1HeapRegion", "_end"),
    ("G1ContiguousSpace", "_top"),
    ("G1CollectedHeap", "_hrm"),
    ("HeapRegionManager", "_regions"),
    ("G1HeapRegionManager", "_regions"),
    ("G1HeapRegionTable", "_base"),
    ("G1HeapRegionTable", "_length"),
    ("Klass", "_layout_helper"),
    ("Klass", "_name"),
    ("Symbol", "_length"),
    ("Symbol", "_body[0]"),
    ("CompressedKlassPointers", "_narrow_klass._base"),
    ("CompressedKlassPointers", "_narrow_klass._shift"),
    ("CompressedKlassPointers", "_base"),
    ("CompressedKlassPointers", "_shift"),
    ("Universe", "_narrow_klass._base"),
    ("Universe", "_narrow_klass._shift"),
    ("ThreadsSMRSupport", "_java_thread_list"),
    ("ThreadsList", "_length"),
    ("ThreadsList", "_threads"),
    ("Thread", "_tlab"),
    ("ThreadLocalAllocBuffer", "_top"),
    ("ThreadLocalAllocBuffer", "_end"),
    ("ThreadLocalAllocBuffer", "_reserve_for_allocation_prefetch"),
    ("java_lang_Class", "_oop_size_offset"),
    ("JVMFlag", "flags"),
    ("JVMFlag", "numFlags"),
    ("JVMFlag", "_name"),
    ("JVMFlag", "_addr"),
];

/// Flags to read. They are set by arguments, or by the VM itself when it starts.
pub const FLAGS: &[&str] =
    &["MaxHeapSize", "MaxMetaspaceSize", "MaxDirectMemorySize", "ReservedCodeCacheSize", "ThreadStackSize"];

/// Names of classes and fields, and where each is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// The lowest address of the file before relocation; all other addresses are relative to the same base.
    pub start: u64,
    /// Exported variables: the table, and the offsets in an entry.
    variables: HashMap<Vec<u8>, u64>,
    /// Names by address; the table may point to any of them.
    names: HashMap<u64, &'static str>,
}

impl Names {
    /// The names of a file; `None` when it has no such table.
    pub fn of(elf: &Elf<'_>) -> Option<Self> {
        let mut variables = HashMap::new();
        elf.exports(|name, address| {
            if let Some(name) = name.strip_prefix(b"gHotSpotVMStruct")
                && name.len() <= LONGEST
                && variables.len() < MOST_VARIABLES
            {
                variables.insert(name.to_vec(), address);
            }
        });
        if variables.is_empty() {
            return None;
        }
        let section = elf.section(b".rodata")?;
        let constants = elf.content(section, MOST_CONSTANTS)?;
        let mut names = HashMap::new();
        let mut wanted: Vec<&'static str> =
            WANTED.iter().flat_map(|(class, field)| [*class, *field]).chain(FLAGS.iter().copied()).collect();
        wanted.sort_unstable();
        wanted.dedup();
        for name in wanted {
            let whole = [name.as_bytes(), &[0]].concat();
            let places = memchr::memmem::find_iter(&constants, &whole).take(MOST_PLACES);
            names.extend(places.filter_map(|at| Some((section.address.checked_add(at as u64)?, name))));
        }
        Some(Self { start: elf.loaded.start, variables, names })
    }

    /// The given names, for tests.
    #[cfg(test)]
    pub fn made(variables: &[(&str, u64)], names: &[(u64, &'static str)]) -> Self {
        let variables = variables.iter().map(|(name, at)| (name.as_bytes().to_vec(), *at)).collect();
        Self { start: 0, variables, names: names.iter().copied().collect() }
    }

    /// The address of the variable `gHotSpotVMStruct` + `name`.
    pub fn variable(&self, name: &str) -> Option<u64> {
        self.variables.get(name.as_bytes()).copied()
    }

    /// The name at an address.
    pub fn name(&self, address: u64) -> Option<&'static str> {
        self.names.get(&address).copied()
    }
}
