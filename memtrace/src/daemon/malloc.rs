//! The daemon's own heap: one arena, and large blocks of their own.
//!
//! glibc gives each thread that is busy at the same time an arena, and keeps what was free in it: with a hundred clients
//! that was 30 MiB for good. The engine hardly allocates between two ticks, so nobody waits for the one arena.

/// Blocks from this size on are mapped, and given back when they are free.
#[cfg(target_env = "gnu")]
const MAPPED_FROM: std::ffi::c_int = 128 << 10;

/// Sets it. Must be called before there are threads.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "mallopt has no safe form")]
pub fn keep_small() {
    // Setting the second also keeps glibc from raising it after each such block.
    for (parameter, value) in [(libc::M_ARENA_MAX, 1), (libc::M_MMAP_THRESHOLD, MAPPED_FROM)] {
        // SAFETY: takes two numbers and no pointer, and there is one thread.
        let is_set = unsafe { libc::mallopt(parameter, value) } == 1;
        if !is_set {
            tracing::debug!(parameter, "the C library does not take a parameter of its heap");
        }
    }
}

/// Other C libraries have no such settings.
#[cfg(not(target_env = "gnu"))]
pub fn keep_small() {}
