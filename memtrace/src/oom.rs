//! Why a process was killed: makes a record from the kernel programs' data of a kill.
//!
//! Input: the kill, the groups' earlier counters, symbols. Output: [`record::OomRecord`]. All rules are functions on
//! values; only `symbols` does I/O.

pub mod cause;
pub mod dump;
pub mod exit;
pub mod group;
pub mod kernel_log;
pub mod owner;
pub mod record;
pub mod recorder;
pub mod scope;
pub mod story;
pub mod surroundings;
pub mod symbols;
