//! The types that both sides share: the kernel programs write them and the daemon reads them.
//!
//! Input: none. Output: plain, padding-free records, checked at compile time by `zerocopy`'s derives. This crate must
//! not hold logic beyond names, numbers and the arithmetic of budgets, must not allocate, and has no `unsafe`.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod budget;
pub mod config;
pub mod counter;
pub mod event;

/// The value of a `u64` field of a record that the kernel programs could not read.
///
/// The decoder turns it into `None`; it never reaches a user.
pub const UNKNOWN: u64 = u64::MAX;

/// The length of `task_struct.comm`, with its terminating NUL (`TASK_COMM_LEN`, include/linux/sched.h).
pub const COMM_LEN: usize = 16;
