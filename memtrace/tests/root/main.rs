//! Tests that trace this host: real programs, real kernels, real kills. They need root.
//!
//! What memtrace says is compared with what the kernel says: its log, `memory.*` files, /proc. Run by
//! `cargo xtask test`, one test at a time: kills elsewhere on the node are seen, and disturb nothing.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests panic"
)]

mod api;
mod arenas;
mod backfill;
#[path = "../ownership/census.rs"]
#[expect(dead_code, reason = "made for the tests of ownership, of which these need a part")]
mod census;
mod cgroups;
mod disk;
mod doctor;
mod events;
mod fixture;
mod kills;
mod lifecycle;
mod load;
mod losses;
mod metrics;
mod namespaces;
mod odd;
mod outliving;
mod pages;
mod peaks;
mod record;
mod runs;
mod scenarios;
#[path = "../../src/report/tests/schema_check.rs"]
mod schema_check;
mod screen;
mod storm;
mod top;
mod truth;
#[path = "../ownership/workload.rs"]
mod workload;
