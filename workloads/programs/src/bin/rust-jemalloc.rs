//! Rust with jemalloc as its global allocator.

use std::{ffi::CStr, process::ExitCode, ptr};

use programs::{Figure, Store, churn, serve_with};

unsafe extern "C" {
    /// `mallctl`, under the prefix of the crate.
    fn _rjem_mallctl(
        name: *const libc::c_char,
        old: *mut libc::c_void,
        old_len: *mut usize,
        new: *mut libc::c_void,
        new_len: usize,
    ) -> libc::c_int;
    fn _rjem_malloc_usable_size(block: *mut libc::c_void) -> usize;
}

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let mut store = Store::default();
    serve_with(|name, value| store.work(name, value), &FIGURES)
}

/// Pages by state, of all arenas (4096 stands for them), which jemalloc counts in builds without statistics too; and
/// blocks, which it does not.
const FIGURES: [Figure; 6] = [
    ("active", |_| Some(read(c"stats.arenas.4096.pactive")? * 4096)),
    ("dirty", |_| Some(read(c"stats.arenas.4096.pdirty")? * 4096)),
    ("muzzy", |_| Some(read(c"stats.arenas.4096.pmuzzy")? * 4096)),
    ("allocated", |_| read(c"stats.allocated")),
    ("churn", |mib| churn::start(mib, held)),
    ("rest", |_| churn::rest()),
];

fn held(block: *mut u8) -> usize {
    // SAFETY: churning passes blocks that are its own.
    unsafe { _rjem_malloc_usable_size(block.cast()) }
}

fn read(name: &CStr) -> Option<u64> {
    let mut epoch = 1_u64;
    // SAFETY: an epoch is a u64.
    unsafe {
        _rjem_mallctl(c"epoch".as_ptr(), ptr::null_mut(), ptr::null_mut(), (&raw mut epoch).cast(), 8);
    }
    let (mut value, mut len) = (0_usize, size_of::<usize>());
    // SAFETY: these figures are of type size_t.
    let status =
        unsafe { _rjem_mallctl(name.as_ptr(), (&raw mut value).cast(), &raw mut len, ptr::null_mut(), 0) };
    (status == 0).then_some(value as u64)
}
