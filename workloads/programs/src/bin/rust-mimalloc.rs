//! Rust with mimalloc as its global allocator.

use std::{ffi::c_void, process::ExitCode};

use programs::{Figure, Store, churn, serve_with};

/// The start of `mi_heap_area_t`.
#[repr(C)]
struct Area {
    blocks: *mut c_void,
    reserved: usize,
    committed: usize,
    used: usize,
    block_size: usize,
    full_block_size: usize,
}

type Visit = extern "C" fn(*const c_void, *const Area, *mut c_void, usize, *mut c_void) -> bool;

unsafe extern "C" {
    /// The heap of the main thread, which is the only one: version 3 calls it otherwise.
    #[cfg_attr(feature = "mimalloc-v2", link_name = "mi_heap_get_default")]
    fn mi_heap_main() -> *mut c_void;
    fn mi_heap_visit_blocks(heap: *mut c_void, all: bool, visit: Visit, sum: *mut c_void) -> bool;
    fn mi_usable_size(block: *const c_void) -> usize;
}

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let mut store = Store::default();
    serve_with(|name, value| store.work(name, value), &FIGURES)
}

const FIGURES: [Figure; 3] = [
    ("allocated", |_| Some(allocated())),
    ("churn", |mib| churn::start(mib, held)),
    ("rest", |_| churn::rest()),
];

fn held(block: *mut u8) -> usize {
    // SAFETY: churning passes blocks that are its own.
    unsafe { mi_usable_size(block.cast()) }
}

/// Blocks of this thread, by their sizes.
fn allocated() -> u64 {
    let mut sum = 0_u64;
    // SAFETY: `add` gets `sum` back as it was given.
    unsafe {
        mi_heap_visit_blocks(mi_heap_main(), false, add, (&raw mut sum).cast());
    }
    sum
}

extern "C" fn add(_: *const c_void, area: *const Area, _: *mut c_void, _: usize, sum: *mut c_void) -> bool {
    // SAFETY: mimalloc passes an area, and the sum that it was given.
    unsafe {
        *sum.cast::<u64>() += (*area).used as u64 * (*area).full_block_size as u64;
    }
    true
}
