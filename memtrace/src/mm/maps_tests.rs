//! The maps parser against lines as kernels print them, hostile names, random bytes and this process.

use std::time::Instant;

use proptest::prelude::*;

use super::*;

fn one(line: &str) -> Region {
    let maps = parse(line.as_bytes());
    assert_eq!((maps.regions.len(), maps.malformed), (1, 0), "{line}");
    maps.regions.into_iter().next().unwrap()
}

fn path(line: &str) -> Vec<u8> {
    let Backing::File(file) = one(line).backing else { panic!("{line} is no file") };
    file.path.clone()
}

const FRONT: &str = "7f57c2e00000-7f57c2e28000 r-xp 00001000 fe:0a 1310                       ";

#[test]
fn a_line_is_read_in_full() {
    let region = one(&format!("{FRONT}/usr/lib/libc.so.6\n"));
    let file = File { device: 0xfe << 32 | 0xa, inode: 1310, path: b"/usr/lib/libc.so.6".to_vec() };
    let expected = Region {
        offset: 0x1000,
        ..Region::new(
            0x7f57_c2e0_0000,
            0x7f57_c2e2_8000,
            Prot(Prot::READ | Prot::EXEC),
            Backing::File(Arc::new(file)),
        )
    };
    assert_eq!(region, expected);
}

#[test]
fn paths_keep_blanks_parentheses_and_deletion() {
    for name in
        ["/a b  c", "/x (y) (deleted)", "/ends in blank ", "/memfd:a b (deleted)", "/SYSV00000000 (deleted)"]
    {
        assert_eq!(path(&format!("{FRONT}{name}\n")), name.as_bytes());
    }
    assert_eq!(path(&format!("{FRONT}anon_inode:[io_uring]\n")), b"anon_inode:[io_uring]");
}

#[test]
fn newlines_in_paths_are_unescaped() {
    assert_eq!(path(&format!("{FRONT}/a\\012b\\0123\n")), b"/a\nb\n3");
    assert_eq!(path(&format!("{FRONT}/a\\01\\0\\\n")), b"/a\\01\\0\\");
}

#[test]
fn names_say_what_is_behind() {
    let line = |perms: &str, inode: u64, name: &str| {
        one(&format!("1000-3000 {perms} 00005000 00:01 {inode} {name}\n"))
    };
    for (perms, inode, name, backing) in [
        ("rw-p", 0, "", Backing::Anonymous),
        ("rw-p", 0, "[heap]", Backing::Heap),
        ("rw-p", 0, "[stack]", Backing::Stack),
        ("rw-p", 0, "[stack:77]", Backing::Anonymous),
        ("rw-s", 9, "/dev/zero (deleted)", Backing::SharedAnonymous),
        ("rw-p", 9, "/anon_hugepage (deleted)", Backing::Anonymous),
        ("rw-s", 9, "/anon_hugepage (deleted)", Backing::SharedAnonymous),
        ("r-xp", 0, "[vdso]", Backing::Special(Arc::from(&b"[vdso]"[..]))),
        ("rw-p", 0, "[anon:[x]", Backing::Anonymous),
        ("rw-s", 9, "[anon_shmem:x]", Backing::SharedAnonymous),
    ] {
        assert_eq!(line(perms, inode, name).backing, backing, "{name}");
    }
    assert_eq!(line("rw-p", 0, "[anon: glibc: malloc]").name.as_deref(), Some(&b" glibc: malloc"[..]));
    assert_eq!(line("rw-s", 7, "[anon_shmem:a b]").name.as_deref(), Some(&b"a b"[..]));
    assert!(line("rw-p", 9, "/anon_hugepage (deleted)").is_hugetlb);
    assert_eq!(line("rw-s", 9, "/dev/zero (deleted)").offset, 0x5000);
    // An open /dev/zero is a file like any other.
    assert!(matches!(line("rw-p", 9, "/dev/zero").backing, Backing::File(_)));
}

#[test]
fn the_last_addresses_are_read() {
    let region = one("ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n");
    assert_eq!((region.start, region.prot), (0xffff_ffff_ff60_0000, Prot(Prot::EXEC)));
}

#[test]
fn lines_that_are_none_are_counted_and_the_rest_is_read() {
    let bad = [
        "2000-1000 rw-p 00000000 00:00 0 ",
        "1000-1000 rw-p 00000000 00:00 0 ",
        "1000-2000 rw-q 00000000 00:00 0 ",
        "1000-2000 wr-p 00000000 00:00 0 ",
        "1000-2000 rw-p 00000000 00:00 ",
        "1000-2000 rw-p 00000000 00:00 0x",
        "1000-2000 rw-p 00000000 00:00 99999999999999999999 ",
        "11111222223333344-2000 rw-p 00000000 00:00 0 ",
        "-2000 rw-p 00000000 00:00 0 ",
        "rubbish",
    ];
    let good = "1000-2000 rw-p 00000000 00:00 0 ";
    let maps = parse(format!("{}\n{good}\n", bad.join("\n")).as_bytes());
    assert_eq!((maps.regions.len(), maps.malformed), (1, bad.len() as u64));
}

