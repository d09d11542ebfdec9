//! Rust with its default allocator, and a thread with memory of its own.

use std::{process::ExitCode, sync::mpsc, thread};

use programs::{Figure, Store, churn, serve_with};

fn main() -> ExitCode {
    let (to_thread, commands) = mpsc::channel::<(String, usize)>();
    let (to_main, answers) = mpsc::channel();
    thread::spawn(move || {
        let mut store = Store::default();
        while let Ok((name, value)) = commands.recv() {
            to_main.send(store.work(&name, value).is_ok()).ok();
        }
    });
    let mut store = Store::default();
    let work = |name: &str, value| {
        // `thread grow 8`, in one word: `thread-grow 8`.
        if let Some(name) = name.strip_prefix("thread-") {
            to_thread.send((name.to_owned(), value)).ok();
            return Ok(answers.recv().unwrap_or(false));
        }
        store.work(name, value)
    };
    serve_with(work, &FIGURES)
}

const FIGURES: [Figure; 3] = [
    ("in-use", |_| Some(in_use())),
    ("churn", |mib| churn::start(mib, held)),
    ("rest", |_| churn::rest()),
];

/// All that malloc has in use, thread caches included.
fn in_use() -> u64 {
    // SAFETY: it takes nothing and answers with numbers.
    let info = unsafe { libc::mallinfo2() };
    (info.uordblks + info.hblkhd) as u64
}

/// A block and its head.
fn held(block: *mut u8) -> usize {
    // SAFETY: churning passes blocks that are its own.
    unsafe { libc::malloc_usable_size(block.cast()) + size_of::<usize>() }
}
