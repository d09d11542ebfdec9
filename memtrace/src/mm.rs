//! Address spaces: processes, and what /proc says of them.
//!
//! Input: events, and /proc where events do not reach. Output: processes with their resident memory.

pub mod process;
pub mod procfs;
pub mod region;
pub mod source;
