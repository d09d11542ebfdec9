//! Two threads that allocate and free as fast as they can, with about so much live.
//!
//! A size and what a block takes in the allocator's books -> the address of two words a thread, which whoever reads this
//! process from outside finds there: bytes of its live blocks, and blocks so far.

use std::{
    alloc::{Layout, alloc, dealloc, handle_alloc_error},
    mem, ptr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
};

use crate::MIB;

/// The mean of 32 to 2079.
const MEAN: usize = 1056;

/// Bytes that a block takes.
pub type Held = fn(*mut u8) -> usize;

static WORDS: [[AtomicU64; 2]; 2] = [const { [const { AtomicU64::new(0) }; 2] }; 2];
static GOES_ON: AtomicBool = AtomicBool::new(false);
static THREADS: Mutex<Vec<JoinHandle<()>>> = Mutex::new(Vec::new());

/// Begins; the address of the words.
pub fn start(mib: usize, held: Held) -> Option<u64> {
    GOES_ON.store(true, Relaxed);
    let mut threads = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
    threads.extend((0..WORDS.len()).map(|at| thread::spawn(move || churn(at, mib, held))));
    Some(WORDS.as_ptr().addr() as u64)
}

/// Ends it, all blocks freed.
pub fn rest() -> Option<u64> {
    GOES_ON.store(false, Relaxed);
    let threads = mem::take(&mut *THREADS.lock().unwrap_or_else(PoisonError::into_inner));
    threads.into_iter().for_each(|thread| drop(thread.join()));
    Some(0)
}

fn churn(at: usize, mib: usize, held: Held) {
    let [live, done] = &WORDS[at];
    let count = mib * MIB / WORDS.len() / MEAN;
    let mut slots: Vec<(*mut u8, Layout)> = vec![(ptr::null_mut(), Layout::new::<u8>()); count];
    live.store(held(slots.as_mut_ptr().cast()) as u64, Relaxed);
    let mut random = at as u64 + 1;
    let mut next = move |below: usize| {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (random >> 33) as usize % below
    };
    while GOES_ON.load(Relaxed) {
        let (block, layout) = &mut slots[next(count)];
        free(*block, *layout, live, held);
        let Ok(size) = Layout::from_size_align(32 + next(2048), 8) else { continue };
        // SAFETY: it is not of size 0.
        *block = unsafe { alloc(size) };
        if block.is_null() {
            handle_alloc_error(size);
        }
        // SAFETY: all of it is ours.
        unsafe { block.write_bytes(0x5a, size.size().min(64)) };
        *layout = size;
        live.fetch_add(held(*block) as u64, Relaxed);
        done.fetch_add(1, Relaxed);
    }
    slots.iter().for_each(|(block, layout)| free(*block, *layout, live, held));
    live.store(0, Relaxed);
}

fn free(block: *mut u8, layout: Layout, live: &AtomicU64, held: Held) {
    if !block.is_null() {
        live.fetch_sub(held(block) as u64, Relaxed);
        // SAFETY: it was allocated with this layout.
        unsafe { dealloc(block, layout) };
    }
}
