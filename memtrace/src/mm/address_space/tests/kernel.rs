//! Random system calls, executed and modelled: the regions equal `/proc/self/maps` after each step.

use std::{
    fmt::Debug,
    io::Write as _,
    os::fd::AsRawFd as _,
    process::{Command, Stdio},
};

use super::*;
use crate::mm::{maps, procfs::Procfs};

/// Far from where the kernel puts anything by itself, so that no other thread's mapping lands in a hole of ours.
const BASE: u64 = 0x1000_0000_0000;
const PAGES: u64 = 16_384;
/// Most calls use the first pages, so that they overlap.
const BUSY: u64 = 96;

/// xorshift64*: the same steps for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Map { at: u64, pages: u64, prot: i32, kind: Kind, offset: u64 },
    Unmap { at: u64, pages: u64 },
    Remap { old: u64, old_pages: u64, new: u64, new_pages: u64, flags: i32 },
    Protect { at: u64, pages: u64, prot: i32 },
    Advise { at: u64, pages: u64, advice: i32 },
    Resync,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Private,
    Shared,
    PrivateFile,
    SharedFile,
}

fn step(random: &mut Random) -> Step {
    let limit = if random.below(20) == 0 { PAGES } else { BUSY };
    let at = random.below(limit);
    let most = PAGES - at;
    let longest = if random.below(10) == 0 { 40 } else { 9 };
    let pages = 1 + random.below(longest).min(most - 1);
    let prot = random.pick(&[0, 1, 3, 3, 3, 5, 7]);
    match random.below(100) {
        0..35 => {
            let kind = random.pick(&[
                Kind::Private,
                Kind::Private,
                Kind::Shared,
                Kind::PrivateFile,
                Kind::SharedFile,
            ]);
            Step::Map { at, pages, prot, kind, offset: random.below(4) }
        }
        35..50 => Step::Unmap { at, pages },
        50..68 => {
            let new = random.below(limit);
            let new_pages = if random.below(2) == 0 { pages } else { 1 + random.below(12) };
            let (fixed, keep) = (libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED, 4);
            let flags = random.pick(&[0, 0, fixed, fixed, fixed, fixed | keep]);
            let old_pages = if random.below(8) == 0 { 0 } else { pages };
            let new_pages = new_pages.min(PAGES - new.max(at));
            Step::Remap { old: at, old_pages, new, new_pages, flags }
        }
        68..86 => Step::Protect { at, pages, prot },
        86..97 => {
            let advice = random.pick(&[
                libc::MADV_DONTNEED,
                libc::MADV_FREE,
                libc::MADV_DONTFORK,
                libc::MADV_DOFORK,
                libc::MADV_HUGEPAGE,
                libc::MADV_NOHUGEPAGE,
                libc::MADV_DONTDUMP,
            ]);
            Step::Advise { at, pages, advice }
        }
        _ => Step::Resync,
    }
}

/// Makes the call. Returns its result address if it succeeded.
#[expect(unsafe_code, reason = "the calls that are modelled have no safe form")]
fn call(step: Step, base: u64, file: i32) -> Option<u64> {
    let address = |page: u64| (base + page * PAGE) as *mut libc::c_void;
    let bytes = |pages: u64| (pages * PAGE) as usize;
    let outcome = match step {
        Step::Map { at, pages, prot, kind, offset } => {
            let (flags, fd) = flags_of(kind, file);
            // SAFETY: the range is this test's own, nothing points into it.
            unsafe {
                libc::mmap(
                    address(at),
                    bytes(pages),
                    prot,
                    flags | libc::MAP_FIXED,
                    fd,
                    (offset * PAGE) as i64,
                )
            }
        }
        // SAFETY: as above.
        Step::Unmap { at, pages } => unsafe { result(libc::munmap(address(at), bytes(pages))) },
        Step::Remap { old, old_pages, new, new_pages, flags } => {
            // SAFETY: as above: source and target both are in the range, and nothing moves out of it.
            unsafe { libc::mremap(address(old), bytes(old_pages), bytes(new_pages), flags, address(new)) }
        }
        // SAFETY: as above.
        Step::Protect { at, pages, prot } => unsafe {
            result(libc::mprotect(address(at), bytes(pages), prot))
        },
        // SAFETY: as above.
        Step::Advise { at, pages, advice } => unsafe {
            result(libc::madvise(address(at), bytes(pages), advice))
        },
        Step::Resync => return None,
    };
    (outcome != libc::MAP_FAILED).then_some(outcome as u64)
}

