//! One file for each family of hooks: read the fact, filter, emit.

mod calls;
mod cgroup;
mod fault;
mod oom;
mod signal;
mod task;
