//! What leaves the node in the forms of other engines: rows for warehouses, profiles for pprof and speedscope, logs for
//! collectors.
//!
//! Records, rows of workloads, call stacks -> bytes. Pure, and nothing here sends or listens. Command lines,
//! environments and bytes of memory are in none of these forms.

pub mod kills;
pub mod otlp;
pub mod pprof;
pub mod profile;
pub mod rows;
pub mod speedscope;
pub mod table;
