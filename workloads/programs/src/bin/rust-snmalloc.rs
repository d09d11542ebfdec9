//! Rust with snmalloc as its global allocator.

use std::process::ExitCode;

use programs::{Store, serve};

#[global_allocator]
static ALLOCATOR: snmalloc_rs::SnMalloc = snmalloc_rs::SnMalloc;

fn main() -> ExitCode {
    let mut store = Store::default();
    serve(|name, value| store.work(name, value))
}
