//! Why an allocator keeps what is free, and the setting that changes it.
//!
//! A holding -> words and settings. Pure. The setting is the one for this program: with the prefix that its build has,
//! and only where the evidence supports it.

use super::{Holding, allocators::BACKGROUND};
use crate::{container::memcg::Limit, verdict::Remedy};

/// `M_TRIM_THRESHOLD` and `M_MMAP_THRESHOLD` before glibc raised them.
const THRESHOLD: u64 = 128 << 10;
/// Arenas from which on fewer would help.
const MANY_ARENAS: usize = 4;
const MIB: u64 = 1 << 20;

/// Where the free memory is, in the allocator's own terms.
pub(super) fn place(allocator: &str) -> &str {
    match allocator {
        "jemalloc" => "jemalloc's dirty pages",
        "glibc" => "glibc's heaps",
        "mimalloc" => "mimalloc's pages",
        "tcmalloc" => "tcmalloc's page heap",
        "go" => "Go's spans",
        "jvm" => "the Java heap",
        "cpython" => "Python's pools",
        "musl" => "musl's groups",
        other => other,
    }
}

/// Why it stays there.
pub(super) fn reason(holding: &Holding) -> String {
    let setting = |name: &str| setting(holding, name);
    match holding.allocator.as_str() {
        "jemalloc" if setting("dirty_decay_ms") == Some("-1") => {
            "they stay because dirty_decay_ms is -1: never given back".to_owned()
        }
        "jemalloc" if setting(BACKGROUND) == Some("true") => format!(
            "its background thread gives them back within dirty_decay_ms ({} ms)",
            setting("dirty_decay_ms").unwrap_or("?")
        ),
        "jemalloc" => "they stay because background_thread is off: jemalloc gives pages back only while the \
                       program itself allocates"
            .to_owned(),
        "glibc" => {
            "they stay because glibc gives back only the top of a heap, and blocks in use lie above them"
                .to_owned()
        }
        "mimalloc" => {
            "they stay because mimalloc gives pages back only while the program itself allocates or \
                       frees"
                .to_owned()
        }
        "tcmalloc" => {
            "they stay because tcmalloc gives spans back slowly, and only while the program frees".to_owned()
        }
        "go" => {
            "Go reuses them before it asks for more; its scavenger gives idle spans back slowly, and keeps a \
                 tenth above its goal"
                .to_owned()
        }
        "jvm" => "the collector keeps them committed for the next allocations".to_owned(),
        "cpython" => "they stay because an arena goes back only when all of its pools are empty".to_owned(),
        "musl" => "they stay because a group goes back only when all of its slots are free".to_owned(),
        _ => "the allocator keeps them for the next allocations".to_owned(),
    }
}

/// What would change it; nothing where nothing is known to.
pub(super) fn remedies(holding: &Holding, limit: Option<&Limit>) -> Vec<Remedy> {
    let setting = |name: &str| setting(holding, name);
    let number = |name: &str| setting(name).and_then(|value| value.parse::<u64>().ok());
    match holding.allocator.as_str() {
        "jemalloc" if setting(BACKGROUND) == Some("true") => vec![],
        "jemalloc" => {
            let variable = setting("environment").unwrap_or("MALLOC_CONF");
            vec![remedy(
                "have a thread of jemalloc's own give pages back a second after they were freed",
                &format!("{variable}=background_thread:true,dirty_decay_ms:1000"),
            )]
        }
        "glibc" => glibc(holding, number("trim_threshold"), number("mmap_threshold")),
        "mimalloc" => vec![remedy("have free pages given back at once", "MIMALLOC_PURGE_DELAY=0")],
        "tcmalloc" => vec![remedy("have free spans given back faster", "TCMALLOC_RELEASE_RATE=10")],
        "go" if setting("GOMEMLIMIT") == Some("off") => limit.map_or_else(Vec::new, |limit| {
            // What is not the heap needs room too.
            let goal = limit.bytes.0 / 10 * 9 / MIB;
            vec![remedy(
                "tell Go's collector where its limit is: it works harder as it comes near",
                &format!("GOMEMLIMIT={goal}MiB"),
            )]
        }),
        "jvm" if setting("collector").is_some_and(|name| name.contains("G1")) => vec![remedy(
            "have G1 collect when idle, and give back what is free",
            "-XX:G1PeriodicGCInterval=30000 -XX:MaxHeapFreeRatio=30",
        )],
        _ => vec![],
    }
}

fn glibc(holding: &Holding, trim: Option<u64>, mmap: Option<u64>) -> Vec<Remedy> {
    let mut remedies = Vec::new();
    if holding.arenas >= MANY_ARENAS {
        remedies.push(remedy("share two arenas: free space of one thread serves all", "MALLOC_ARENA_MAX=2"));
    }
    if mmap.is_some_and(|mmap| mmap > THRESHOLD) {
        remedies.push(remedy(
            "give large blocks a mapping of their own, which goes back when they are freed (it was raised by the \
             program's own frees)",
            "MALLOC_MMAP_THRESHOLD_=131072",
        ));
    } else if trim.is_some_and(|trim| trim > THRESHOLD) {
        remedies.push(remedy("give the top of a heap back sooner", "MALLOC_TRIM_THRESHOLD_=131072"));
    }
    remedies.push(Remedy {
        text: "call malloc_trim(0) after a peak: it gives back free pages in the middle of heaps too"
            .to_owned(),
        setting: None,
    });
    remedies
}

fn setting<'h>(holding: &'h Holding, name: &str) -> Option<&'h str> {
    holding.settings.iter().find(|setting| setting.name == name).map(|setting| setting.value.as_str())
}

fn remedy(text: &str, setting: &str) -> Remedy {
    Remedy { text: text.to_owned(), setting: Some(setting.to_owned()) }
}