fn result(status: i32) -> *mut libc::c_void {
    if status == 0 { std::ptr::null_mut() } else { libc::MAP_FAILED }
}

fn flags_of(kind: Kind, file: i32) -> (i32, i32) {
    match kind {
        Kind::Private => (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1),
        Kind::Shared => (libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1),
        Kind::PrivateFile => (libc::MAP_PRIVATE, file),
        Kind::SharedFile => (libc::MAP_SHARED, file),
    }
}

fn model(space: &mut AddressSpace, step: Step, base: u64, returned: u64) {
    let address = |page: u64| base + page * PAGE;
    match step {
        Step::Map { at, pages, prot, kind, offset } => {
            let (flags, fd) = flags_of(kind, 3);
            let flags = (flags | libc::MAP_FIXED) as u32;
            let offset = if fd == 3 { offset * PAGE } else { 0 };
            assert_eq!(address(at), returned);
            // An unaligned length, so that the rounding up is tested.
            let len = pages * PAGE - 7;
            space.map(&Mmap { offset, fd, ..mmap(returned, len, prot as u32, flags) });
        }
        Step::Unmap { at, pages } => {
            space.unmap(address(at), pages * PAGE);
        }
        Step::Remap { old, old_pages, new_pages, flags, new: _ } => {
            let call = mremap(address(old), old_pages * PAGE, returned, new_pages * PAGE, flags);
            space.remap(&call);
        }
        Step::Protect { at, pages, prot } => space.protect(address(at), pages * PAGE, prot as u64),
        Step::Advise { at, pages, advice } => {
            space.advise(address(at), pages * PAGE, advice);
        }
        Step::Resync => {}
    }
}

/// A range with the attributes that both sides know. Equal neighbours are merged.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    start: u64,
    end: u64,
    prot: Prot,
    is_shared: bool,
    is_file: bool,
    is_shared_anonymous: bool,
    offset: u64,
}

fn normal(regions: impl Iterator<Item = Region>) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for region in regions {
        let next = Part {
            start: region.start,
            end: region.end,
            prot: region.prot,
            is_shared: region.is_shared,
            is_file: matches!(region.backing, Backing::File(_) | Backing::UnknownFile),
            is_shared_anonymous: region.backing == Backing::SharedAnonymous,
            offset: region.offset,
        };
        if let Some(last) = parts.last_mut() {
            let len = if last.is_file || last.is_shared_anonymous { last.end - last.start } else { 0 };
            let grown = Part { start: last.start, end: next.end, offset: last.offset, ..next.clone() };
            if last.end == next.start
                && last.offset + len == next.offset
                && grown == (Part { end: next.end, ..last.clone() })
            {
                last.end = next.end;
                continue;
            }
        }
        parts.push(next);
    }
    parts
}

fn really(base: u64) -> Vec<Region> {
    let maps = maps::read(&Procfs::new("/proc"), std::process::id()).unwrap();
    assert_eq!(maps.malformed, 0);
    let is_ours = |region: &Region| region.start >= base && region.end <= base + PAGES * PAGE;
    maps.regions.into_iter().filter(is_ours).collect()
}

/// Compares both sides; a failure prints the seed and the last steps.
fn same<T: PartialEq + Debug>(model: &T, kernel: &T, seed: u64, steps: &[Step]) {
    if model != kernel {
        let last = &steps[steps.len().saturating_sub(12)..];
        panic!("seed {seed}, step {}:\n{last:#?}\nmodel:  {model:#x?}\nkernel: {kernel:#x?}", steps.len());
    }
}

#[derive(Debug, Default)]
struct Counts {
    succeeded: u32,
    failed: u32,
    failed_halfway: u32,
    moved: u32,
    moved_several: u32,
}

