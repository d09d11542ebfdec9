//! The way of a kill in the daemon: from the engine to disk, and what becomes known of it later.

pub mod backfill;
pub mod follow_up;
pub mod kernel_log;
pub mod kmsg;
pub mod member_kills;
pub mod recorder;
