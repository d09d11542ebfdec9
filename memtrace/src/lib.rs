//! memtrace: what is this memory, and why was my container killed?
//!
//! Facts flow one way: kernel programs -> events -> address spaces -> containers -> snapshot -> outputs.

pub mod oom;
pub mod units;
