//! What a container is called: by its path, its bundle, its runtime and the kubelet.
//!
//! Cgroups -> names, and how containers ended in the runtime's own words.

pub mod end;
pub mod name;
pub mod namer;
pub mod names;
pub mod path;
pub mod sources;
pub mod workload_labels;