impl Counts {
    fn count_moves(&mut self, space: &AddressSpace, step: Step, base: u64) {
        let Step::Remap { old, old_pages, flags, .. } = step else { return };
        if flags & libc::MREMAP_FIXED != 0 {
            let (start, end) = (base + old * PAGE, base + (old + old_pages) * PAGE);
            let kinds = normal(space.regions().filter(|r| r.start < end && r.end > start));
            self.moved += 1;
            self.moved_several += u32::from(kinds.len() > 1);
        }
    }
}

/// Makes random steps until `successes` calls succeeded.
fn run(seed: u64, successes: u32) -> Counts {
    let base = BASE + seed * 2 * PAGES * PAGE;
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&[1; 64 * PAGE as usize]).unwrap();
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut space = space();
    let mut steps = Vec::new();
    let mut counts = Counts::default();
    while counts.succeeded < successes {
        let step = step(&mut random);
        steps.push(step);
        let returned = call(step, base, file.as_raw_fd());
        let kernel = really(base);
        if let Some(returned) = returned {
            counts.succeeded += 1;
            counts.count_moves(&space, step, base);
            model(&mut space, step, base, returned);
        } else {
            // A failed call may have had a partial effect, which no event reports.
            let is_halfway = normal(space.regions()) != normal(kernel.iter().cloned());
            counts.failed += u32::from(!matches!(step, Step::Resync));
            counts.failed_halfway += u32::from(is_halfway);
            space.resync(&kernel);
            // The resync has named all files.
            assert!(space.regions().all(|region| region.backing != Backing::UnknownFile));
        }
        same(&normal(space.regions()), &normal(kernel.into_iter()), seed, &steps);
        same(&(space.stale(), space.conflicts()), &(None, 0), seed, &steps);
        check(&space);
    }
    call(Step::Unmap { at: 0, pages: PAGES }, base, -1).unwrap();
    counts
}

#[test]
fn random_calls_leave_the_regions_that_the_kernel_has() {
    let mut sum = Counts::default();
    for seed in 1..=10 {
        let counts = run(seed, 1000);
        sum.succeeded += counts.succeeded;
        sum.failed += counts.failed;
        sum.failed_halfway += counts.failed_halfway;
        sum.moved += counts.moved;
        sum.moved_several += counts.moved_several;
    }
    // Kernels before 6.17 move one mapping at a time.
    assert!(sum.succeeded == 10_000 && sum.moved > 200, "{sum:?}");
    println!("{sum:?}");
}

/// The allocator also moves the break, so the test runs in a process of its own.
#[test]
fn random_breaks_leave_the_heap_that_the_kernel_has() {
    const CHILD: &str = "MEMTRACE_TEST_BRK";
    if std::env::var_os(CHILD).is_some() {
        move_the_break();
        return;
    }
    let own = std::env::current_exe().unwrap();
    let name = std::thread::current().name().unwrap().to_owned();
    let child = Command::new(own)
        .args(["--exact", &name, "--test-threads=2", "--nocapture"])
        .env(CHILD, "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success() && text.contains("breaks moved"),
        "{text}{}",
        String::from_utf8_lossy(&child.stderr)
    );
}

#[expect(unsafe_code, reason = "brk has no safe form")]
fn brk(to: u64) -> u64 {
    // SAFETY: the test only releases memory that it took, which lies above the allocator's.
    unsafe { libc::syscall(libc::SYS_brk, to) as u64 }
}

fn move_the_break() {
    let heap = || -> Vec<Part> {
        let maps = maps::read(&Procfs::new("/proc"), std::process::id()).unwrap();
        normal(maps.regions.into_iter().filter(|region| region.backing == Backing::Heap))
    };
    let mut space = AddressSpace::new(geometry());
    let maps = maps::read(&Procfs::new("/proc"), std::process::id()).unwrap();
    space.resync(&maps.regions);
    let lowest = brk(0);
    // A process that never had a heap: the break is where it begins.
    space.set_start_brk(lowest);
    let mut random = Random(7);
    for step in 0..1000 {
        let to = lowest + random.below(64 * PAGE);
        assert_eq!(brk(to), to);
        space.set_brk(to);
        let model = normal(space.regions().filter(|region| region.backing == Backing::Heap));
        let kernel = heap();
        assert_eq!((space.stale(), &model), (None, &kernel), "step {step}, break {to:#x}");
        check(&space);
    }
    println!("breaks moved");
}
