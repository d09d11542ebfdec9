//! What allocators' own counters say, read from outside, against what the programs say of themselves: at rest, while
//! they allocate, and without leaving a trace in them.
//!
//! Needs the workloads (`cargo run --manifest-path workloads/Cargo.toml -p build`), and root to read other processes'
//! memory.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests panic"
)]

mod bounds;
mod busy;
mod chance;
mod cost;
mod cpython;
mod glibc;
mod harmless;
mod musl;
mod objects;
mod objects_go;
mod objects_java;
mod published;
mod reading;
mod runtimes;
#[path = "../ownership/workload.rs"]
mod workload;
