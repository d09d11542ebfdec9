//! What HotSpot retains: the committed and empty part of its heap; and what its heap may grow to.

use crate::{
    allocator::{
        advice::{Advice, Beside, Ceiling, Form, Keeper, Remedy},
        counters::Counters,
    },
    units::Bytes,
};

/// Arguments that bound the heap, by their beginning.
const BOUNDS: [&str; 4] = ["-Xmx", "-XX:MaxHeapSize=", "-XX:MaxRAMPercentage=", "-XX:MaxRAM="];
/// The name of metaspace among the arenas.
pub const METASPACE: &str = "metaspace";

/// The advice.
pub struct Jvm;

impl Advice for Jvm {
    fn ceiling(&self, of: &Counters, _limit: Option<Bytes>) -> Option<Ceiling> {
        let kept = Keeper::of(of, None);
        let most = kept.number("MaxHeapSize").or_else(|| kept.number("max_generation_bytes"))?;
        let arguments = kept.setting("arguments").unwrap_or_default();
        let is_bound = |word: &&str| BOUNDS.iter().any(|bound| word.starts_with(bound));
        // The last one counts.
        let set_by = arguments.split_whitespace().rev().find(is_bound);
        let resident = |allocated: Option<Bytes>, free: Option<Bytes>| {
            allocated.unwrap_or_default().0.saturating_add(free.unwrap_or_default().0)
        };
        let metaspace = of.arenas.iter().find(|arena| arena.name == METASPACE);
        let metaspace = metaspace.map_or(0, |it| resident(it.allocated_bytes, it.free_resident_bytes));
        let held = resident(of.allocated_bytes, of.free_resident_bytes).saturating_sub(metaspace);
        Some(Ceiling {
            part: "the Java heap",
            rows: ("jvm", "java heap"),
            most: Some(Bytes(most)),
            set_by: set_by.map_or_else(|| "the JVM's default".to_owned(), str::to_owned),
            held: Bytes(held),
            form: Form::Mib("-Xmx", "m"),
            beside: Beside::default(),
        })
    }

    fn place(&self) -> Option<&'static str> {
        Some("the Java heap")
    }

    fn reason(&self, _kept: &Keeper<'_>) -> String {
        "the collector keeps them committed for new allocations".to_owned()
    }

    fn remedies(&self, kept: &Keeper<'_>) -> Vec<Remedy> {
        let is_argument = |name: &str| kept.setting("arguments").is_some_and(|all| all.contains(name));
        if kept.setting("collector") != Some("G1") || is_argument("G1PeriodicGCInterval") {
            return Vec::new();
        }
        vec![Remedy::setting(
            "let G1 collect when idle and return free memory",
            "-XX:G1PeriodicGCInterval=30000 -XX:MaxHeapFreeRatio=30",
        )]
    }

    fn telling(&self) -> &'static [&'static str] {
        &["collector"]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocator::{
        advice::ceiling,
        counters::{ArenaCounters, Setting},
    };

    #[test]
    fn the_last_argument_bounds_the_heap() {
        let setting = |name: &str, value: &str| Setting { name: name.to_owned(), value: value.to_owned() };
        let counters = Counters {
            allocator: "jvm".to_owned(),
            allocated_bytes: Some(Bytes(120 << 20)),
            free_resident_bytes: Some(Bytes(20 << 20)),
            arenas: vec![ArenaCounters {
                name: METASPACE.to_owned(),
                allocated_bytes: Some(Bytes(9 << 20)),
                free_resident_bytes: Some(Bytes(1 << 20)),
                system_bytes: None,
            }],
            settings: vec![
                setting("arguments", "-Xmx1g -server -Xmx512m"),
                setting("MaxHeapSize", &(512_u64 << 20).to_string()),
            ],
            ..Counters::default()
        };
        let found = ceiling(&counters, None).unwrap();
        assert_eq!((found.most, found.held), (Some(Bytes(512 << 20)), Bytes(130 << 20)));
        assert_eq!(
            (found.set_by.as_str(), found.bounded(Bytes(160 << 20)).as_str()),
            ("-Xmx512m", "-Xmx160m")
        );
        assert_eq!(ceiling(&Counters { settings: Vec::new(), ..counters }, None), None);
    }
}
