//! Rust with jemalloc as its global allocator.

use std::process::ExitCode;

use programs::{Store, serve};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let mut store = Store::default();
    serve(|name, value| store.work(name, value))
}
