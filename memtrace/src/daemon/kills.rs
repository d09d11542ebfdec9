//! Kills in the daemon: from the engine to disk, and facts that are added later.

pub mod backfill;
pub mod follow_up;
pub mod heaps;
pub mod inherited;
pub mod kernel_log;
pub mod kmsg;
pub mod known;
pub mod member_kills;
pub mod mounts;
mod near;
pub mod recorder;
pub mod stack_names;
