//! Gathers evidence on a live process.
//!
//! Input: a pid and its regions. Output: [`ProcessEvidence`]. Reads files of /proc and the mapped programs, whose file
//! system may be slow or controlled by the process: must not be called by a thread that others wait for. Findings about
//! a program are cached for all processes that map it.

use std::{collections::HashMap, fs::File as Handle, io::Read as _, ops::Range, sync::Arc, time::Duration};

use super::{Mark, Marks, Module, ProcessEvidence, base_name, deadline::Deadline, inspect, memory};
use crate::mm::{
    procfs::Procfs,
    program::{self, Version},
    region::{Backing, File, Region},
};

/// The processor time after which no further program is opened; the rest is inspected the next time.
const TIME: Duration = Duration::from_secs(2);
/// The same for one program, the first time; each further time it is twice as much.
const TIME_OF_ONE: Duration = Duration::from_millis(500);
/// After so many times what was found in a part of a program is all that there will be.
const MOST_TIMES: u32 = 4;
const MOST_MODULES: usize = 4096;
const MOST_KEPT: usize = 8192;
const MOST_TEXT: u64 = 4 << 20;

/// Gathers evidence, and caches findings about programs.
#[derive(Debug)]
pub struct Reader {
    procfs: Procfs,
    programs: HashMap<Version, Known>,
}

/// What is known about a version of a file.
#[derive(Debug, Default)]
struct Known {
    /// `None` when it is no program.
    program: Option<Arc<inspect::Program>>,
    /// How often it was inspected.
    times: u32,
}

impl Known {
    /// Whether another inspection, with more time, may find more.
    fn may_be_more(&self) -> bool {
        self.times < MOST_TIMES && self.program.as_ref().is_none_or(|program| !program.is_whole)
    }
}

impl Reader {
    /// A reader of the processes of a /proc.
    pub fn new(procfs: Procfs) -> Self {
        Self { procfs, programs: HashMap::new() }
    }

    /// Gathers the evidence about a process. What cannot be read, or is gone, is missing from it.
    pub fn gather(&mut self, pid: u32, regions: &[Region]) -> ProcessEvidence {
        self.gather_until(pid, regions, Deadline::after(TIME))
    }

    fn gather_until(&mut self, pid: u32, regions: &[Region], deadline: Deadline) -> ProcessEvidence {
        let (modules, unread) = self.modules(pid, regions, deadline);
        let of_programs = (unread > 0)
            .then(|| format!("{unread} of {} programs were not searched to the end", modules.len()));
        let process = ProcessEvidence {
            stack_limit: self.text(pid, "limits").as_deref().and_then(stack_limit),
            tmpfs: self.text(pid, "mountinfo").as_deref().map(tmpfs).unwrap_or_default(),
            ..ProcessEvidence::new(modules)
        };
        let (found, is_whole) = memory::look(&self.procfs, pid, &process, regions, deadline);
        let of_memory = (!is_whole).then(|| "its memory was not searched to the end".to_owned());
        let unfinished: Vec<String> = of_programs.into_iter().chain(of_memory).collect();
        let unfinished =
            (!unfinished.is_empty()).then(|| format!("{}: no time was left", unfinished.join(", ")));
        process.with_found(found).with_unfinished(unfinished)
    }

    /// Adds to evidence that came from elsewhere what only the files contain.
    pub fn complete(
        &mut self,
        pid: u32,
        evidence: Arc<ProcessEvidence>,
        regions: &[Region],
    ) -> Arc<ProcessEvidence> {
        let lacks_names = |module: &Module| module.names.is_none() && module.marks.has(Mark::Hotspot);
        if !evidence.modules.iter().any(lacks_names) {
            return evidence;
        }
        let mut evidence = Arc::unwrap_or_clone(evidence);
        for module in evidence.modules.iter_mut().filter(|module| lacks_names(module)) {
            let maps_it = |region: &&Region| match &region.backing {
                Backing::File(file) => *file == module.file,
                _ => false,
            };
            let mapped: Vec<&Region> = regions.iter().filter(maps_it).collect();
            module.names = self.program(pid, &module.file, &mapped).and_then(|program| program.names.clone());
        }
        Arc::new(evidence)
    }

