//! Which container: memory cgroups, their paths and ids, and what the kernel charges to them.
//!
//! Input: cgroupfs and mountinfo. Output: typed facts about cgroups, v1 and v2 in one shape.

pub mod cgroup;
pub mod memcg;
