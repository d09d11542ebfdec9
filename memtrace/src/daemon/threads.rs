//! The threads and tasks beside the engine. Each has its own work, and none blocks another.

pub mod history_file;
pub mod limit_watch;
pub mod mount_watch;
pub mod scanner;
pub mod serving;
pub mod unwinder;
pub mod verdict_task;
