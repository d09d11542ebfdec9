//! Memory older than the tracer, recognised by shape and flags alone. These cases do not occur in the workloads.

use super::*;

const NR: u16 = VmFlags::NO_RESERVE;
const AC: u16 = VmFlags::ACCOUNT;
const APP: u64 = 0x5500_0000_0000;
const AT: u64 = 0x7f00_0000_0000;

fn check(marks: &[Mark], regions: &[Region], expected: &[&str]) {
    let process = ProcessEvidence::new(vec![module("/app", APP, marks)]).with_stack_limit(Some(8 << 20));
    assert_eq!(names(&attribute(&process, regions)), expected);
}

fn check_has_no(marks: &[Mark], regions: &[Region], name: &str) {
    let process = ProcessEvidence::new(vec![module("/app", APP, marks)]).with_stack_limit(Some(8 << 20));
    assert!(!names(&attribute(&process, regions)).iter().any(|owned| owned == name), "{name}");
}

/// glibc 2.37 and later reserve heaps without MAP_NORESERVE, so they merge with chunks below.
#[test]
fn a_heap_that_merged_with_a_chunk_is_cut_at_its_multiple() {
    let regions = [plain(AT - MIB, 2 * MIB, RW, AC), plain(AT + MIB, 63 * MIB, Prot::NONE, 0)];
    let expected = ["glibc mmapped chunk", "glibc thread arena", "glibc arena reserve"];
    check(&[Mark::Glibc], &regions, &expected);
}

/// A full heap of a thread arena below another one: the kernel has merged both, and only the first one's header tells.
#[test]
fn a_full_heap_that_merged_with_the_next_is_told_by_its_header() {
    let regions = [plain(AT, 76 * MIB, RW, AC), plain(AT + 76 * MIB, 52 * MIB, Prot::NONE, 0)];
    let found = Found { start: AT, end: AT + 64 * MIB, content: Content::GlibcHeap { arena: AT + 48 } };
    let process = ProcessEvidence::new(vec![module("/app", APP, &[Mark::Glibc])]).with_found(vec![found]);
    let owned = attribute(&process, &regions);
    let arenas = |owned: &[Owned]| -> u64 {
        owned.iter().filter(|of| of.owner.kind == "thread arena").map(Owned::len).sum()
    };
    assert_eq!(arenas(&owned), 76 * MIB, "{owned:?}");
    // Where the headers were not read, it is the flag that chunks do not have.
    let process = ProcessEvidence::new(vec![module("/app", APP, &[Mark::Glibc])]);
    assert_eq!(arenas(&attribute(&process, &regions)), 12 * MIB);
    let regions = regions.map(|region| Region { vm_flags: Some(VmFlags(NR)), ..region });
    assert_eq!(arenas(&attribute(&process, &regions)), 76 * MIB);
}

#[test]
fn sixty_four_mib_of_plain_memory_are_no_heap() {
    check(&[Mark::Glibc], &[plain(AT, 64 * MIB, RW, AC)], &["glibc mmapped chunk"]);
}

/// Since Go 1.26 the heap is at a random multiple of 64 MiB.
#[test]
fn a_go_heap_at_a_random_address() {
    let at = 0x398d_2000_0000;
    let regions = [plain(at, 8 * MIB, RW, AC), plain(at + 8 * MIB, 56 * MIB, Prot::NONE, 0)];
    check(&[Mark::Go], &regions, &["go heap", "go heap reserve"]);
    check(&[Mark::Go, Mark::Glibc], &regions, &["go heap", "go heap reserve"]);
}

/// With cgo, libc's heaps look like Go's, but at other addresses.
#[test]
fn a_libc_heap_in_a_go_process() {
    let regions = [plain(AT, MIB, RW, AC), plain(AT + MIB, 63 * MIB, Prot::NONE, 0)];
    check(&[Mark::Go, Mark::Glibc], &regions, &["glibc thread arena", "glibc arena reserve"]);
}

#[test]
fn the_tag_in_an_address_of_googles_tcmalloc() {
    let normal = 0x5200_0000_0000 & !(7 << 42) | 4 << 42;
    let cold = 0x5200_0000_0000 & !(7 << 42) | 2 << 42;
    let regions = [
        plain(cold, 2 * MIB, RW, AC),
        plain(normal, 64 * MIB, RW, AC),
        plain(normal + 64 * MIB, 960 * MIB, Prot::NONE, 0),
    ];
    let expected = ["tcmalloc cold region", "tcmalloc normal region", "tcmalloc normal region"];
    check(&[Mark::GoogleTcmalloc], &regions, &expected);
}

