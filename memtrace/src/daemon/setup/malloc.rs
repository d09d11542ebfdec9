//! Settings of the daemon's own heap: one arena, large blocks mapped separately, and free memory given back.
//!
//! glibc gives each concurrently allocating thread an arena and retains free memory in it: a hundred clients cost 30
//! MiB permanently. The engine hardly allocates between two ticks, so one arena causes no contention.

use std::time::Duration;

/// Blocks of at least this size are mapped, and unmapped when freed. The lists of a large node, which are rebuilt every
/// second, are smaller: faulting their pages in again would cost more than filling them.
#[cfg(target_env = "gnu")]
const MAPPED_FROM: std::ffi::c_int = 512 << 10;
/// Free bytes at the end of the heap that are not trimmed, for the same reason.
#[cfg(target_env = "gnu")]
const KEPT_AT_END: std::ffi::c_int = 2 << 20;

/// Applies the settings. Must be called before other threads start.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "mallopt has no safe form")]
pub fn keep_small() {
    // Setting the second also stops glibc from raising it dynamically.
    for (parameter, value) in
        [(libc::M_ARENA_MAX, 1), (libc::M_MMAP_THRESHOLD, MAPPED_FROM), (libc::M_TRIM_THRESHOLD, KEPT_AT_END)]
    {
        // SAFETY: takes two numbers and no pointer, and there is one thread.
        let is_set = unsafe { libc::mallopt(parameter, value) } == 1;
        if !is_set {
            tracing::debug!(parameter, "the C library rejected a parameter of its heap");
        }
    }
}

/// Free bytes that are not given back, because the next tick needs them again.
#[cfg(target_env = "gnu")]
const LEFT_FREE: usize = 2 << 20;
/// Interval between two checks.
const EVERY: Duration = Duration::from_secs(10);

/// Gives free pages back if there are many. glibc itself trims only the end of the heap, so one live block there
/// retains everything that a burst of requests has freed below it.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "the C library's heap has no safe form")]
fn give_back() {
    // SAFETY: takes nothing, and gives numbers.
    let free = unsafe { libc::mallinfo2() }.fordblks;
    if free > LEFT_FREE {
        // SAFETY: takes a number; it moves no live block, and locks the arenas.
        unsafe { libc::malloc_trim(0) };
    }
}

/// Checks periodically, as long as the runtime lives.
pub fn keep_giving_back() {
    tokio::spawn(async {
        let mut every = tokio::time::interval(EVERY);
        loop {
            every.tick().await;
            give_back();
        }
    });
}

/// Other C libraries have no such settings.
#[cfg(not(target_env = "gnu"))]
pub fn keep_small() {}

/// Nor this.
#[cfg(not(target_env = "gnu"))]
fn give_back() {}
