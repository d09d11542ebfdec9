//! Programs with an allocator of their own choice.

use super::{
    census::Census,
    fixture,
    workload::{Workload, folder, program},
};

const DRIVE: [&str; 3] = ["grow 96", "free 60", "grow 32"];

fn check(name: &str, more: &[&str], expected: &[(&str, &str, u64)]) {
    let workload = Workload::driven(program(name), &[&DRIVE, more].concat());
    let census = Census::take(workload.pid());
    census.assert(name, expected);
    fixture::write(name, &census);
}

#[test]
fn glibc_in_eight_threads() {
    let more = ["main 8", "big 64"];
    let expected = [
        ("glibc", "thread arena", 60),
        ("glibc", "main heap", 6),
        ("glibc", "mmapped chunk", 64),
        ("stack", "thread stack", 0),
    ];
    check("c-glibc", &more, &expected);
    check("c-glibc-static", &more, &expected);
}

#[test]
fn thread_stacks_are_found_without_the_flag_of_newer_kernels() {
    let workload = Workload::driven(program("c-glibc"), &DRIVE);
    let census = Census::without_stack_flags(workload.pid());
    census.assert("c-glibc without nh", &[("glibc", "thread arena", 60)]);
    let stacks = census.owned.iter().filter(|owned| owned.owner.kind == "thread stack");
    assert_eq!(stacks.map(|stack| stack.len()).collect::<Vec<_>>(), [8 << 20; 8]);
}

#[test]
fn rust_by_default_is_glibc() {
    let expected = [("glibc", "main heap", 60), ("glibc", "thread arena", 10), ("glibc", "mmapped chunk", 8)];
    check("rust-default", &["thread-grow 16"], &expected);
}

#[test]
fn rust_with_jemalloc() {
    check("rust-jemalloc", &[], &[("jemalloc", "extents", 64)]);
    check("rust-jemalloc-stripped", &[], &[("jemalloc", "extents", 64)]);
}

#[test]
fn rust_with_mimalloc() {
    check("rust-mimalloc", &[], &[("mimalloc", "arena", 64)]);
    check("rust-mimalloc-stripped", &[], &[("mimalloc", "arena", 64)]);
}

#[test]
fn rust_with_snmalloc() {
    check("rust-snmalloc", &[], &[("snmalloc", "heap", 64)]);
}

#[test]
fn cpp_with_glibc() {
    check("cpp", &[], &[("glibc", "main heap", 32)]);
}

#[test]
fn cpp_with_tcmalloc_preloaded() {
    let mut command = program("cpp");
    command.env("LD_PRELOAD", folder().join("libtcmalloc_minimal.so.4"));
    let workload = Workload::driven(command, &DRIVE);
    let census = Census::take(workload.pid());
    census.assert("cpp-tcmalloc", &[("tcmalloc", "page heap", 64)]);
    fixture::write("cpp-tcmalloc", &census);
}

#[test]
fn static_musl() {
    check("c-musl", &[], &[("musl", "group", 64)]);
    check("c-musl-stripped", &[], &[("musl", "group", 64)]);
}
