//! Who uses memory, how much, and who grows: the live view, and the tables of batches.
//!
//! Input: what the daemon publishes. Output: frames on a terminal, or text. State holds numbers only; drawing reads it
//! and changes nothing. There is no way to kill anything from here: memtrace only reads.

pub mod app;
pub mod batch;
pub mod column;
pub mod feed;
pub mod filter;
pub mod format;
pub mod input;
pub mod live;
pub mod page;
pub mod rows;
pub mod term;
pub mod theme;
pub mod trend;
pub mod value;
pub mod view;
