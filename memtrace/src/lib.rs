//! memtrace: what is this memory, and why was my container killed?
//!
//! Facts flow one way: kernel programs -> events -> address spaces -> containers -> model -> snapshot -> outputs.

pub mod allocator;
pub mod api;
pub mod cgroup;
pub mod cli;
pub mod clock;
pub mod container;
pub mod daemon;
pub mod elf;
pub mod explain;
pub mod export;
pub mod foreign;
pub mod fuzz;
pub mod health;
pub mod history;
pub mod http;
pub mod ingest;
pub mod metrics;
pub mod mm;
pub mod model;
pub mod oom;
pub mod probe;
pub mod reader;
pub mod report;
pub mod run;
pub mod sizing;
pub mod snapshot;
pub mod store;
pub mod symbols;
pub mod text;
pub mod top;
pub mod units;
pub mod unwind;
pub mod verdict;
pub mod web;
