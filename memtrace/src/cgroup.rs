//! Cgroups: the hierarchy, and the files of the memory controller.
//!
//! cgroupfs and mountinfo -> typed facts about cgroups, the same types for v1 and v2.

pub mod charge;
pub mod hierarchy;
pub mod memcg;
pub mod pressure;
pub mod stat;
pub mod view;
