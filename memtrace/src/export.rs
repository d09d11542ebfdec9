//! What leaves the node in the forms of other engines: rows for warehouses.
//!
//! Records, rows of workloads -> bytes. Pure, and nothing here sends or listens. Command lines,
//! environments and bytes of memory are in none of these forms.

pub mod kills;
pub mod rows;
pub mod table;
