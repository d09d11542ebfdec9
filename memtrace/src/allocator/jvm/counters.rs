//! HotSpot's heap and metaspace.
//!
//! Input: a process with HotSpot. Output: bytes in use, and resident bytes beyond them. The heap is read by the fields
//! in libjvm's own table (`heap`). If these are unknown, it is read from the performance counters (`hsperfdata`), in
//! the memory of the mapped file or in the file in the process's root; they are some milliseconds old, or from the last
//! collection. Nothing is attached.

use memchr::memmem;

use crate::{
    allocator::{
        counters::{Absent, ArenaCounters, CounterReader, Counters, Setting, Target, data, error_bound},
        evidence::{Mark, ProcessEvidence},
        jvm::{advice::METASPACE, fields::Libjvm},
    },
    mm::region::{Backing, Prot, Region},
    text::escape,
    units::{Bytes, Grade},
};

mod flags;
mod heap;
mod perfdata;

use heap::Heap;
use perfdata::PerfData;

const NAME: &str = "jvm";
const ARGUMENTS: &str = "java.rt.vmArgs";
/// The most bytes of a file; `PerfDataMemorySize` is 32 KiB by default.
const MOST_FILE: usize = 256 << 10;
/// The most generations, and spaces of each.
const MOST_GENERATIONS: u32 = 4;
const MOST_SPACES: u32 = 8;
/// The largest region that G1 chooses by itself.
const MOST_REGION: u64 = 32 << 20;

/// The reader.
pub struct Hotspot;

impl CounterReader for Hotspot {
    fn name(&self) -> &'static str {
        NAME
    }

    fn applies(&self, process: &ProcessEvidence) -> bool {
        process.has(Mark::Hotspot)
    }

    fn read(&self, target: &mut Target<'_>) -> Result<Counters, Absent> {
        let bytes = perf_memory(target).ok_or(
            "it has no performance counters: -XX:-UsePerfData, or the file belongs to another process",
        );
        let data = bytes.and_then(|bytes| PerfData::parse(&bytes));
        let arguments = data.as_ref().ok().and_then(|data| data.text(ARGUMENTS)).unwrap_or_default();
        let ranges = |target: &Target<'_>, kind: &str| {
            let ours = target.ranges_of(NAME).filter(|owned| owned.owner.kind == kind);
            ours.map(|owned| (owned.start, owned.end)).collect::<Vec<_>>()
        };
        let (heap, metaspace) = (ranges(target, "java heap"), ranges(target, "metaspace"));
        // With NUMA its spaces are split, and their tops are elsewhere.
        let is_spread = memmem::find(arguments, b"+UseNUMA").is_some();
        let libjvm = Libjvm::of(target);
        let live = libjvm.as_ref().filter(|_| !is_spread);
        let live = live.and_then(|libjvm| heap::read::<2>(&libjvm.fields, target.image, &heap));
        let is_live = live.is_some();
        let mut used = match (live, &data) {
            (Some([first, again]), _) => Used::live(&first, again),
            (None, Ok(data)) => Used::counted(data),
            (None, Err(reason)) => return Err(self.absent(*reason)),
        };
        if used.spaces.is_empty() {
            return Err(self.absent("its performance counters name no generation yet"));
        }
        let mut resident = |ranges: &[(u64, u64)]| {
            let mapped: u64 = ranges.iter().map(|(start, end)| end - start).sum();
            (mapped, ranges.iter().map(|(start, end)| target.image.resident(*start, *end)).sum())
        };
        let (space, metaspace) = (resident(&heap), resident(&metaspace));
        if let Some(libjvm) = libjvm.as_ref().filter(|_| is_live) {
            // Reading the page tables takes milliseconds, so read the heap once more after it.
            used.is_now(heap::read::<1>(&libjvm.fields, target.image, &heap));
        }
        let mut counters = counters(data.ok().as_ref(), used, space, metaspace);
        let flags = libjvm.map_or_else(Vec::new, |libjvm| flags::read(&libjvm, target.image));
        counters.settings.extend(flags.into_iter().map(|(name, value)| setting(name, value.to_string())));
        Ok(counters)
    }
}

/// A part of the heap: used and committed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Space {
    name: String,
    used: u64,
    capacity: u64,
}

impl Space {
    fn new(name: &str, used: u64, capacity: u64) -> Self {
        Self { name: name.to_owned(), used, capacity }
    }
}

