//! The smaps parser against files of several kernels, random bytes and this process.

use proptest::prelude::*;

use super::*;
use crate::mm::region::Backing;

/// Kernel 6.18.
const NEW: &str = "\
7f1200000000-7f1200200000 rw-p 00000000 00:00 0 
Size:               2048 kB
KernelPageSize:        4 kB
MMUPageSize:           4 kB
Rss:                1024 kB
Pss:                 700 kB
Pss_Dirty:           600 kB
Shared_Clean:          4 kB
Shared_Dirty:        640 kB
Private_Clean:         8 kB
Private_Dirty:       372 kB
Referenced:         1024 kB
Anonymous:          1020 kB
KSM:                   0 kB
LazyFree:             16 kB
AnonHugePages:      2048 kB
ShmemPmdMapped:        0 kB
FilePmdMapped:         0 kB
Shared_Hugetlb:        0 kB
Private_Hugetlb:       0 kB
Swap:                 20 kB
SwapPss:              12 kB
Locked:                4 kB
THPeligible:           1
VmFlags: rd wr mr mw me ac nr hg dc xx 
7f1300000000-7f1300400000 rw-s 00000000 00:0f 33                         /anon_hugepage (deleted)
Rss:                   0 kB
Shared_Hugetlb:     2048 kB
Private_Hugetlb:    4096 kB
VmFlags: rd wr sh mr mw me ms de ht 
";

/// Kernel 3.10: no Pss_Dirty, no LazyFree, no SwapPss, and flags end without a blank.
const OLD: &str = "\
00400000-0040b000 r-xp 00000000 fd:00 1234                               /bin/a b (deleted)
Size:                 44 kB
Rss:                  40 kB
Pss:                  40 kB
Swap:                  0 kB
";

#[test]
fn every_field_that_is_there_is_read() {
    let smaps = parse(NEW.as_bytes());
    assert_eq!((smaps.mappings.len(), smaps.malformed), (2, 0));
    let kib = |kib| Some(Bytes::from_kib(kib));
    let expected = Usage {
        rss: kib(1024),
        pss: kib(700),
        shared_clean: kib(4),
        shared_dirty: kib(640),
        private_clean: kib(8),
        private_dirty: kib(372),
        anonymous: kib(1020),
        lazy_free: kib(16),
        anon_huge: kib(2048),
        swap: kib(20),
        swap_pss: kib(12),
        locked: kib(4),
        hugetlb: kib(0),
        pss_anon: None,
        pss_file: None,
        pss_shmem: None,
    };
    assert_eq!(smaps.mappings[0].usage, expected);
    let flags = VmFlags::ACCOUNT | VmFlags::NO_RESERVE | VmFlags::HUGE_PAGE | VmFlags::DONT_COPY;
    assert_eq!(smaps.mappings[0].region.vm_flags, Some(VmFlags(flags)));
}

#[test]
fn hugetlb_is_apart_from_what_is_resident() {
    let huge = &parse(NEW.as_bytes()).mappings[1];
    assert_eq!((huge.usage.rss, huge.usage.hugetlb), (Some(Bytes(0)), Some(Bytes::from_kib(6144))));
    assert!(huge.region.is_hugetlb && huge.region.backing == Backing::SharedAnonymous);
}

#[test]
fn what_an_old_kernel_does_not_print_is_unknown() {
    let mapping = &parse(OLD.as_bytes()).mappings[0];
    assert_eq!(mapping.usage.rss, Some(Bytes::from_kib(40)));
    assert_eq!((mapping.usage.lazy_free, mapping.usage.hugetlb), (None, None));
    assert_eq!(mapping.region.vm_flags, None);
}

#[test]
fn fields_of_nobody_and_bad_values_are_counted() {
    let smaps =
        parse(b"Rss: 4 kB\n1000-2000 rw-p 0 00:00 0 \nRss: x kB\nPss:\nSwap 3\nbad-line\nRss: 8 kB\n");
    assert_eq!((smaps.mappings.len(), smaps.malformed), (1, 6));
    assert_eq!(smaps.mappings[0].usage, Usage::default());
}

#[test]
fn this_process_adds_up_to_its_rollup() {
    let procfs = Procfs::new("/proc");
    let own = std::process::id();
    let smaps = read(&procfs, own).unwrap();
    assert_eq!((smaps.malformed, smaps.is_truncated), (0, false));
    assert!(smaps.mappings.iter().all(|mapping| mapping.region.vm_flags.is_some()));
    let sum: u64 = smaps.mappings.iter().map(|mapping| mapping.usage.rss.unwrap().0).sum();
    let rollup = read_rollup(&procfs, own).unwrap();
    // Other tests run in the same process and change its memory.
    assert!(sum.abs_diff(rollup.rss.unwrap().0) < 64 << 20, "{sum} {rollup:?}");
    assert!(rollup.pss.is_some());
    assert!(matches!(read(&procfs, u32::MAX), Err(Error::Gone)));
}

/// Not a test: `cargo test --release -p memtrace --lib mm::smaps -- --ignored --nocapture`.
#[test]
#[ignore = "prints a speed"]
fn speed() {
    let text = NEW.repeat(10_000);
    let begin = std::time::Instant::now();
    assert_eq!(parse(text.as_bytes()).mappings.len(), 20_000);
    let took = begin.elapsed();
    println!("20,000 mappings, {} lines in {took:?}", text.lines().count());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        parse(&bytes);
    }

    #[test]
    fn any_wrong_bytes_are_read_without_panic(
        wrong in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let mut bytes = NEW.as_bytes().to_vec();
        for (at, byte) in wrong {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        parse(&bytes);
    }
}
