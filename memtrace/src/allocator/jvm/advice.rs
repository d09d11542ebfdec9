//! What HotSpot retains: the committed and empty part of its heap.

use crate::allocator::advice::{Advice, Keeper, Remedy};

/// The advice.
pub struct Jvm;

impl Advice for Jvm {
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