/// The bytes of the heap in use, and their error.
struct Used {
    spaces: Vec<Space>,
    error: u64,
    collector: Option<String>,
    missing: &'static str,
}

impl Used {
    /// From the fields, read twice.
    fn live(first: &Heap, again: Heap) -> Self {
        let (was, used) = (sum(&first.spaces, |space| space.used), sum(&again.spaces, |space| space.used));
        let mut error = error_bound::bound_between(was, Some(used)).0.saturating_add(again.uncounted);
        if first.is_collecting || again.is_collecting {
            // Objects being moved from young to old may count twice or not yet.
            error = error.saturating_add(used);
        }
        let collector = Some(again.collector.to_owned());
        let missing = "garbage that is not collected yet: counted as in use";
        Self { spaces: again.spaces, error, collector, missing }
    }

    /// Includes a last reading: the figure in use was between the two readings.
    fn is_now(&mut self, last: Option<[Heap; 1]>) {
        let used = sum(&self.spaces, |space| space.used);
        match last {
            Some([last]) => {
                let moved = sum(&last.spaces, |space| space.used).abs_diff(used);
                // Assume twice that change, because it may have risen and fallen in between.
                self.error = self.error.saturating_add(moved.saturating_mul(2).min(used));
                if last.is_collecting {
                    self.error = self.error.max(used);
                }
            }
            None => self.error = error_bound::bound(used, self.error, false).0,
        }
    }

    /// From the performance counters.
    fn counted(data: &PerfData) -> Self {
        let spaces = generations(data);
        let (used, capacity) = (sum(&spaces, |space| space.used), sum(&spaces, |space| space.capacity));
        let policy = data.text("sun.gc.policy.name");
        let error = match policy {
            Some(b"GarbageFirst") => uncounted(&spaces),
            // These collectors update the counters at collections only, so more may be in use by now.
            Some(b"Copy:MSC" | b"ParScav:MSC") => capacity.saturating_sub(used),
            // Concurrent collectors.
            _ => used.max(most(data).unwrap_or(capacity).saturating_sub(used)),
        };
        let missing = "allocations since the last collection: the figure may be as of its end";
        let collector = policy.map(|policy| match policy {
            b"GarbageFirst" => "G1".to_owned(),
            b"Copy:MSC" => "Serial".to_owned(),
            b"ParScav:MSC" => "Parallel".to_owned(),
            other => escape(other),
        });
        Self { spaces, error, collector, missing }
    }
}

/// G1 counts an eden region when it is full, and other allocations at once.
fn uncounted(spaces: &[Space]) -> u64 {
    let eden = spaces.iter().find(|space| space.name.ends_with(", eden"));
    let rest = eden.map_or(0, |eden| eden.capacity.saturating_sub(eden.used)).max(MOST_REGION);
    let free = |space: &Space| space.capacity.saturating_sub(space.used);
    rest.min(sum(spaces, free))
}

fn sum(spaces: &[Space], of: impl Fn(&Space) -> u64) -> u64 {
    spaces.iter().map(of).fold(0, u64::saturating_add)
}

fn generations(data: &PerfData) -> Vec<Space> {
    let mut spaces = Vec::new();
    for generation in 0..MOST_GENERATIONS {
        let prefix = format!("sun.gc.generation.{generation}");
        for space in 0..MOST_SPACES {
            let long = |what: &str| data.long(&format!("{prefix}.space.{space}.{what}"));
            let (Some(used), Some(capacity)) = (long("used"), long("capacity")) else { continue };
            let text = |key: String| data.text(&key).map(escape);
            let outer = text(format!("{prefix}.name")).unwrap_or_else(|| generation.to_string());
            let inner = text(format!("{prefix}.space.{space}.name")).unwrap_or_else(|| space.to_string());
            let name = if outer == inner { outer } else { format!("{outer}, {inner}") };
            spaces.push(Space::new(&name, used, capacity));
        }
    }
    spaces
}

