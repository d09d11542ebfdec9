//! Which allocators and runtimes are in a program file.
//!
//! Input: an open file and its name. Output: [`Program`]. By exported symbols, then by names of its own symbols, then
//! by strings that stripping leaves; each up to a limit.

use std::{
    fs::File,
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Mark, Marks, elf::Elf, hotspot::Names, scan::Scanner};

/// As much of the names of symbols and of constants is looked at.
const MOST_NAMES: u64 = 64 << 20;
const MOST_CONSTANTS: u64 = 32 << 20;
/// Longer is not spent on one file.
const TIME: Duration = Duration::from_millis(500);

/// Exported under this very name.
const EXPORTS: [(&[u8], Mark); 16] = [
    (b"malloc", Mark::DefinesMalloc),
    (b"gnu_get_libc_version", Mark::Glibc),
    (b"_dl_mcount", Mark::Loader),
    (b"__libc_malloc_impl", Mark::Musl),
    (b"mallctl", Mark::Jemalloc),
    (b"je_mallctl", Mark::Jemalloc),
    (b"mi_version", Mark::Mimalloc),
    (b"TCMalloc_SystemTaken", Mark::Gperftools),
    (b"tc_malloc", Mark::Gperftools),
    (b"runtime.mheap_", Mark::Go),
    (b"gHotSpotVMStructs", Mark::Hotspot),
    (b"v8dbg_SmiTag", Mark::V8),
    (b"_PyRuntime", Mark::Cpython),
    (b"PyObject_Malloc", Mark::Cpython),
    (b"coreclr_initialize", Mark::Dotnet),
    (b"DotNetRuntimeInfo", Mark::Dotnet),
];

/// Exported under a name that begins like this.
const EXPORT_PREFIXES: [(&[u8], Mark); 3] = [
    (b"MallocExtension_Internal_", Mark::GoogleTcmalloc),
    (b"v8dbg_", Mark::V8),
    (b"_ZN2v87Isolate", Mark::V8),
];

/// Part of the names of its own symbols.
const NAMES: [(&[u8], Mark); 9] = [
    (b"\0main_arena\0", Mark::Glibc),
    (b"__malloc_context", Mark::Musl),
    (b"__libc_malloc_impl", Mark::Musl),
    (b"je_arenas\0", Mark::Jemalloc),
    (b"_mi_prim_alloc\0", Mark::Mimalloc),
    (b"MallocExtension_Internal_", Mark::GoogleTcmalloc),
    (b"tcmalloc_internal", Mark::GoogleTcmalloc),
    (b"N8snmalloc", Mark::Snmalloc),
    (b"_ZN2v88internal4Heap", Mark::V8),
];

/// Strings of its own messages.
const CONSTANTS: [(&[u8], Mark); 7] = [
    (b"malloc(): corrupted top size", Mark::Glibc),
    (b"musl libc (", Mark::Musl),
    (b"<jemalloc>: ", Mark::Jemalloc),
    (b"mimalloc: error: ", Mark::Mimalloc),
    (b"Failed to initialise snmalloc", Mark::Snmalloc),
    (b"tcmalloc_region_", Mark::GoogleTcmalloc),
    (b"MallocExtension::", Mark::GoogleTcmalloc),
];

/// Sections that only one compiler or library makes.
const SECTIONS: [(&[u8], Mark); 4] = [
    (b".go.buildinfo", Mark::Go),
    (b".note.go.buildid", Mark::Go),
    (b".gopclntab", Mark::Go),
    (b"google_malloc", Mark::GoogleTcmalloc),
];

/// What a file says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Addresses of what is loaded, first to last, before relocation.
    pub loaded: Range<u64>,
    /// What is in it.
    pub marks: Marks,
    /// Names of HotSpot's fields.
    pub names: Option<Arc<Names>>,
}

/// Looks at a file; `None` when it is no program or library.
pub fn inspect(file: &File, name: &[u8]) -> Option<Program> {
    let elf = Elf::read(file)?;
    let deadline = Instant::now() + TIME;
    let mut marks = by_name(name);
    for (section, mark) in SECTIONS {
        if elf.section(section).is_some() {
            marks = marks.with(mark);
        }
    }
    elf.exports(|symbol, _| {
        let exact = EXPORTS.iter().find(|(known, _)| *known == symbol);
        let known = exact.or_else(|| EXPORT_PREFIXES.iter().find(|(prefix, _)| symbol.starts_with(prefix)));
        if let Some((_, mark)) = known {
            marks = marks.with(*mark);
        }
    });
    let mut scan = |section: &[u8], most: u64, known: &[(&[u8], Mark)]| {
        let needles: Vec<&[u8]> = known.iter().map(|(needle, _)| *needle).collect();
        let scanner = Scanner::new(&needles);
        for section in elf.sections(section) {
            let found = scanner.scan(file, section.offset, section.size.min(most), deadline).unwrap_or(0);
            for (bit, (_, mark)) in known.iter().enumerate() {
                if found & 1 << bit != 0 {
                    marks = marks.with(*mark);
                }
            }
        }
    };
    scan(b".strtab", MOST_NAMES, &NAMES);
    scan(b".rodata", MOST_CONSTANTS, &CONSTANTS);
    let names = marks.has(Mark::Hotspot).then(|| Names::of(&elf));
    Some(Program { loaded: elf.loaded, marks: cleaned(marks), names: names.flatten().map(Arc::new) })
}

fn by_name(name: &[u8]) -> Marks {
    const NAMES: [(&[u8], Mark); 6] = [
        (b"ld-linux", Mark::Loader),
        (b"ld64.so", Mark::Loader),
        (b"ld-2.", Mark::Loader),
        (b"ld-musl-", Mark::Musl),
        (b"libc.musl-", Mark::Musl),
        (b"libcoreclr.so", Mark::Dotnet),
    ];
    let known = NAMES.iter().filter(|(prefix, _)| name.starts_with(prefix));
    known.fold(Marks::default(), |marks, (_, mark)| marks.with(*mark))
}

/// The loader has a malloc of its own, and gperftools' exports look like Google's in part.
fn cleaned(marks: Marks) -> Marks {
    let mut cleaned = Marks::default();
    for (mark, _) in Mark::ALL {
        let is_foreign = match mark {
            Mark::Glibc => marks.has(Mark::Loader),
            Mark::GoogleTcmalloc => marks.has(Mark::Gperftools),
            _ => false,
        };
        if marks.has(mark) && !is_foreign {
            cleaned = cleaned.with(mark);
        }
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_program_has_no_allocator_in_it() {
        let file = File::open("/proc/self/exe").unwrap();
        assert!(inspect(&file, b"memtrace").is_some());
    }

    #[test]
    fn what_is_no_program_is_said_so() {
        assert_eq!(inspect(&tempfile::tempfile().unwrap(), b"libc.so.6"), None);
    }

    #[test]
    fn the_loader_is_not_libc() {
        let both = Marks::default().with(Mark::Loader).with(Mark::Glibc);
        assert!(!cleaned(both).has(Mark::Glibc));
    }
}
