//! Real processes, captured by the test `ownership` from the workloads.

use super::*;
use crate::units::Grade;

/// The contents of a fixture.
#[derive(Default)]
struct Fixture {
    modules: Vec<(u64, Module)>,
    found: Vec<Found>,
    regions: Vec<Region>,
    expected: Vec<String>,
}

fn hex(text: &str) -> u64 {
    u64::from_str_radix(text, 16).unwrap()
}

fn range(text: &str) -> (u64, u64) {
    let (start, end) = text.split_once('-').unwrap();
    (hex(start), hex(end))
}

fn read(text: &str) -> Fixture {
    let mut fixture = Fixture::default();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.first().copied() {
            Some("module") => fixture.module(&words),
            Some("found") => {
                let (start, end) = range(words[1]);
                let content = match words[2] {
                    "chunk" => Content::MmappedChunk,
                    "heap" => Content::GlibcHeap { arena: hex(words[3]) },
                    "obmalloc" => Content::ObmallocArena,
                    other => panic!("{other}"),
                };
                fixture.found.push(Found { start, end, content });
            }
            Some(place) if line.starts_with(' ') => {
                let (start, end) = range(place);
                fixture.expected.push(format!("{start:x}-{end:x} {}", line.split_once("=> ").unwrap().1));
            }
            _ => fixture.region(line),
        }
    }
    fixture
}

impl Fixture {
    fn module(&mut self, words: &[&str]) {
        let file = File { device: 0, inode: 0, path: Vec::new() };
        let (places, marks): (Vec<&str>, Vec<&str>) = words[3..].iter().partition(|word| {
            word.split_once('-')
                .is_some_and(|(start, _)| u64::from_str_radix(start, 16).is_ok_and(|at| at > 0xff))
        });
        let mark = |name: &&str| Mark::ALL.iter().find(|(_, known)| known == name).unwrap().0;
        self.modules.push((
            words[1].parse().unwrap(),
            Module {
                file: Arc::new(file),
                images: places.iter().map(|place| range(place)).map(|(start, end)| start..end).collect(),
                code: Vec::new(),
                marks: marks.iter().map(mark).fold(Marks::default(), |all, mark| all.with(mark)),
                is_read: words[2] == "read",
                names: None,
            },
        ));
    }

    fn region(&mut self, line: &str) {
        let (mapping, rest) = line.split_once(" |").unwrap();
        let (flags, owner) =
            rest.split_once(" => ").map_or((rest, None), |(flags, owner)| (flags, Some(owner)));
        let mut region = maps::parse(mapping.as_bytes()).regions.remove(0);
        let letters = flags.split_whitespace().map(|letters| match letters {
            "nr" => VmFlags::NO_RESERVE,
            "ac" => VmFlags::ACCOUNT,
            "nh" => VmFlags::NO_HUGE_PAGE,
            "hg" => VmFlags::HUGE_PAGE,
            "dc" => VmFlags::DONT_COPY,
            "dd" => VmFlags::DONT_DUMP,
            other => panic!("{other}"),
        });
        region.vm_flags = Some(VmFlags(letters.fold(0, |all, flag| all | flag)));
        if let Backing::File(file) = &region.backing
            && let Some((_, module)) = self.modules.iter_mut().find(|(inode, _)| *inode == file.inode)
        {
            module.file = Arc::clone(file);
        }
        let place = format!("{:x}-{:x}", region.start, region.end);
        self.expected.extend(owner.map(|owner| format!("{place} {owner}")));
        self.regions.push(region);
    }
}

fn check(text: &str) {
    let Fixture { modules, found, regions, expected } = read(text);
    let modules = modules.into_iter().map(|(_, module)| module).collect();
    let process = ProcessEvidence::new(modules).with_stack_limit(Some(8 << 20));
    let owned = attribute(&process.with_found(found), &regions);
    let line = |owned: &Owned| {
        let owner = &owned.owner;
        let grade: Grade = owner.grade;
        let (start, end, arena) = (owned.start, owned.end, owner.arena);
        format!("{start:x}-{end:x} {} / {} / {arena:x} / {grade}", owner.allocator, owner.kind)
    };
    for (owned, expected) in owned.iter().map(line).zip(&expected) {
        assert_eq!(owned, *expected);
    }
    assert_eq!(owned.len(), expected.len());
}

macro_rules! captured {
    ($($name:ident: $file:literal,)*) => {
        $(#[test] fn $name() { check(include_str!(concat!("../fixtures/", $file, ".maps"))); })*
    };
}

captured! {
    glibc_in_eight_threads: "c-glibc",
    static_glibc: "c-glibc-static",
    static_musl_without_symbols: "c-musl-stripped",
    preloaded_tcmalloc: "cpp-tcmalloc",
    googles_tcmalloc_without_symbols: "rust-tcmalloc-stripped",
    mapped_files: "file-mapper",
    go_1_19: "go",
    java_17: "java",
    node_20: "node",
    python_3_11: "python",
    rust_by_default: "rust-default",
    jemalloc_without_symbols: "rust-jemalloc-stripped",
    mimalloc_without_symbols: "rust-mimalloc-stripped",
    snmalloc: "rust-snmalloc",
    shared_memory: "shmem-user",
}
