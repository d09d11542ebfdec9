//! Which container: memory cgroups, their paths, ids and names, and what the kernel charges to them.
//!
//! Input: cgroupfs, mountinfo and container runtimes. Output: typed facts about cgroups, v1 and v2 in one shape.

pub mod cgroup;
pub mod charge;
pub mod cri;
pub mod docker;
pub mod end;
mod http;
pub mod join;
pub mod kubelet;
pub mod memcg;
pub mod name;
pub mod names;
pub mod oci_bundle;
pub mod path;
pub mod pressure;
pub mod stat;
