//! Names of containers, from the cgroup path, the bundle, the runtime and the kubelet.
//!
//! Cgroups -> names, and the exit reasons that runtimes report.

pub mod end;
pub mod name;
pub mod namer;
pub mod names;
pub mod path;
pub mod sources;
pub mod workload;
pub mod workload_labels;
