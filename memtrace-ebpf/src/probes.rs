//! One file for each family of hooks: read facts, filter, emit.

mod calls;
mod cgroup;
mod fault;
mod oom;
mod signal;
mod task;
