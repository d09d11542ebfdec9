//! The daemon's own heap: one arena, large blocks of their own, and what is free given back.
//!
//! glibc gives each thread that is busy at the same time an arena, and keeps what was free in it: with a hundred clients
//! that was 30 MiB for good. The engine hardly allocates between two ticks, so nobody waits for the one arena.

use std::time::Duration;

/// Blocks from this size on are mapped, and given back when they are free. The lists of a large node, which are made anew
/// each second, are below it: to have their pages anew costs more than to fill them.
#[cfg(target_env = "gnu")]
const MAPPED_FROM: std::ffi::c_int = 512 << 10;
/// Free bytes at the end of the heap that stay, for the same reason.
#[cfg(target_env = "gnu")]
const KEPT_AT_END: std::ffi::c_int = 2 << 20;

/// Sets it. Must be called before there are threads.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "mallopt has no safe form")]
pub fn keep_small() {
    // Setting the second also keeps glibc from raising it after each such block.
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

/// Free bytes that stay where they are: the next tick takes them again.
#[cfg(target_env = "gnu")]
const LEFT_FREE: usize = 2 << 20;
/// How often it is looked.
const EVERY: Duration = Duration::from_secs(10);

/// Gives free pages back, if there are many: glibc itself does so only at the end of the heap, and one block that lives
/// there keeps all that a burst of requests has left below it.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "the C library's heap has no safe form")]
fn give_back() {
    // SAFETY: takes nothing, and gives numbers.
    let free = unsafe { libc::mallinfo2() }.fordblks;
    if free > LEFT_FREE {
        // SAFETY: takes a number; it moves nothing that is in use, and locks what it looks at.
        unsafe { libc::malloc_trim(0) };
    }
}

/// Looks now and then, for as long as the runtime lives.
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
