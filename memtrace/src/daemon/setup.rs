//! Steps that run once, before the daemon runs.

pub mod lock;
pub mod malloc;
pub mod privileges;
pub mod take_over;
pub mod tracer;
