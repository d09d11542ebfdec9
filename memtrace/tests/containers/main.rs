//! Containers for real: pods made by CRI in a containerd of the tests' own, killed by their limits, and named.
//!
//! Run by `cargo xtask test` as root, one at a time: it installs containerd, runc and podman, and makes the images. What
//! memtrace says is compared with what the runtime and the kernel say.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests panic"
)]

mod capabilities;
mod cri;
mod daemonset;
/// What the tests of the host stand on as well.
#[path = "../root"]
mod host {
    #[expect(dead_code, reason = "the tests of the host use the rest")]
    pub mod fixture;
}
mod hostile;
mod kills;
mod moment;
mod names;
mod podman;
mod runtime;

use host::fixture;
