//! What is read of other processes: page tables, allocators' counters, mounts.
//!
//! Requests of the model -> values. Foreign paths and foreign memory are touched here and nowhere else.

pub mod counters;
pub mod scan;
pub mod tmpfs;
