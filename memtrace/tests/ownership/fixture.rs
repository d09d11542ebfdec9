//! Writes fixtures for the unit tests of memtrace::allocator, when MEMTRACE_FIXTURES says where to.
//!
//! A fixture is a shortened smaps with the evidence that was found: runs of mappings whose owners were all seen
//! MOST_ALIKE times already are left out. What is expected is what was attributed: read it before you check it in.

use std::{collections::HashMap, env, fmt::Write as _, fs, path::PathBuf};

use memtrace::{
    allocator::{
        Owned, Owner,
        evidence::{Content, Mark, Module, base_name},
    },
    mm::region::{Backing, Prot, Region, VmFlags},
};

use super::census::Census;

/// Runs with the same owners that are kept.
const MOST_ALIKE: usize = 2;

pub fn write(name: &str, census: &Census) {
    let Some(folder) = env::var_os("MEMTRACE_FIXTURES").map(PathBuf::from) else { return };
    let kept = runs(census);
    let is_kept =
        |start: u64| kept.iter().copied().flatten().any(|owned| (owned.start..owned.end).contains(&start));
    let mut text = format!("# {name}: written by the test `ownership`, see fixture.rs there\n");
    for module in census.process.modules().iter().filter(|module| is_kept(module.base())) {
        module_line(&mut text, module);
    }
    for found in census.process.found.iter().filter(|found| is_kept(found.start)) {
        let what = match found.content {
            Content::MmappedChunk => "chunk".to_owned(),
            Content::GlibcHeap { arena } => format!("heap {arena:x}"),
            Content::ObmallocArena => "obmalloc".to_owned(),
        };
        writeln!(text, "found {:x}-{:x} {what}", found.start, found.end).unwrap();
    }
    for run in kept {
        for parts in run.chunk_by(|left, right| left.region == right.region) {
            region_line(&mut text, &census.regions[parts[0].region]);
            for owned in parts {
                let Owner { allocator, kind, arena, grade, file: _ } = &owned.owner;
                let (start, end) = (owned.start, owned.end);
                let place = if parts.len() > 1 { format!("\n    {start:x}-{end:x}") } else { String::new() };
                write!(text, "{place} => {allocator} / {kind} / {arena:x} / {grade}").unwrap();
            }
            text.push('\n');
        }
    }
    fs::write(folder.join(format!("{name}.maps")), text).unwrap();
}

/// Ranges without a gap between them, fewer of what is alike; a run is kept or left out as a whole.
fn runs(census: &Census) -> Vec<&[Owned]> {
    let mut seen: HashMap<Vec<(&str, &str)>, usize> = HashMap::new();
    let runs = census.owned.chunk_by(|left, right| left.end == right.start);
    runs.filter(|run| {
        let mut owners: Vec<_> = run.iter().map(|owned| (owned.owner.allocator, owned.owner.kind)).collect();
        owners.sort_unstable();
        owners.dedup();
        let count = seen.entry(owners).or_default();
        *count += 1;
        *count <= MOST_ALIKE
    })
    .collect()
}

fn module_line(text: &mut String, module: &Module) {
    write!(text, "module {} {}", module.file.inode, if module.is_read { "read" } else { "unread" }).unwrap();
    module.images.iter().for_each(|image| write!(text, " {:x}-{:x}", image.start, image.end).unwrap());
    let marks = Mark::ALL.iter().filter(|(mark, _)| module.marks.has(*mark));
    marks.for_each(|(_, name)| write!(text, " {name}").unwrap());
    text.push('\n');
}

fn region_line(text: &mut String, region: &Region) {
    let letter = |bit: u8, letter: char| if region.prot.0 & bit != 0 { letter } else { '-' };
    let prot: String =
        [letter(Prot::READ, 'r'), letter(Prot::WRITE, 'w'), letter(Prot::EXEC, 'x')].into_iter().collect();
    let share = if region.is_shared { 's' } else { 'p' };
    let (device, inode, name) = match &region.backing {
        Backing::Anonymous | Backing::UnknownFile => (0, 0, String::new()),
        Backing::SharedAnonymous => (1, 7, "/dev/zero (deleted)".to_owned()),
        Backing::Heap => (0, 0, "[heap]".to_owned()),
        Backing::Stack => (0, 0, "[stack]".to_owned()),
        Backing::Special(name) => (0, 0, String::from_utf8_lossy(name).into_owned()),
        // A name says enough; the folder is this machine's.
        Backing::File(file) => (file.device, file.inode, path(&file.path)),
    };
    let (start, end, offset) = (region.start, region.end, region.offset);
    let (major, minor) = (device >> 32, device & 0xffff_ffff);
    let flags = region.vm_flags.map_or_else(|| "?".to_owned(), flags);
    write!(
        text,
        "{start:x}-{end:x} {prot}{share} {offset:08x} {major:02x}:{minor:02x} {inode} {name} |{flags}"
    )
    .unwrap();
}

fn path(path: &[u8]) -> String {
    let known: [&[u8]; 3] = [b"/memfd:", b"/SYSV", b"/dev/"];
    let path = if known.iter().any(|known| path.starts_with(known)) { path } else { base_name(path) };
    let path = String::from_utf8_lossy(path);
    if path.starts_with('/') { path.into_owned() } else { format!("/{path}") }
}

fn flags(flags: VmFlags) -> String {
    const LETTERS: [(u16, &str); 8] = [
        (VmFlags::NO_RESERVE, "nr"),
        (VmFlags::ACCOUNT, "ac"),
        (VmFlags::NO_HUGE_PAGE, "nh"),
        (VmFlags::HUGE_PAGE, "hg"),
        (VmFlags::DONT_COPY, "dc"),
        (VmFlags::DONT_DUMP, "dd"),
        (VmFlags::LOCKED, "lo"),
        (VmFlags::HUGETLB, "ht"),
    ];
    LETTERS.iter().filter(|(flag, _)| flags.has(*flag)).map(|(_, letters)| format!(" {letters}")).collect()
}