#[test]
fn mappings_of_one_file_share_its_path() {
    let other = FRONT.replace("1310", "1311");
    let maps = parse(format!("{FRONT}/a\n{other}/c\n{FRONT}/a\n{FRONT}/b\n").as_bytes());
    let files: Vec<_> = maps
        .regions
        .iter()
        .map(|region| match &region.backing {
            Backing::File(file) => Arc::as_ptr(file),
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(files[0] == files[2] && files[0] != files[1] && files[2] != files[3]);
}

#[test]
fn a_file_that_takes_too_much_memory_is_truncated_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("7")).unwrap();
    let procfs = Procfs::new(dir.path());
    let write = |text: String| std::fs::write(dir.path().join("7/maps"), text).unwrap();
    write(format!("{FRONT}/a\n{FRONT}/b\n"));
    let maps = read(&procfs, 7).unwrap();
    assert_eq!((maps.regions.len(), maps.is_truncated), (2, false));
    // The paths take the memory, not the mappings.
    let path = "d/".repeat(2000);
    write((0..5000).map(|at| format!("{FRONT}/{at}{path}\n")).collect());
    let maps = read(&procfs, 7).unwrap();
    assert!(maps.is_truncated && (4000..5000).contains(&maps.regions.len()), "{}", maps.regions.len());
    assert!(matches!(read(&procfs, 8), Err(Error::Gone)));
}

#[test]
fn a_path_longer_than_any_buffer_is_cut_and_its_mapping_kept() {
    let maps = parse(format!("{FRONT}/{}\n{FRONT}/b\n", "x".repeat(20_000)).as_bytes());
    assert_eq!((maps.regions.len(), maps.malformed), (2, 0));
}

#[test]
fn this_process_is_read_without_a_bad_line() {
    let maps = read(&Procfs::new("/proc"), std::process::id()).unwrap();
    assert_eq!((maps.malformed, maps.is_truncated), (0, false));
    let at =
        |address: u64| maps.regions.iter().find(|region| region.start <= address && address < region.end);
    let on_stack_or_heap = &maps as *const Maps as u64;
    assert!(at(on_stack_or_heap).unwrap().prot.is_writable());
    let code = at(parse as fn(&[u8]) -> Maps as usize as u64).unwrap();
    assert!(matches!(&code.backing, Backing::File(_)) && code.prot == Prot(Prot::READ | Prot::EXEC));
    assert!(maps.regions.is_sorted_by(|a, b| a.end <= b.start));
}

/// Not a test: `cargo test --release -p memtrace --lib mm::maps -- --ignored --nocapture`.
#[test]
#[ignore = "prints a speed"]
fn speed() {
    let mut text = String::new();
    for at in 0..60_000_u64 {
        let start = 0x7f00_0000_0000 + at * 0x3000;
        let tail = match at % 4 {
            0 => "fe:00 13107                      /usr/lib/x86_64-linux-gnu/libsomething.so.6.0.30",
            1 => "00:00 0                          [anon: glibc: malloc]",
            _ => "00:00 0 ",
        };
        text += &format!("{start:x}-{:x} rw-p 00000000 {tail}\n", start + 0x2000);
    }
    let begin = Instant::now();
    const ROUNDS: u32 = 20;
    for _ in 0..ROUNDS {
        assert_eq!(parse(text.as_bytes()).regions.len(), 60_000);
    }
    let took = begin.elapsed() / ROUNDS;
    println!("60,000 lines in {took:?}: {:.1} M lines/s", 0.06 / took.as_secs_f64());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        parse(&bytes);
    }

    /// Nearly valid lines: one byte of a valid file is changed.
    #[test]
    fn a_wrong_byte_costs_one_line_at_most(at in 0_usize..200, byte in any::<u8>()) {
        let mut bytes = format!("{FRONT}/a b\n{FRONT}[heap]\n{FRONT}\n").into_bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        let maps = parse(&bytes);
        prop_assert!(maps.regions.len() >= 2 - usize::from(byte == b'\n'));
        prop_assert!(maps.regions.iter().all(|region| region.start < region.end));
    }

    #[test]
    fn any_path_is_read_back(name in "/[^\\\\]{0,40}") {
        let line = format!("{FRONT}{}\n", name.replace('\n', "\\012"));
        let expected = match name.as_str() {
            "/dev/zero (deleted)" | "/anon_hugepage (deleted)" => return Ok(()),
            name => name.as_bytes(),
        };
        prop_assert_eq!(path(&line), expected);
    }
}
