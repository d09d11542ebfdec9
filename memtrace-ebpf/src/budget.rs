//! Takes tokens from the budgets.
//!
//! Input: whose budget, and the time. Output: whether there was a token. The arithmetic and the numbers are in
//! `memtrace_common::budget`.

use memtrace_common::{UNKNOWN, budget::Bucket};

use crate::{
    kernel::{Pointer, memcg, task},
    maps::{NODE_BUDGETS, PAIR_BUDGETS, Pair},
};

/// Whose budget the acts of a task use: its memory cgroup's; without one, its process's.
#[inline(always)]
pub fn whose(of: Pointer) -> u64 {
    let id = memcg::id(memcg::of_task(of));
    if id == UNKNOWN { u64::from(task::tgid(of)) } else { id }
}

/// Takes a token from the budget of a pair.
#[inline(always)]
pub fn of_pair(pair: &Pair, bucket: &Bucket, now: u64) -> bool {
    match PAIR_BUDGETS.get_ptr_mut(pair) {
        // SAFETY: the value is one number.
        Some(state) => unsafe { take(state, bucket, now) },
        None => {
            // After a failure the next fact starts the budget.
            let _ = PAIR_BUDGETS.insert(pair, bucket.take(0, now), 0);
            true
        }
    }
}

/// Takes a token from the budget of the node with this index.
#[inline(always)]
pub fn of_node(index: u32, bucket: &Bucket, now: u64) -> bool {
    match NODE_BUDGETS.get_ptr_mut(index) {
        // SAFETY: as above.
        Some(state) => unsafe { take(state, bucket, now) },
        None => false,
    }
}

/// Two CPUs may write at once. Then one of two tokens comes back, so in the worst case a budget is exceeded as many
/// times as there are CPUs. An atomic exchange would need Linux 5.12.
///
/// # Safety
/// `state` must be a valid value of a map.
#[inline(always)]
unsafe fn take(state: *mut u64, bucket: &Bucket, now: u64) -> bool {
    // SAFETY: the caller's promise.
    let next = bucket.take(unsafe { *state }, now);
    if next == Bucket::EMPTY {
        return false;
    }
    // SAFETY: the caller's promise.
    unsafe { *state = next };
    true
}
