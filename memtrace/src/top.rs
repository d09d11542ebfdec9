//! Memory use and growth of the node: the live view and batch tables.
//!
//! Input: data that the daemon publishes. Output: frames on a terminal, or text. The state contains only numbers;
//! drawing must not change it. Nothing can be killed from here: memtrace only reads.

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
