//! The Go runtime's own counters: `runtime.gcController`, without symbols.
//!
//! Input: a process with the Go runtime. Output: the figures of `runtime.MemStats`. The structure is found by settings
//! that imply each other, and by sums that must agree.

use crate::{
    allocator::{
        counters::{Absent, ArenaCounters, CounterReader, Counters, Setting, Target, data},
        evidence::{Mark, ProcessEvidence},
    },
    units::{Bytes, Grade},
};

const NAME: &str = "go";
/// `_PageSize` of the runtime.
const PAGE: u64 = 8 << 10;
/// `defaultHeapMinimum`.
const HEAP_MINIMUM: u64 = 4 << 20;
/// Memory that the runtime counts only when a P's cache changes its spans: one span for each of 136 classes, mostly 8
/// KiB.
const MOST_UNCOUNTED: u64 = 4 << 20;

/// Offsets of the fields of `gcControllerState`, in words.
struct Layout {
    versions: &'static str,
    heap_marked: usize,
    /// `heapInUse`, `heapReleased`, `heapFree`, `totalAlloc`, `totalFree`, and one more before `mappedReady`.
    heap_in_use: usize,
}

/// From debug information of programs built with each version.
const LAYOUTS: [Layout; 2] = [
    Layout { versions: "1.21 or later", heap_marked: 152 / 8, heap_in_use: 272 / 8 },
    Layout { versions: "1.19", heap_marked: 184 / 8, heap_in_use: 304 / 8 },
];

/// The reader.
pub struct Go;

impl CounterReader for Go {
    fn name(&self) -> &'static str {
        NAME
    }

    fn applies(&self, process: &ProcessEvidence) -> bool {
        process.has(Mark::Go)
    }

    fn read(&self, target: &mut Target<'_>) -> Result<Counters, Absent> {
        let data = data::of(target, Mark::Go);
        let all = data.iter().flat_map(data::Data::suffixes);
        let mut found: Vec<Controller> = all.filter_map(|(_, words)| Controller::of(words)).collect();
        let Some(controller) = found.pop() else {
            return Err(self.absent("its gcController was not found: unknown version"));
        };
        if !found.is_empty() {
            return Err(self.absent(format!("{} places look like its gcController", found.len() + 1)));
        }
        let heap = |owned: &&crate::allocator::Owned| owned.owner.kind == "heap";
        let heap: Vec<_> =
            target.ranges_of(NAME).filter(heap).map(|owned| (owned.start, owned.end)).collect();
        let resident = heap.iter().map(|(start, end)| target.image.resident(*start, *end)).sum();
        Ok(controller.counters(resident, version(&data)))
    }
}

/// Bytes allocated since the start, and bytes that the last mark phase found alive; `None` when that is not certain.
pub(super) fn totals(data: &[data::Data]) -> Option<(u64, u64)> {
    let mut found = data.iter().flat_map(data::Data::suffixes).filter_map(|(_, words)| Controller::of(words));
    let controller = found.next()?;
    found.next().is_none().then_some((controller.allocated, controller.marked))
}

/// `runtime.gcController`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Controller {
    versions: &'static str,
    percent: i32,
    limit: u64,
    marked: u64,
    in_use: u64,
    released: u64,
    free: u64,
    live: u64,
    allocated: u64,
}

impl Controller {
    fn of(words: &[u64]) -> Option<Self> {
        let [percent, limit, minimum] = *words.first_chunk()?;
        let percent = percent as u32 as i32;
        let is_minimum = match u64::try_from(percent) {
            Ok(percent) if percent <= 100_000 => minimum == HEAP_MINIMUM * percent / 100,
            Ok(_) => false,
            // GOGC=off.
            Err(_) => percent == -1 && minimum > 1 << 40,
        };
        if !is_minimum || limit < 1 << 20 || limit > i64::MAX as u64 {
            return None;
        }
        LAYOUTS.iter().find_map(|layout| {
            let [in_use, released, free, allocated, freed, ready] =
                *words.get(layout.heap_in_use..)?.first_chunk()?;
            let marked = *words.get(layout.heap_marked)?;
            let system = in_use.checked_add(released)?.checked_add(free)?;
            let live = allocated.checked_sub(freed)?;
            let fits = in_use > 0
                && system.is_multiple_of(PAGE)
                && system < 1 << 46
                && in_use.checked_add(free)? <= ready
                && ready < 1 << 46
                && live <= in_use
                && marked < 1 << 46;
            let versions = layout.versions;
            fits.then_some(Self { versions, percent, limit, marked, in_use, released, free, live, allocated })
        })
    }

