//! Rust with its default allocator, and a thread with memory of its own.

use std::{process::ExitCode, sync::mpsc, thread};

use programs::{Store, serve};

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
    serve(|name, value| {
        // `thread grow 8`, in one word: `thread-grow 8`.
        if let Some(name) = name.strip_prefix("thread-") {
            to_thread.send((name.to_owned(), value)).ok();
            return Ok(answers.recv().unwrap_or(false));
        }
        store.work(name, value)
    })
}
