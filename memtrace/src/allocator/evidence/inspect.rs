//! Detects the allocators and runtimes in a program file.
//!
//! Input: an open file, its name, and every allocator's [`Sign`]s. Output: [`Program`]. Searches exported symbols, then
//! internal symbol names, then strings that survive stripping; each up to a limit.

use std::{
    collections::HashMap,
    fs::File,
    ops::Range,
    sync::{Arc, LazyLock},
};

use super::{Mark, Marks, Sign, deadline::Deadline, elf::Elf, scan::Scanner};
use crate::allocator::{AllocatorId, jvm::names::Names};

/// The most bytes of symbol names and of constants that are searched.
const MOST_NAMES: u64 = 64 << 20;
const MOST_CONSTANTS: u64 = 32 << 20;

/// The findings about a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The loaded address range, before relocation.
    pub loaded: Range<u64>,
    /// The signs found in it.
    pub marks: Marks,
    /// Names of HotSpot's fields.
    pub names: Option<Arc<Names>>,
    /// Whether all of it was searched before the time was over.
    pub is_whole: bool,
}

/// The file exports `malloc`.
const MALLOC: Sign = Sign { exports: &[b"malloc"], ..Sign::of(Mark::DefinesMalloc) };

/// The strings of all signs to search in one part of a file.
type Known = Vec<(&'static [u8], Mark)>;

/// All signs, by the part of a file to search.
struct Signs {
    all: Vec<Sign>,
    exports: HashMap<&'static [u8], Mark>,
    export_prefixes: Known,
    symbols: Known,
    constants: Known,
}

static SIGNS: LazyLock<Signs> = LazyLock::new(|| {
    let allocators = AllocatorId::ALL.iter().flat_map(|id| id.allocator().signs());
    let all: Vec<Sign> = allocators.copied().chain([MALLOC]).collect();
    let known = |of: fn(&Sign) -> &'static [&'static [u8]]| -> Known {
        all.iter().flat_map(|sign| of(sign).iter().map(|known| (*known, sign.mark))).collect()
    };
    Signs {
        exports: known(|sign| sign.exports).into_iter().collect(),
        export_prefixes: known(|sign| sign.export_prefixes),
        symbols: known(|sign| sign.symbols),
        constants: known(|sign| sign.constants),
        all,
    }
});

/// Inspects a file; `None` when it is no program or library.
pub fn inspect(file: &File, name: &[u8], deadline: Deadline) -> Option<Program> {
    let elf = Elf::read(file)?;
    let mut marks = Marks::default();
    for sign in &SIGNS.all {
        let is_named = sign.files.iter().any(|prefix| name.starts_with(prefix));
        if is_named || sign.sections.iter().any(|section| elf.section(section).is_some()) {
            marks = marks.with(sign.mark);
        }
    }
    elf.exports(|symbol, _| {
        let by_prefix = || SIGNS.export_prefixes.iter().find(|(prefix, _)| symbol.starts_with(prefix));
        let known = SIGNS.exports.get(symbol).or_else(|| by_prefix().map(|(_, mark)| mark));
        if let Some(mark) = known {
            marks = marks.with(*mark);
        }
    });
    let mut is_whole = true;
    let mut scan = |section: &[u8], most: u64, known: &Known| {
        let needles: Vec<&[u8]> = known.iter().map(|(needle, _)| *needle).collect();
        let scanner = Scanner::new(&needles);
        for section in elf.sections(section) {
            let found = scanner.scan(file, section.offset, section.size.min(most), deadline);
            // What is no part of the file is not there the next time either.
            is_whole &= found.is_some() || !deadline.is_over();
            let found = found.unwrap_or(0);
            for (bit, (_, mark)) in known.iter().enumerate() {
                if found & 1 << bit != 0 {
                    marks = marks.with(*mark);
                }
            }
        }
    };
    scan(b".strtab", MOST_NAMES, &SIGNS.symbols);
    scan(b".rodata", MOST_CONSTANTS, &SIGNS.constants);
    let names = marks.has(Mark::Hotspot).then(|| Names::of(&elf));
    let names = names.flatten().map(Arc::new);
    Some(Program { loaded: elf.loaded, marks: cleaned(marks), names, is_whole })
}

/// Removes marks that another present mark excludes.
fn cleaned(marks: Marks) -> Marks {
    let is_foreign = |sign: &&Sign| sign.unless.is_some_and(|other| marks.has(other)) && marks.has(sign.mark);
    SIGNS.all.iter().filter(is_foreign).fold(marks, |marks, sign| marks.without(sign.mark))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn deadline() -> Deadline {
        Deadline::after(Duration::from_secs(600))
    }

    #[test]
    fn our_own_program_has_no_allocator_in_it() {
        let file = File::open("/proc/self/exe").unwrap();
        assert!(inspect(&file, b"memtrace", deadline()).unwrap().is_whole);
        let cut = inspect(&file, b"memtrace", Deadline::past()).unwrap();
        assert!(!cut.is_whole, "its constants were not searched");
    }

    #[test]
    fn what_is_no_program_is_said_so() {
        assert_eq!(inspect(&tempfile::tempfile().unwrap(), b"libc.so.6", deadline()), None);
    }

    #[test]
    fn the_loader_is_not_libc() {
        let both = Marks::default().with(Mark::Loader).with(Mark::Glibc);
        assert!(!cleaned(both).has(Mark::Glibc));
    }
}
