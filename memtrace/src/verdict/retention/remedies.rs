//! How to have an allocator keep less of what is free: the one place for all verdicts.
//!
//! What an allocator was seen to be -> settings. Pure. The setting is the one for this program, with the prefix that its
//! build has, and only where the evidence supports it.

use crate::{
    allocator::counters::{Counters, Setting},
    units::Bytes,
    verdict::Remedy,
};

/// Whether jemalloc's own thread gives pages back: a setting that is read off the names of threads.
pub const BACKGROUND: &str = "background_thread";
/// `M_TRIM_THRESHOLD` and `M_MMAP_THRESHOLD` before glibc raised them.
const THRESHOLD: u64 = 128 << 10;
/// Arenas from which on fewer would help.
const MANY_ARENAS: usize = 4;
const MIB: u64 = 1 << 20;

/// An allocator that keeps memory.
#[derive(Clone, Copy, Debug)]
pub struct Keeper<'a> {
    /// Its name, as in its rows.
    pub allocator: &'a str,
    /// What its configuration was seen to be.
    pub settings: &'a [Setting],
    /// How many arenas it has.
    pub arenas: usize,
    /// The limit that its program is under.
    pub limit: Option<Bytes>,
}

impl<'a> Keeper<'a> {
    /// The one whose counters these are.
    pub fn of(counters: &'a Counters, limit: Option<Bytes>) -> Self {
        let Counters { allocator, settings, arenas, .. } = counters;
        Self { allocator, settings, arenas: arenas.len(), limit }
    }

    fn setting(&self, name: &str) -> Option<&'a str> {
        self.settings.iter().find(|setting| setting.name == name).map(|setting| setting.value.as_str())
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.setting(name)?.parse().ok()
    }

    /// What would change it, most telling first; nothing where nothing is known to.
    pub fn remedies(&self) -> Vec<Remedy> {
        match self.allocator {
            "jemalloc" if self.setting(BACKGROUND) == Some("true") => vec![],
            "jemalloc" => {
                let variable = self.setting("environment").unwrap_or("MALLOC_CONF");
                vec![remedy(
                    "let a background thread of jemalloc return pages one second after they were freed",
                    &format!("{variable}=background_thread:true,dirty_decay_ms:1000"),
                )]
            }
            "glibc" => self.glibc(),
            "mimalloc" => vec![remedy("return free pages immediately", "MIMALLOC_PURGE_DELAY=0")],
            "tcmalloc" => vec![remedy("return free spans faster", "TCMALLOC_RELEASE_RATE=10")],
            "go" if self.setting("GOMEMLIMIT") == Some("off") => self.limit.map_or_else(Vec::new, |limit| {
                // What is not the heap needs room too.
                let goal = limit.0 / 10 * 9 / MIB;
                vec![remedy(
                    "tell Go's garbage collector the limit, so that it works harder near it",
                    &format!("GOMEMLIMIT={goal}MiB"),
                )]
            }),
            "jvm" if self.setting("collector") == Some("G1") && !self.is_argument("G1PeriodicGCInterval") => {
                vec![remedy(
                    "let G1 collect when idle and return free memory",
                    "-XX:G1PeriodicGCInterval=30000 -XX:MaxHeapFreeRatio=30",
                )]
            }
            _ => vec![],
        }
    }

    /// Whether Java was started with an argument that says this.
    fn is_argument(&self, name: &str) -> bool {
        self.setting("arguments").is_some_and(|arguments| arguments.contains(name))
    }

    fn glibc(&self) -> Vec<Remedy> {
        let mut remedies = Vec::new();
        if self.arenas >= MANY_ARENAS {
            remedies.push(remedy(
                "use only two arenas, so that all threads share free memory",
                "MALLOC_ARENA_MAX=2",
            ));
        }
        if self.number("mmap_threshold").is_some_and(|mmap| mmap > THRESHOLD) {
            remedies.push(remedy(
                "allocate large blocks with mmap, so that freeing returns them (the program's own frees have raised \
                 this threshold)",
                "MALLOC_MMAP_THRESHOLD_=131072",
            ));
        } else if self.number("trim_threshold").is_some_and(|trim| trim > THRESHOLD) {
            remedies.push(remedy("return the top of a heap sooner", "MALLOC_TRIM_THRESHOLD_=131072"));
        }
        remedies.push(Remedy {
            text: "call malloc_trim(0) after a peak: it also returns free pages in the middle of heaps"
                .to_owned(),
            setting: None,
        });
        remedies
    }
}

fn remedy(text: &str, setting: &str) -> Remedy {
    Remedy { text: text.to_owned(), setting: Some(setting.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(keeper: Keeper<'_>) -> Vec<String> {
        keeper.remedies().into_iter().filter_map(|remedy| remedy.setting).collect()
    }

    fn keeper<'a>(allocator: &'a str, settings: &'a [Setting]) -> Keeper<'a> {
        Keeper { allocator, settings, arenas: 1, limit: Some(Bytes(1000 << 20)) }
    }

    fn seen(name: &str, value: &str) -> [Setting; 1] {
        [Setting { name: name.to_owned(), value: value.to_owned() }]
    }

    #[test]
    fn the_setting_is_the_one_of_this_build() {
        let prefixed = seen("environment", "_RJEM_MALLOC_CONF");
        let named = settings(keeper("jemalloc", &prefixed));
        assert_eq!(named, ["_RJEM_MALLOC_CONF=background_thread:true,dirty_decay_ms:1000"]);
        assert_eq!(settings(keeper("go", &seen("GOMEMLIMIT", "off"))), ["GOMEMLIMIT=900MiB"]);
        let periodic = "-XX:G1PeriodicGCInterval=30000 -XX:MaxHeapFreeRatio=30";
        assert_eq!(settings(keeper("jvm", &seen("collector", "G1"))), [periodic]);
    }

    #[test]
    fn what_is_set_already_or_would_not_help_is_not_advised() {
        assert!(settings(keeper("jemalloc", &seen(BACKGROUND, "true"))).is_empty());
        assert!(settings(keeper("go", &seen("GOMEMLIMIT", "800000000"))).is_empty());
        assert!(settings(keeper("glibc", &seen("mmap_threshold", "131072"))).is_empty());
        assert!(settings(keeper("jvm", &seen("collector", "Serial"))).is_empty());
        let set = [seen("collector", "G1"), seen("arguments", "-XX:G1PeriodicGCInterval=9000")].concat();
        assert!(settings(keeper("jvm", &set)).is_empty());
        let many = Keeper { arenas: 8, ..keeper("glibc", &[]) };
        assert_eq!(settings(many), ["MALLOC_ARENA_MAX=2"]);
    }
}
