//! What jemalloc retains: dirty pages, until they decay.

use crate::allocator::advice::{Advice, Helper, Keeper, Remedy};

/// Whether jemalloc's background thread gives pages back: the value is derived from the names of threads.
const BACKGROUND: &str = "background_thread";
const DECAY: &str = "dirty_decay_ms";

/// The advice.
pub struct Jemalloc;

impl Advice for Jemalloc {
    fn place(&self) -> Option<&'static str> {
        Some("jemalloc's dirty pages")
    }

    fn reason(&self, kept: &Keeper<'_>) -> String {
        let decay = kept.setting(DECAY);
        if decay == Some("-1") {
            "they are never returned because dirty_decay_ms is -1".to_owned()
        } else if kept.setting(BACKGROUND) == Some("true") {
            let decay = decay.unwrap_or("?");
            format!("its background thread returns them within dirty_decay_ms ({decay} ms)")
        } else {
            "they are kept because background_thread is off: jemalloc then returns pages only while the program \
             allocates"
                .to_owned()
        }
    }

    fn remedies(&self, kept: &Keeper<'_>) -> Vec<Remedy> {
        if kept.setting(BACKGROUND) == Some("true") {
            return Vec::new();
        }
        let variable = kept.setting("environment").unwrap_or("MALLOC_CONF");
        vec![Remedy::setting(
            "let a background thread of jemalloc return pages one second after they were freed",
            &format!("{variable}=background_thread:true,dirty_decay_ms:1000"),
        )]
    }

    fn telling(&self) -> &'static [&'static str] {
        &[DECAY, BACKGROUND]
    }

    fn helper(&self) -> Option<Helper> {
        Some(Helper { thread: "jemalloc_bg_thd", setting: BACKGROUND })
    }
}
