//! Who uses memory, how much, and who grows: the table of `memtrace top --once`.
//!
//! Input: `&Snapshot`. Output: text. Pure.

pub mod table;
