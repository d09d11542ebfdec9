//! Who owns the memory of real programs: each workload is started, driven by commands, and attributed as if memtrace
//! had come later, without a single event. The right allocator must be named, and hardly anything left over.
//!
//! Needs the workloads (`cargo run --manifest-path workloads/Cargo.toml -p build`), and root to read other processes'
//! memory. With MEMTRACE_FIXTURES=DIR it also writes the fixtures of the unit tests there.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests panic")]

mod census;
mod fixture;
mod native;
mod runtimes;
mod shared;
mod workload;
