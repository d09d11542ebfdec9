//! Why an allocator keeps what is free.
//!
//! A holding -> words. Pure. The settings that change it are those of all verdicts.

use super::Holding;
use crate::{
    cgroup::memcg::Limit,
    verdict::{
        Remedy,
        retention::{BACKGROUND, Keeper},
    },
};

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
            "they are never returned because dirty_decay_ms is -1".to_owned()
        }
        "jemalloc" if setting(BACKGROUND) == Some("true") => format!(
            "its background thread returns them within dirty_decay_ms ({} ms)",
            setting("dirty_decay_ms").unwrap_or("?")
        ),
        "jemalloc" => {
            "they are kept because background_thread is off: jemalloc then returns pages only while \
                       the program allocates"
                .to_owned()
        }
        "glibc" => {
            "they are kept because glibc returns only the top of a heap, and blocks in use lie above them"
                .to_owned()
        }
        "mimalloc" => {
            "they are kept because mimalloc returns pages only while the program allocates or frees"
                .to_owned()
        }
        "tcmalloc" => {
            "they are kept because tcmalloc returns spans slowly, and only while the program frees".to_owned()
        }
        "go" => {
            "Go reuses them before it requests more; its scavenger returns idle spans slowly and keeps 10 % \
                 above its goal"
                .to_owned()
        }
        "jvm" => "the collector keeps them committed for new allocations".to_owned(),
        "cpython" => {
            "they are kept because an arena is returned only when all of its pools are empty".to_owned()
        }
        "musl" => "they are kept because a group is returned only when all of its slots are free".to_owned(),
        _ => "the allocator keeps them for new allocations".to_owned(),
    }
}

/// What would change it; nothing where nothing is known to.
pub(super) fn remedies(holding: &Holding, limit: Option<&Limit>) -> Vec<Remedy> {
    let Holding { allocator, settings, arenas, .. } = holding;
    Keeper { allocator, settings, arenas: *arenas, limit: limit.map(|limit| limit.bytes) }.remedies()
}

fn setting<'h>(holding: &'h Holding, name: &str) -> Option<&'h str> {
    holding.settings.iter().find(|setting| setting.name == name).map(|setting| setting.value.as_str())
}
