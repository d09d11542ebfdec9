//! What the parts of xtask share: programs that are started, places in the workspace, packages of Debian, and the cgroups
//! and daemons that are made to be watched.
//!
//! Must not know any verb: those are in xtask, xtask-vm, xtask-bench and xtask-incidents.

pub mod agent;
pub mod build;
pub mod cgroup;
pub mod debian;
pub mod elf;
pub mod grow;
pub mod outcome;
pub mod packages;
pub mod process;
pub mod requirements;
pub mod workspace;