    /// The modules, and how many of them were not searched to the end.
    fn modules(&mut self, pid: u32, regions: &[Region], deadline: Deadline) -> (Vec<Module>, usize) {
        let mut files: Vec<(&Arc<File>, Vec<&Region>)> = Vec::new();
        let mut places: HashMap<&File, usize> = HashMap::new();
        for region in regions {
            let Backing::File(file) = &region.backing else { continue };
            let place = *places.entry(file).or_insert_with(|| {
                files.push((file, Vec::new()));
                files.len() - 1
            });
            if let Some((_, mapped)) = files.get_mut(place) {
                mapped.push(region);
            }
        }
        let is_program =
            |(_, mapped): &(&Arc<File>, Vec<&Region>)| mapped.iter().any(|region| is_code(region));
        let programs = files.into_iter().filter(is_program).take(MOST_MODULES);
        let mut unread = 0;
        let modules = programs.map(|(file, mapped)| {
            let is_late = deadline.is_over();
            let program = if is_late { None } else { self.program(pid, file, &mapped) };
            unread += usize::from(is_late || program.as_ref().is_some_and(|program| !program.is_whole));
            module(file, &mapped, program)
        });
        (modules.collect(), unread)
    }

    fn program(&mut self, pid: u32, file: &File, mapped: &[&Region]) -> Option<Arc<inspect::Program>> {
        let ranges = mapped.iter().map(|region| (region.start, region.end));
        let handle = program::open(&self.procfs, pid, file, ranges)?;
        let version = Version::of(&handle)?;
        if self.programs.len() >= MOST_KEPT {
            self.programs.clear();
        }
        let known = self.programs.entry(version).or_default();
        if known.may_be_more() {
            let deadline = Deadline::after(TIME_OF_ONE * 2_u32.pow(known.times));
            known.program = inspect::inspect(&handle, base_name(&file.path), deadline).map(Arc::new);
            // What is no program will not become one.
            known.times = if known.program.is_some() { known.times + 1 } else { MOST_TIMES };
        }
        known.program.clone()
    }

    fn text(&self, pid: u32, file: &str) -> Option<Vec<u8>> {
        let path = self.procfs.root().join(pid.to_string()).join(file);
        let mut text = Vec::new();
        Handle::open(path).ok()?.take(MOST_TEXT).read_to_end(&mut text).ok()?;
        Some(text)
    }
}

fn module(file: &Arc<File>, mapped: &[&Region], program: Option<Arc<inspect::Program>>) -> Module {
    let code = mapped.iter().filter(|region| is_code(region)).map(|region| region.start..region.end);
    let read = program.iter().flat_map(|program| mapped.iter().filter_map(|at| image(at, &program.loaded)));
    let mut images: Vec<_> = read.collect();
    if images.is_empty() {
        // These images lack bss.
        images.extend(mapped.iter().map(|region| region.start..region.end));
    }
    Module {
        file: Arc::clone(file),
        images,
        code: code.collect(),
        marks: program.as_ref().map_or(Marks::default(), |program| program.marks),
        is_read: program.is_some(),
        names: program.and_then(|program| program.names.clone()),
    }
}

const fn is_code(region: &Region) -> bool {
    region.prot.0 & crate::mm::region::Prot::EXEC != 0 && !region.is_shared
}

/// The image that begins with this mapping, bss included; `None` if it does not map the file's start.
fn image(region: &Region, loaded: &Range<u64>) -> Option<Range<u64>> {
    let page = rustix::param::page_size() as u64;
    if region.offset != 0 || loaded.start >= loaded.end {
        return None;
    }
    let len = loaded.end.checked_next_multiple_of(page)? - loaded.start / page * page;
    Some(region.start..region.start.checked_add(len)?)
}

/// `Max stack size             8388608              unlimited            bytes`
fn stack_limit(limits: &[u8]) -> Option<u64> {
    let lines = limits.split(|byte| *byte == b'\n');
    let rest = lines.filter_map(|line| line.strip_prefix(b"Max stack size")).next()?;
    let soft = rest.split(|byte| *byte == b' ').find(|word| !word.is_empty())?;
    std::str::from_utf8(soft).ok()?.parse().ok()
}

