//! Rust with mimalloc as its global allocator.

use std::process::ExitCode;

use programs::{Store, serve};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let mut store = Store::default();
    serve(|name, value| store.work(name, value))
}