#[test]
fn the_range_of_dotnet() {
    let dd = VmFlags::DONT_DUMP;
    let regions = [
        plain(AT, 4 * MIB, RW, AC),
        plain(AT + 4 * MIB, 256 << 30, Prot::NONE, dd),
        plain(AT + (300 << 30), MIB, RW, AC),
    ];
    check(
        &[Mark::Dotnet, Mark::Glibc],
        &regions,
        &["dotnet gc heap", "dotnet gc reserve", "glibc mmapped chunk"],
    );
}

#[test]
fn a_java_heap_above_32_gib() {
    let regions = [plain(AT, 64 * MIB, RW, AC), plain(AT + 64 * MIB, 40 << 30, Prot::NONE, NR)];
    check(&[Mark::Hotspot, Mark::Glibc], &regions, &["jvm java heap", "jvm java heap"]);
}

#[test]
fn a_stack_on_an_old_kernel_is_cut_from_what_merged_with_it() {
    let regions = [plain(AT, 4096, Prot::NONE, 0), plain(AT + 4096, 9 * MIB, RW, AC)];
    check(&[Mark::Glibc], &regions, &["stack guard", "stack thread stack", "glibc mmapped chunk"]);
}

/// What jemalloc leaves of its extents where it may not overcommit, between the stacks of two threads.
fn committed_extents(stack_flags: u16) -> Vec<Region> {
    let page = 4096;
    let parts = [
        (page, Prot::NONE, 0),
        (8 * MIB, RW, AC | stack_flags),
        (5 * page, RW, AC),
        (page, Prot::NONE, 0),
        (3 * MIB, RW, AC),
        (page, Prot::NONE, 0),
        (8 * MIB, RW, AC | stack_flags),
    ];
    let mut at = AT;
    parts
        .map(|(len, prot, flags)| {
            at += len;
            plain(at - len, len, prot, flags)
        })
        .to_vec()
}

#[test]
fn extents_of_a_jemalloc_that_may_not_overcommit() {
    for stack_flags in [VmFlags::NO_HUGE_PAGE, 0] {
        let expected = [
            "stack guard",
            "stack thread stack",
            "jemalloc extents",
            "jemalloc extents",
            "jemalloc extents",
            "stack guard",
            "stack thread stack",
        ];
        check(&[Mark::Jemalloc, Mark::DefinesMalloc], &committed_extents(stack_flags), &expected);
    }
}

/// Beside a jemalloc that overcommits, or that is not malloc, such memory is not its own.
#[test]
fn committed_memory_beside_a_jemalloc_that_overcommits() {
    let mut regions = committed_extents(VmFlags::NO_HUGE_PAGE);
    check_has_no(&[Mark::Jemalloc], &regions, "jemalloc extents");
    regions.push(plain(AT + 64 * MIB, 2 * MIB, RW, NR));
    let owned = attribute(
        &ProcessEvidence::new(vec![module("/app", APP, &[Mark::Jemalloc, Mark::DefinesMalloc])]),
        &regions,
    );
    let ours: Vec<u64> =
        owned.iter().filter(|owned| owned.owner.allocator == "jemalloc").map(|o| o.start).collect();
    assert_eq!(ours, [AT + 64 * MIB]);
}

#[test]
fn names_are_believed() {
    let named = |name: &str| Region { name: Some(Arc::from(name.as_bytes())), ..plain(AT, MIB, RW, AC) };
    for (name, expected) in [
        ("mimalloc", "mimalloc arena"),
        (" Go: heap", "go heap"),
        (" Go: gc bits", "go runtime metadata"),
        (" glibc: malloc", "glibc mmapped chunk"),
        (" glibc: malloc arena", "glibc thread arena"),
        (" glibc: pthread stack: 42", "stack thread stack"),
        ("tcmalloc_region_NORMAL_P1", "tcmalloc normal region"),
        ("snmalloc", "snmalloc heap"),
        ("something else", "unattributed anonymous"),
    ] {
        check(&[], &[named(name)], &[expected]);
    }
}

#[test]
fn data_behind_a_module_that_could_not_be_read_is_its_bss() {
    let mut unread = module("/app", APP, &[]);
    unread.is_read = false;
    let data = Region::new(APP + MIB - 4096, APP + MIB, RW, Backing::File(Arc::clone(&unread.file)));
    let regions = [data, plain(APP + MIB, 8192, RW, AC)];
    let owned = attribute(&ProcessEvidence::new(vec![unread]), &regions);
    assert_eq!(names(&owned), ["module data", "module bss"]);
}

/// A static musl binary without symbols is recognised only by the page below its metadata.
#[test]
fn musl_without_a_trace_in_the_file() {
    let heap = |start, end, prot| Region::new(start, end, prot, Backing::Heap);
    let regions = [
        heap(0x1000_0000, 0x1000_1000, Prot::NONE),
        heap(0x1000_1000, 0x1000_3000, RW),
        plain(AT, 0x3000, RW, AC),
    ];
    check(&[], &regions, &["musl metadata", "musl metadata", "musl group"]);
}
