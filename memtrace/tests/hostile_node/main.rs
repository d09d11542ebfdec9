//! What a container may do to the tracer: each row of the threat model, against a real daemon.
//!
//! After each, kills elsewhere are recorded, the daemon says that it is well, and nothing of its readers is left over. Run
//! by `cargo xtask test` as root, one at a time.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests panic"
)]

mod afterwards;
mod chaos;
mod crowds;
mod disks;
mod files;
mod floods;
/// What the tests of the host stand on as well.
#[path = "../root"]
mod host {
    #[expect(dead_code, reason = "the tests of the host use the rest")]
    pub mod fixture;
}
mod mounts;
mod processes;
mod readers;
mod scans;
mod strangers;

use host::fixture;
