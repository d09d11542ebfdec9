//! Why it was killed: the kill as the kernel side froze it, made into a record.
//!
//! Input: the frozen kill, what the groups' counters were before, symbols. Output: [`record::OomRecord`]. All rules
//! are functions on values; only `symbols` reads anything.

pub mod cause;
pub mod dump;
pub mod exit;
pub mod group;
pub mod kernel_log;
pub mod owner;
pub mod record;
pub mod recorder;
pub mod scope;
pub mod surroundings;
pub mod symbols;