fn counters(data: Option<&PerfData>, used: Used, heap: (u64, u64), metaspace: (u64, u64)) -> Counters {
    let Used { spaces, error, collector, missing } = used;
    let used = sum(&spaces, |space| space.used);
    let long = |name: &str| data.and_then(|data| data.long(name));
    // 0 until it is set: no JVM runs without classes.
    let set = |name: &str| long(name).filter(|value| *value > 0);
    let meta = set("sun.gc.metaspace.used");
    let free = heap.1.saturating_sub(used);
    let mut arenas: Vec<ArenaCounters> = spaces
        .into_iter()
        .map(|space| ArenaCounters {
            name: space.name,
            allocated_bytes: Some(Bytes(space.used)),
            free_resident_bytes: None,
            system_bytes: Some(Bytes(space.capacity)),
        })
        .collect();
    arenas.push(ArenaCounters {
        name: METASPACE.to_owned(),
        allocated_bytes: meta.map(Bytes),
        free_resident_bytes: meta.map(|meta| Bytes(metaspace.1.saturating_sub(meta))),
        system_bytes: set("sun.gc.metaspace.capacity").map(Bytes),
    });
    // Without a counter, all resident metaspace counts as in use, which may be too much.
    let unknown = meta.is_none().then_some("how much of metaspace is in use: no performance counter for it");
    let error = if meta.is_none() { error.saturating_add(metaspace.1) } else { error };
    let meta = meta.unwrap_or(metaspace.1);
    let text = |name: &str| data.and_then(|data| data.text(name));
    Counters {
        allocator: NAME.to_owned(),
        version: text("java.property.java.vm.version").map(escape),
        allocated_bytes: Some(Bytes(used.saturating_add(meta))),
        free_resident_bytes: Some(Bytes(free.saturating_add(metaspace.1.saturating_sub(meta)))),
        lazily_freed_bytes: Some(Bytes(0)),
        retained_bytes: Some(Bytes(heap.0.saturating_sub(heap.1))),
        metadata_bytes: None,
        error_bytes: Some(Bytes(error)),
        arenas,
        settings: settings(data, collector),
        grade: Grade::Read,
        missing: [missing].into_iter().chain(unknown).map(str::to_owned).collect(),
    }
}

fn setting(name: &str, value: String) -> Setting {
    Setting { name: name.to_owned(), value }
}

fn settings(data: Option<&PerfData>, collector: Option<String>) -> Vec<Setting> {
    let text = |name: &str, key: &str| {
        let value = data?.text(key).filter(|value| !value.is_empty())?;
        Some(setting(name, escape(value)))
    };
    let collector = collector.map(|value| setting("collector", value));
    let texts = [text("arguments", ARGUMENTS), text("flags", "java.rt.vmFlags")];
    let most = data.and_then(most);
    let most = most.map(|most| setting("max_generation_bytes", most.to_string()));
    collector.into_iter().chain(texts.into_iter().flatten()).chain(most).collect()
}

/// The largest heap. With G1 every generation can be the whole heap.
fn most(data: &PerfData) -> Option<u64> {
    let maximum = |generation: u32| data.long(&format!("sun.gc.generation.{generation}.maxCapacity"));
    (0..MOST_GENERATIONS).filter_map(maximum).max()
}

