//! Memory traced since its call: the call and its caller show the owner.

use super::*;
use crate::units::Grade;

const LIBC: u64 = 0x7f80_0000_0000;
const APP: u64 = 0x5500_0000_0000;
const OTHER: u64 = 0x7f90_0000_0000;
const AT: u64 = 0x7f00_0000_0000;
const STACK: u32 = 0x2_0022;
const NORESERVE: u32 = 0x4022;
const PLAIN: u32 = 0x22;

/// A region as its call made it, except for the protection.
fn born(start: u64, len: u64, prot: Prot, call: (u64, Prot, u32), caller: u64) -> Region {
    let (call_len, call_prot, flags) = call;
    let born = Born { addr: start, len: call_len, prot: call_prot, flags, caller };
    Region { born: Some(born), ..Region::new(start, start + len, prot, Backing::Anonymous) }
}

fn process(app: &[Mark]) -> ProcessEvidence {
    let libc = module("/libc.so.6", LIBC, &[Mark::Glibc, Mark::DefinesMalloc]);
    ProcessEvidence::new(vec![module("/app", APP, app), libc, module("/other.so", OTHER, &[])])
}

fn check(app: &[Mark], regions: &[Region], expected: &[(&str, Grade)]) {
    let owned = attribute(&process(app), regions);
    let found: Vec<_> = names(&owned).into_iter().zip(owned.iter().map(|owned| owned.owner.grade)).collect();
    let expected: Vec<_> = expected.iter().map(|(name, grade)| ((*name).to_owned(), *grade)).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_chunk_is_libcs_when_libc_mapped_it() {
    let call = (MIB, RW, PLAIN);
    check(&[], &[born(AT, MIB, RW, call, LIBC)], &[("glibc mmapped chunk", Grade::Read)]);
    check(&[], &[born(AT, MIB, RW, call, OTHER)], &[("unattributed anonymous", Grade::Inferred)]);
    // The recorded caller word can be arbitrary.
    check(&[], &[born(AT, MIB, RW, call, 12)], &[("glibc mmapped chunk", Grade::Inferred)]);
}

#[test]
fn what_nobody_recognises_names_the_module_that_mapped_it() {
    let owned = attribute(&process(&[]), &[born(AT, MIB, RW, (MIB, RW, PLAIN), OTHER)]);
    assert_eq!(owned[0].owner.file.as_ref().unwrap().path, b"/other.so");
    assert_eq!(owned[0].owner.arena, OTHER);
}

#[test]
fn a_heap_is_certain_when_its_request_was_seen() {
    let call = (128 * MIB, Prot::NONE, NORESERVE);
    let heap = [born(AT, MIB, RW, call, LIBC), born(AT + MIB, 63 * MIB, Prot::NONE, call, LIBC)];
    check(&[], &heap, &[("glibc thread arena", Grade::Read), ("glibc arena reserve", Grade::Read)]);
}

#[test]
fn a_heap_that_is_full_has_no_reserve() {
    let full = born(AT, 64 * MIB, RW, (64 * MIB, Prot::NONE, PLAIN), LIBC);
    check(&[], &[full], &[("glibc thread arena", Grade::Read)]);
}

#[test]
fn a_stack_and_its_guard_are_one_call() {
    let call = (8 * MIB + 4096, Prot::NONE, STACK);
    let stack = [born(AT, 4096, Prot::NONE, call, LIBC), born(AT + 4096, 8 * MIB, RW, call, LIBC)];
    check(&[], &stack, &[("stack guard", Grade::Read), ("stack thread stack", Grade::Read)]);
}

#[test]
fn jemalloc_and_glibc_in_one_process_stay_apart() {
    let extent = born(AT, 2 * MIB, RW, (2 * MIB, RW, NORESERVE), APP);
    let chunk = born(AT + 2 * MIB, MIB, RW, (MIB, RW, PLAIN), LIBC);
    let expected = [("jemalloc extents", Grade::Read), ("glibc mmapped chunk", Grade::Read)];
    check(&[Mark::Jemalloc], &[extent, chunk], &expected);
}

#[test]
fn mimalloc_is_known_by_its_caller_at_any_address() {
    let arena = born(AT, 1 << 30, RW, (1 << 30, RW, NORESERVE), APP);
    let meta = born(AT + (1 << 30), MIB, RW, (MIB, RW, NORESERVE), APP);
    let expected = [("mimalloc arena", Grade::Read), ("mimalloc metadata", Grade::Read)];
    check(&[Mark::Mimalloc], &[arena, meta], &expected);
}

#[test]
fn pythons_arenas_and_chunks_stay_apart() {
    let arena = born(AT, MIB, RW, (MIB, RW, PLAIN), APP);
    let chunk = born(AT + MIB, MIB, RW, (MIB, RW, PLAIN), LIBC);
    let expected = [("cpython obmalloc arena", Grade::Read), ("glibc mmapped chunk", Grade::Read)];
    check(&[Mark::Cpython], &[arena, chunk], &expected);
}

#[test]
fn a_direct_buffer_beside_a_java_heap_is_libcs() {
    let call = (256 * MIB, Prot::NONE, NORESERVE);
    let heap = [
        born(AT, 16 * MIB, RW, (16 * MIB, RW, 0x32), APP),
        born(AT + 16 * MIB, 240 * MIB, Prot::NONE, call, APP),
        born(AT + 256 * MIB, 16 * MIB + 4096, RW, (16 * MIB + 4096, RW, PLAIN), LIBC),
    ];
    let expected = [
        ("jvm java heap", Grade::Read),
        ("jvm java heap", Grade::Read),
        ("glibc mmapped chunk", Grade::Read),
    ];
    check(&[Mark::Hotspot], &heap, &expected);
}

#[test]
fn v8_is_known_without_smaps() {
    let call = (520_192, Prot::NONE, NORESERVE);
    check(&[Mark::V8], &[born(AT, 256 << 10, RW, call, APP)], &[("v8 page", Grade::Read)]);
}

#[test]
fn go_with_libc_keeps_its_metadata_apart_from_chunks() {
    let meta = born(AT, 256 << 10, RW, (256 << 10, RW, PLAIN), APP);
    let chunk = born(AT + MIB, 256 << 10, RW, (256 << 10, RW, PLAIN), LIBC);
    let expected = [("go runtime metadata", Grade::Read), ("glibc mmapped chunk", Grade::Read)];
    check(&[Mark::Go], &[meta, chunk], &expected);
}
