//! HotSpot's performance counters (`hsperfdata`): its heap and metaspace.
//!
//! Input: a process with HotSpot in it. Output: what was in use after the last collection, and what is resident beyond
//! it. The counters lie in a file that the virtual machine maps; its memory is read, or the file in the process's own
//! root. Nothing is attached.

use super::{Absent, ArenaCounters, CounterReader, Counters, Setting, Target, data};
use crate::{
    allocator::evidence::{Mark, ProcessEvidence},
    mm::region::{Backing, Prot, Region},
    units::{Bytes, Grade, escape},
};

mod perfdata;

use perfdata::PerfData;

const NAME: &str = "jvm";
/// `PerfDataMemorySize` is 32 KiB unless told otherwise.
const MOST_FILE: usize = 256 << 10;
/// Generations, and spaces of each.
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
        let bytes = perf_memory(target).ok_or_else(|| {
            self.absent(
                "it has no performance counters: -XX:-UsePerfData, or their file is not its own any more",
            )
        })?;
        let data = PerfData::parse(&bytes).map_err(|reason| self.absent(reason))?;
        let spaces = generations(&data);
        if spaces.is_empty() {
            return Err(self.absent("its performance counters name no generation yet"));
        }
        let mut resident = |is_ours: fn(&str) -> bool| {
            let ours = target.ranges_of(NAME).filter(|owned| is_ours(owned.owner.kind));
            let ranges: Vec<_> = ours.map(|owned| (owned.start, owned.end)).collect();
            let mapped: u64 = ranges.iter().map(|(start, end)| end - start).sum();
            (mapped, ranges.iter().map(|(start, end)| target.image.resident(*start, *end)).sum())
        };
        let heap = resident(|kind| kind == "java heap");
        let metaspace = resident(|kind| kind == "metaspace");
        Ok(counters(&data, &spaces, heap, metaspace))
    }
}

/// A generation's space: used and committed.
struct Space {
    name: String,
    used: u64,
    capacity: u64,
    is_eden: bool,
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
            let is_eden = name.ends_with(", eden");
            spaces.push(Space { name, used, capacity, is_eden });
        }
    }
    spaces
}

fn counters(data: &PerfData, spaces: &[Space], heap: (u64, u64), metaspace: (u64, u64)) -> Counters {
    let sum = |of: fn(&Space) -> u64| spaces.iter().map(of).fold(0, u64::saturating_add);
    let (used, capacity) = (sum(|space| space.used), sum(|space| space.capacity));
    let meta = data.long("sun.gc.metaspace.used").unwrap_or_default();
    // G1 counts a region of its youngest when it is full, and what it allocates elsewhere at once; others count when they
    // collect, or now and then.
    let is_counted = data.text("sun.gc.policy.name") == Some(b"GarbageFirst".as_slice());
    let eden = spaces.iter().find(|space| space.is_eden).map(|eden| eden.capacity.saturating_sub(eden.used));
    let rest = match eden.filter(|_| is_counted) {
        Some(eden) => eden.max(MOST_REGION),
        None => capacity.saturating_sub(used),
    };
    let bound = Bytes(rest.min(capacity.saturating_sub(used)));
    let free = heap.1.saturating_sub(used);
    let mut arenas: Vec<ArenaCounters> = spaces
        .iter()
        .map(|space| ArenaCounters {
            name: space.name.clone(),
            allocated_bytes: Some(Bytes(space.used)),
            free_resident_bytes: None,
            system_bytes: Some(Bytes(space.capacity)),
        })
        .collect();
    arenas.push(ArenaCounters {
        name: "metaspace".to_owned(),
        allocated_bytes: Some(Bytes(meta)),
        free_resident_bytes: Some(Bytes(metaspace.1.saturating_sub(meta))),
        system_bytes: data.long("sun.gc.metaspace.capacity").map(Bytes),
    });
    Counters {
        allocator: NAME.to_owned(),
        version: data.text("java.property.java.vm.version").map(escape),
        allocated_bytes: Some(Bytes(used.saturating_add(meta))),
        free_resident_bytes: Some(Bytes(free.saturating_add(metaspace.1.saturating_sub(meta)))),
        lazily_freed_bytes: Some(Bytes(0)),
        retained_bytes: Some(Bytes(heap.0.saturating_sub(heap.1))),
        metadata_bytes: None,
        error_bytes: Some(bound),
        arenas,
        settings: settings(data),
        grade: Grade::Read,
        missing: vec!["what was allocated since the last collection: used is as of its end".to_owned()],
    }
}

fn settings(data: &PerfData) -> Vec<Setting> {
    let keys =
        [("collector", "sun.gc.policy.name"), ("arguments", "java.rt.vmArgs"), ("flags", "java.rt.vmFlags")];
    let text = |(name, key): (&str, &str)| {
        let value = data.text(key).filter(|value| !value.is_empty())?;
        Some(Setting { name: name.to_owned(), value: escape(value) })
    };
    let maximum = |generation: u32| data.long(&format!("sun.gc.generation.{generation}.maxCapacity"));
    // With G1 every generation may be all of it.
    let most = (0..MOST_GENERATIONS).filter_map(maximum).max();
    let most = most.map(|most| Setting { name: "max_generation_bytes".to_owned(), value: most.to_string() });
    keys.into_iter().filter_map(text).chain(most).collect()
}

/// The memory of the counters: mapped from their file, or without one (`-XX:+PerfDisableSharedMem`).
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

    use super::{
        super::{any, fake},
        *,
    };

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
        let counters = counters(&data, &generations(&data), (64 << 20, 50 << 20), (8 << 20, 6 << 20));
        assert_eq!(counters.allocated_bytes, Some(Bytes(36 << 20)));
        assert_eq!(counters.free_resident_bytes, Some(Bytes(20 << 20)));
        assert_eq!(counters.retained_bytes, Some(Bytes(14 << 20)));
        assert_eq!(counters.error_bytes, Some(Bytes(33 << 20)));
        assert_eq!(counters.arenas[0].name, "young, 0");
        assert_eq!(counters.settings[0].value, "-Xmx64m");
    }

    proptest! {
        #[test]
        fn any_memory_is_read_to_an_end(memory in fake::memory()) {
            any::holds(&Hotspot, memory, &fake::NO_FILES).ok();
        }
    }
}