/// The memory of the counters: mapped from their file, or anonymous (`-XX:+PerfDisableSharedMem`).
fn perf_memory(target: &mut Target<'_>) -> Option<Vec<u8>> {
    let is_file = |region: &Region| match &region.backing {
        Backing::File(file) => file.path.windows(12).any(|part| part == b"/hsperfdata_"),
        Backing::Anonymous
        | Backing::SharedAnonymous
        | Backing::UnknownFile
        | Backing::Heap
        | Backing::Stack
        | Backing::Special(_) => false,
    };
    let is_small = |region: &Region| {
        region.backing == Backing::Anonymous
            && region.prot.0 & !Prot::EXEC == Prot::READ | Prot::WRITE
            && region.len() <= MOST_FILE as u64
    };
    let regions = target.regions;
    for region in regions.iter().filter(|region| is_file(region)) {
        let len = usize::try_from(region.len()).unwrap_or(usize::MAX).min(MOST_FILE);
        let bytes = data::filled(target.image, region.start, len);
        if PerfData::is_one(&bytes) {
            return Some(bytes);
        }
        if let Backing::File(file) = &region.backing {
            let bytes = target.files.read(&file.path, MOST_FILE);
            if let Some(bytes) = bytes.filter(|bytes| PerfData::is_one(bytes)) {
                return Some(bytes);
            }
        }
    }
    regions.iter().filter(|region| is_small(region)).find_map(|region| {
        let mut magic = [0; 4];
        let is_one = target.image.read(region.start, &mut magic) && magic == perfdata::MAGIC;
        let bytes = is_one.then(|| data::filled(target.image, region.start, region.len() as usize))?;
        PerfData::is_one(&bytes).then_some(bytes)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::allocator::{counters::conformance, image::fake};

    #[test]
    fn what_is_resident_beyond_what_is_used_is_free() {
        let entries: Vec<(&str, perfdata::Value)> = vec![
            ("sun.gc.generation.0.name", perfdata::Value::Text(b"young".to_vec())),
            ("sun.gc.generation.0.space.0.used", perfdata::Value::Long(1 << 20)),
            ("sun.gc.generation.0.space.0.capacity", perfdata::Value::Long(8 << 20)),
            ("sun.gc.generation.1.space.0.used", perfdata::Value::Long(30 << 20)),
            ("sun.gc.generation.1.space.0.capacity", perfdata::Value::Long(56 << 20)),
            ("sun.gc.metaspace.used", perfdata::Value::Long(5 << 20)),
            ("java.rt.vmArgs", perfdata::Value::Text(b"-Xmx64m".to_vec())),
        ];
        let bytes = perfdata::written(&entries);
        let data = PerfData::parse(&bytes).unwrap();
        let counters = counters(Some(&data), Used::counted(&data), (64 << 20, 50 << 20), (8 << 20, 6 << 20));
        assert_eq!(counters.allocated_bytes, Some(Bytes(36 << 20)));
        assert_eq!(counters.free_resident_bytes, Some(Bytes(20 << 20)));
        assert_eq!(counters.retained_bytes, Some(Bytes(14 << 20)));
        assert_eq!(counters.error_bytes, Some(Bytes(33 << 20)));
        assert_eq!(counters.arenas[0].name, "young, 0");
        assert_eq!(counters.settings[0].value, "-Xmx64m");
    }

    /// It counts as in use, and the bound covers that it may not be.
    #[test]
    fn metaspace_that_nothing_tells_of_is_in_doubt() {
        let heap = |used| Heap::of("Serial", vec![Space::new("old", used, 64 << 20)]);
        let told = |used| counters(None, used, (64 << 20, 50 << 20), (8 << 20, 6 << 20));
        let counters = told(Used::live(&heap(30 << 20), heap(30 << 20)));
        assert_eq!(counters.allocated_bytes, Some(Bytes(36 << 20)));
        assert_eq!(counters.error_bytes, Some(Bytes(6 << 20)));
        assert_eq!((counters.arenas[1].allocated_bytes, counters.missing.len()), (None, 2));
    }

    #[test]
    fn a_counter_that_is_not_set_yet_is_unknown() {
        let entries = vec![
            ("sun.gc.metaspace.used", perfdata::Value::Long(0)),
            ("sun.gc.metaspace.capacity", perfdata::Value::Long(0)),
        ];
        let bytes = perfdata::written(&entries);
        let data = PerfData::parse(&bytes).unwrap();
        let heap = |used| Heap::of("Serial", vec![Space::new("old", used, 64 << 20)]);
        let used = Used::live(&heap(30 << 20), heap(30 << 20));
        let counters = counters(Some(&data), used, (64 << 20, 50 << 20), (8 << 20, 6 << 20));
        let metaspace = counters.arenas.last().unwrap();
        assert_eq!((metaspace.allocated_bytes, metaspace.system_bytes), (None, None));
        assert_eq!(counters.error_bytes, Some(Bytes(6 << 20)));
        assert!(counters.missing[1].contains("metaspace"), "{:?}", counters.missing);
    }

    #[test]
    fn what_moves_while_page_tables_are_asked_is_in_the_bound() {
        let heap = |used| Heap::of("Z", vec![Space::new("heap", used, 64 << 20)]);
        let mut used = Used::live(&heap(30 << 20), heap(30 << 20));
        used.is_now(Some([heap(30 << 20)]));
        assert_eq!(used.error, 0);
        used.is_now(Some([heap(34 << 20)]));
        assert_eq!(used.error, 8 << 20);
        used.is_now(None);
        assert!(used.error > 8 << 20);
    }

    proptest! {
        #[test]
        fn any_memory_is_read_to_an_end(memory in fake::memory()) {
            conformance::holds(&Hotspot, memory, &fake::NO_FILES).ok();
        }
    }
}
