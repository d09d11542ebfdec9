//! Steps that run once, before the daemon runs.

pub mod lock;
pub mod malloc;
pub mod privileges;
pub mod seccomp;
pub mod systemd;
pub mod take_over;
pub mod tracer;
