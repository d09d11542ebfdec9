//! Processes and their address spaces, and readers of /proc.
//!
//! Input: events, and /proc for what events do not show. Output: processes with their resident memory.

pub mod address_space;
pub mod gauge;
pub mod growth;
pub mod listing;
pub mod maps;
pub mod page_table;
pub mod process;
pub mod procfs;
pub mod program;
pub mod region;
pub mod residency;
pub mod smaps;
pub mod source;
pub mod spare;
pub mod text_file;