    fn counters(&self, resident: u64, version: Option<String>) -> Counters {
        let Self { versions, percent, limit, marked, in_use, released, free, live, .. } = *self;
        // New spans are not touched yet.
        let free = free.min(resident);
        let slots = (in_use - live).min(resident.saturating_sub(live).saturating_sub(free));
        let setting = |name: &str, value: String| Setting { name: name.to_owned(), value };
        let row = |name: &str, allocated, free, system| ArenaCounters {
            name: name.to_owned(),
            allocated_bytes: allocated,
            free_resident_bytes: Some(Bytes(free)),
            system_bytes: Some(Bytes(system)),
        };
        Counters {
            allocator: NAME.to_owned(),
            version: version.or_else(|| Some(versions.to_owned())),
            allocated_bytes: Some(Bytes(live)),
            free_resident_bytes: Some(Bytes(free + slots)),
            lazily_freed_bytes: None,
            retained_bytes: Some(Bytes(released)),
            metadata_bytes: None,
            error_bytes: Some(Bytes((in_use - live).min(MOST_UNCOUNTED))),
            arenas: vec![
                row("spans in use", Some(Bytes(live)), slots, in_use),
                row("idle spans", None, free, self.free),
            ],
            settings: vec![
                setting("GOGC", if percent < 0 { "off".to_owned() } else { percent.to_string() }),
                setting(
                    "GOMEMLIMIT",
                    if limit == i64::MAX as u64 { "off".to_owned() } else { limit.to_string() },
                ),
                setting("marked_bytes", marked.to_string()),
            ],
            grade: Grade::Read,
            missing: vec!["garbage that is not collected yet: counted as in use".to_owned()],
        }
    }
}

/// The version that the linker wrote before the data (`debug/buildinfo`): ` Go buildinf:`, followed by the text since
/// 1.18.
fn version(data: &[data::Data]) -> Option<String> {
    const MAGIC: u64 = u64::from_le_bytes(*b"\xff Go bui");
    const REST: [u8; 6] = *b"ldinf:";
    const INLINE: u8 = 2;
    data.iter().flat_map(data::Data::suffixes).find_map(|(_, words)| {
        let [magic, more] = *words.first_chunk()?;
        // `ldinf:`, the size of a pointer, flags.
        let [rest @ .., _, flags] = more.to_le_bytes();
        if magic != MAGIC || rest != REST || flags & INLINE == 0 {
            return None;
        }
        let bytes: Vec<u8> = words.get(4..)?.iter().take(8).flat_map(|word| word.to_le_bytes()).collect();
        let (len, text) = bytes.split_first()?;
        let text = std::str::from_utf8(text.get(..usize::from(*len))?).ok()?.strip_prefix("go")?;
        let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "._-+ :".contains(c));
        is_plain.then(|| text.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::allocator::{counters::conformance, image::fake};

    fn words(layout: &Layout) -> Vec<u64> {
        let mut words = vec![0; 53];
        words[..3].copy_from_slice(&[100, i64::MAX as u64, 4 << 20]);
        words[layout.heap_marked] = 3 << 20;
        words[layout.heap_in_use..][..6].copy_from_slice(&[
            40 << 20,
            60 << 20,
            24 << 20,
            900 << 20,
            870 << 20,
            70 << 20,
        ]);
        words
    }

    #[test]
    fn each_layout_is_told_by_its_sums() {
        for layout in &LAYOUTS {
            let found = Controller::of(&words(layout)).unwrap();
            assert_eq!((found.versions, found.live, found.free), (layout.versions, 30 << 20, 24 << 20));
            let counters = found.counters(60 << 20, None);
            assert_eq!(counters.free_resident_bytes, Some(Bytes(30 << 20)));
            assert_eq!(counters.retained_bytes, Some(Bytes(60 << 20)));
        }
        let mut wrong = words(&LAYOUTS[0]);
        wrong[LAYOUTS[0].heap_in_use + 4] = 901 << 20;
        assert_eq!(Controller::of(&wrong), None);
        assert_eq!(Controller::of(&[0; 60]), None);
    }

    #[test]
    fn the_version_is_read_where_the_linker_put_it() {
        let mut bytes = b"\xff Go buildinf:\x08\x02".to_vec();
        bytes.resize(32, 0);
        bytes.extend(b"\x08go1.27.3 and more that is not of it, up to a whole word");
        bytes.resize(128, 0);
        let words = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
        assert_eq!(version(&[data::Data { start: 0, words }]).as_deref(), Some("1.27.3"));
    }

    proptest! {
        #[test]
        fn any_memory_is_read_to_an_end(memory in fake::memory()) {
            conformance::holds(&Go, memory, &fake::NO_FILES).ok();
        }
    }
}
