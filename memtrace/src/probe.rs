//! Probes: facts about this kernel, a plan made from them, and the attached programs.
//!
//! Input: the running kernel, and features that the user disabled. Output: [`attach::Probes`], the ring buffers, and a
//! [`status::HookStatus`] for each fact. Upstream of everything: imports only base modules.

pub mod attach;
pub mod btf;
pub mod kill_ring;
pub mod links;
pub mod memlock;
pub mod offsets;
pub mod options;
pub mod pid_namespace;
pub mod pins;
pub mod plan;
pub mod self_check;
pub mod status;
pub mod support;
pub mod table;
pub mod tracefs;