/// `24 1 0:22 / /dev/shm rw,nosuid master:3 - tmpfs tmpfs rw`: the devices of tmpfs mounts.
fn tmpfs(mounts: &[u8]) -> Vec<u64> {
    let device = |line: &[u8]| {
        let mut words = line.split(|byte| *byte == b' ');
        let device = std::str::from_utf8(words.nth(2)?).ok()?;
        let (major, minor) = device.split_once(':')?;
        let kind = words.skip_while(|word| *word != b"-").nth(1)?;
        let device = u64::from(major.parse::<u32>().ok()?) << 32 | u64::from(minor.parse::<u32>().ok()?);
        (kind == b"tmpfs" || kind == b"devtmpfs").then_some(device)
    };
    let mut devices: Vec<u64> = mounts.split(|byte| *byte == b'\n').filter_map(device).collect();
    devices.sort_unstable();
    devices.dedup();
    devices
}

#[cfg(test)]
mod tests {
    use super::{inspect::Program, *};
    use crate::mm::maps;

    #[test]
    fn our_own_modules_are_found() {
        let procfs = Procfs::new("/proc");
        let pid = std::process::id();
        let regions = maps::read(&procfs, pid).unwrap().regions;
        let mut reader = Reader::new(procfs);
        let process = reader.gather(pid, &regions);
        let here = our_own_modules_are_found as fn() as usize as u64;
        let module = process.module_of_code(here).unwrap();
        assert!(module.is_read);
        assert!(module.images.iter().any(|image| image.contains(&here)));
        let count = reader.programs.len();
        reader.gather(pid, &regions);
        assert_eq!(reader.programs.len(), count);
    }

    #[test]
    fn what_a_deadline_cut_is_gathered_the_next_time() {
        let procfs = Procfs::new("/proc");
        let pid = std::process::id();
        let regions = maps::read(&procfs, pid).unwrap().regions;
        let mut reader = Reader::new(procfs);
        let cut = reader.gather_until(pid, &regions, Deadline::past());
        assert!(cut.modules().iter().all(|module| !module.is_read));
        let why = cut.unfinished.unwrap();
        let all = cut.modules.len();
        assert!(why.starts_with(&format!("{all} of {all} programs were not searched to the end")), "{why}");
        // A program that was searched in part is inspected again, until it is given up.
        reader.gather(pid, &regions);
        let in_part = |known: &mut Known, times: u32| {
            let program = Program { is_whole: false, ..Program::clone(known.program.as_ref().unwrap()) };
            (known.program, known.times) = (Some(Arc::new(program)), times);
        };
        let known = reader.programs.values_mut().filter(|known| known.program.is_some());
        known.for_each(|known| in_part(known, MOST_TIMES));
        let why = reader.gather(pid, &regions).unfinished.unwrap();
        assert!(why.contains("programs were not searched to the end: no time was left"), "{why}");
        let known = reader.programs.values_mut().filter(|known| known.program.is_some());
        known.for_each(|known| in_part(known, 1));
        reader.gather(pid, &regions);
        let again = reader.programs.values().filter(|known| known.program.is_some());
        assert!(again.clone().any(|known| known.times == 2), "{:?}", again.collect::<Vec<_>>());
    }

    #[test]
    fn a_process_that_is_gone_is_no_evidence() {
        let mut reader = Reader::new(Procfs::new("/proc"));
        assert!(reader.gather(u32::MAX, &[]).modules().is_empty());
    }

    #[test]
    fn limits_and_mounts_are_read() {
        let limits =
            b"Limit  Soft  Hard  Units\nMax stack size             8388608              unlimited  bytes\n";
        assert_eq!(stack_limit(limits), Some(8 << 20));
        assert_eq!(stack_limit(b"Max stack size   unlimited  unlimited bytes\n"), None);
        let mounts =
            b"24 1 0:22 / /dev/shm rw,nosuid master:3 - tmpfs tmpfs rw\n1 1 8:1 / / rw - ext4 a rw\n\nx y\n";
        assert_eq!(tmpfs(mounts), [22]);
    }
}
