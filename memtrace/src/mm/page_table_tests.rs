//! Page-table scans against mincore, smaps and the pages that a test touched.

use std::process::{Child, Command, Stdio};

use super::*;
use crate::mm::{region::Prot, smaps};

const PAGE: usize = 4096;

/// A mapping that is unmapped on drop.
struct Mapped {
    start: *mut u8,
    len: usize,
}

impl Mapped {
    #[expect(unsafe_code, reason = "mmap has no safe form")]
    fn new(len: usize, flags: i32, fd: i32) -> Self {
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping, which nothing points into.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), len, prot, flags, fd, 0) };
        assert_ne!(start, libc::MAP_FAILED);
        Self { start: start.cast(), len }
    }

    /// Places the mapping between two inaccessible pages, so that the kernel cannot merge it with a mapping of another
    /// test. The two pages are not unmapped.
    fn private(pages: usize) -> Self {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let whole = Self::new((pages + 2) * PAGE, flags, -1);
        whole.protect(0);
        whole.protect(pages + 1);
        let inner = Self { start: whole.start.wrapping_add(PAGE), len: pages * PAGE };
        std::mem::forget(whole);
        inner
    }

    #[expect(unsafe_code, reason = "mprotect has no safe form")]
    fn protect(&self, page: usize) {
        // SAFETY: a page of the mapping, which nothing points into.
        let status = unsafe { libc::mprotect(self.start.add(page * PAGE).cast(), PAGE, libc::PROT_NONE) };
        assert_eq!(status, 0);
    }

    #[expect(unsafe_code, reason = "the memory is shared with the kernel alone")]
    fn write(&self, page: usize) {
        assert!(page * PAGE < self.len);
        // SAFETY: inside the mapping, which is writable and has no references into it.
        unsafe { self.start.add(page * PAGE).write_volatile(1) };
    }

    #[expect(unsafe_code, reason = "as above")]
    fn read(&self, page: usize) {
        assert!(page * PAGE < self.len);
        // SAFETY: as above.
        unsafe { self.start.add(page * PAGE).read_volatile() };
    }

    #[expect(unsafe_code, reason = "madvise has no safe form")]
    fn advise(&self, first: usize, pages: usize, advice: i32) {
        assert!((first + pages) * PAGE <= self.len);
        // SAFETY: inside the mapping, whose contents nobody relies on.
        let status = unsafe { libc::madvise(self.start.add(first * PAGE).cast(), pages * PAGE, advice) };
        assert_eq!(status, 0);
    }

    #[expect(unsafe_code, reason = "mincore has no safe form")]
    fn in_core(&self) -> u64 {
        let mut pages = vec![0_u8; self.len / PAGE];
        // SAFETY: one byte for each page of the mapping.
        let status = unsafe { libc::mincore(self.start.cast(), self.len, pages.as_mut_ptr()) };
        assert_eq!(status, 0);
        pages.iter().filter(|page| **page & 1 != 0).count() as u64
    }

    fn region(&self) -> Region {
        let start = self.start as u64;
        Region::new(start, start + self.len as u64, Prot(3), Backing::Anonymous)
    }

    /// Scans it by `PAGEMAP_SCAN`, or by smaps on kernels without it.
    fn look(&self) -> Found {
        match look(Walk::with_files([self.region()]), Budget::DEFAULT) {
            Some(found) => found[0],
            None => self.look_at_smaps(),
        }
    }

    fn look_at_smaps(&self) -> Found {
        let smaps = smaps::read(&Procfs::new("/proc"), std::process::id()).unwrap();
        let region = self.region();
        let inside = of_smaps(&smaps).into_iter().find(|f| f.start <= region.start && f.end >= region.end);
        inside.unwrap()
    }
}

impl Drop for Mapped {
    #[expect(unsafe_code, reason = "munmap has no safe form")]
    fn drop(&mut self) {
        // SAFETY: nothing points into it any more.
        unsafe { libc::munmap(self.start.cast(), self.len) };
    }
}

/// Scans everything, step by step; `None` on a kernel without `PAGEMAP_SCAN`.
fn look(mut walk: Walk, budget: Budget) -> Option<Vec<Found>> {
    let mut table = PageTable::open(&Procfs::new("/proc"), std::process::id()).unwrap();
    let mut all = Vec::new();
    while !walk.is_done() {
        match table.look(&mut walk, budget).unwrap() {
            Look::Found(found) => all.extend(found),
            Look::Unsupported => return None,
        }
    }
    Some(all)
}

/// Pages of a pattern with runs of one page and of many.
fn pattern(pages: usize) -> impl Iterator<Item = usize> {
    (0..pages).filter(|page| page % 7 == 0 || page % 64 < 20)
}

#[test]
fn touched_pages_are_counted_exactly() {
    let memory = Mapped::private(2000);
    assert_eq!(memory.look().measured.resident, Bytes(0));
    pattern(2000).for_each(|page| memory.write(page));
    let touched = pattern(2000).count() as u64;
    let found = memory.look();
    assert_eq!(found.measured.resident, Bytes(touched * PAGE as u64));
    assert_eq!((memory.in_core(), found.file), (touched, Some(Bytes(0))));
    assert_eq!(memory.look_at_smaps().measured.resident, found.measured.resident);
    memory.advise(0, 1000, libc::MADV_DONTNEED);
    let left = pattern(2000).filter(|page| *page >= 1000).count() as u64;
    assert_eq!(memory.look().measured.resident, Bytes(left * PAGE as u64));
}

#[test]
fn the_zero_page_is_not_resident() {
    let memory = Mapped::private(100);
    (0..100).for_each(|page| memory.read(page));
    memory.write(3);
    assert_eq!(memory.look().measured.resident, Bytes(PAGE as u64));
}

#[test]
fn shared_memory_and_files_are_told_from_private_pages() {
    let shared = Mapped::new(100 * PAGE, libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1);
    (0..40).for_each(|page| shared.write(page));
    let found = shared.look();
    assert_eq!(
        (found.measured.resident, found.file),
        (Bytes(40 * PAGE as u64), Some(Bytes(40 * PAGE as u64)))
    );

    let file = tempfile::tempfile().unwrap();
    file.set_len(100 * PAGE as u64).unwrap();
    let private = Mapped::new(100 * PAGE, libc::MAP_PRIVATE, file.as_raw_fd());
    (0..30).for_each(|page| private.write(page));
    assert_eq!(
        (private.look().measured.resident, private.look().file),
        (Bytes(30 * PAGE as u64), Some(Bytes(0)))
    );
}

/// Huge pages are reported where the machine has them, and none where it has not.
#[test]
fn huge_pages_are_told() {
    let memory = Mapped::private(2048);
    memory.advise(0, 2048, libc::MADV_HUGEPAGE);
    (0..2048).for_each(|page| memory.write(page));
    let found = memory.look();
    assert_eq!(found.measured.resident, Bytes(2048 * PAGE as u64));
    let smaps = smaps::read(&Procfs::new("/proc"), std::process::id()).unwrap();
    let region = memory.region();
    let mapping = smaps.mappings.iter().find(|mapping| mapping.region.end == region.end).unwrap();
    assert_eq!(found.huge, mapping.usage.anon_huge);
}

#[test]
fn a_small_budget_comes_to_the_same_end_in_more_steps() {
    let memory = Mapped::private(6000);
    pattern(6000).for_each(|page| memory.write(page));
    let start = memory.start as u64;
    let part =
        |from: u64, to: u64| Region::new(start + from * 4096, start + to * 4096, Prot(3), Backing::Anonymous);
    let parts = || [part(0, 10), part(10, 4000), part(4100, 4101), part(4101, 6000)];
    let Some(at_once) = look(Walk::new(parts()), Budget::DEFAULT) else { return };
    for (pages, calls) in [(1, 1), (13, 2), (1000, 1), (u64::MAX, 1)] {
        assert_eq!(
            look(Walk::new(parts()), Budget { pages, calls }).unwrap(),
            at_once,
            "{pages} pages, {calls} calls"
        );
    }
    let expected = |from, to| {
        let pages = pattern(6000).filter(|page| (from..to).contains(page)).count();
        Bytes((pages * PAGE) as u64)
    };
    let resident: Vec<_> = at_once.iter().map(|found| found.measured.resident).collect();
    assert_eq!(resident, [expected(0, 10), expected(10, 4000), expected(4100, 4101), expected(4101, 6000)]);

    // One step stays within its budget.
    let mut table = PageTable::open(&Procfs::new("/proc"), std::process::id()).unwrap();
    let mut walk = Walk::new(parts());
    table.look(&mut walk, Budget { pages: 100, calls: 1000 }).unwrap();
    assert!(walk.at < start + 400 * 4096 && !walk.is_done(), "{:#x}", walk.at - start);
    while !walk.is_done() {
        table.look(&mut walk, Budget::DEFAULT).unwrap();
    }
    assert_eq!(walk.outside(), expected(4000, 4100), "resident between the regions");
}

/// A process that waits and does not change.
struct Quiet(Child);

impl Drop for Quiet {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn a_process_that_holds_still_is_what_smaps_says_of_it() {
    let procfs = Procfs::new("/proc");
    let mut cat = Command::new("cat");
    cat.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut quiet = Quiet(cat.spawn().unwrap());
    // Its answer shows that it has started.
    let mut byte = [0];
    io::Write::write_all(quiet.0.stdin.as_mut().unwrap(), b"x").unwrap();
    io::Read::read_exact(quiet.0.stdout.as_mut().unwrap(), &mut byte).unwrap();
    let pid = quiet.0.id();
    while procfs.stat(pid).unwrap().state != b'S' {
        std::thread::yield_now();
    }
    let smaps = smaps::read(&procfs, pid).unwrap();
    let mut walk = Walk::with_files(smaps.mappings.iter().map(|mapping| mapping.region.clone()));
    let mut table = PageTable::open(&procfs, pid).unwrap();
    let Look::Found(found) = table.look(&mut walk, Budget::DEFAULT).unwrap() else { return };
    assert!(walk.is_done() && found.len() > 10);
    let by_smaps = of_smaps(&smaps);
    for found in &found {
        let other = by_smaps.iter().find(|other| other.start == found.start).unwrap();
        assert_eq!(
            (found.end, found.measured.resident, found.file, found.measured.swapped),
            (other.end, other.measured.resident, other.file, other.measured.swapped),
            "{found:x?}"
        );
    }
    let sum: u64 = found.iter().map(|found| found.measured.resident.0).sum();
    let rollup = smaps::read_rollup(&procfs, pid).unwrap();
    // RSS counts the vdso's code page, which the scan skips.
    assert!(rollup.rss.unwrap().0 - sum <= 4 * PAGE as u64, "{sum} {rollup:?}");
}

#[test]
fn a_process_that_is_gone_says_so() {
    assert!(matches!(PageTable::open(&Procfs::new("/proc"), u32::MAX), Err(Error::Gone)));
    let mut child = Quiet(Command::new("cat").stdin(Stdio::piped()).spawn().unwrap());
    let procfs = Procfs::new("/proc");
    let mut table = PageTable::open(&procfs, child.0.id()).unwrap();
    child.0.kill().unwrap();
    child.0.wait().unwrap();
    let mut walk = Walk::new([Region::new(0x10000, 0x7fff_ffff_f000, Prot(3), Backing::Anonymous)]);
    match table.look(&mut walk, Budget::DEFAULT) {
        Ok(Look::Found(found)) => assert_eq!(found[0].measured.resident, Bytes(0)),
        Ok(Look::Unsupported) | Err(Error::Gone) => {}
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn kernels_without_the_call_say_so() {
    for errno in [libc::ENOTTY, libc::EINVAL] {
        assert!(matches!(unsupported(io::Error::from_raw_os_error(errno)), Ok(Look::Unsupported)));
    }
    assert!(matches!(unsupported(io::Error::from_raw_os_error(libc::ESRCH)), Err(Error::Gone)));
    assert!(matches!(unsupported(io::Error::from_raw_os_error(libc::EPERM)), Err(Error::Io { .. })));
    // A file that is not a pagemap.
    let mut table = PageTable::of(tempfile::tempfile().unwrap());
    let mut walk = Walk::new([Region::new(0x10000, 0x20000, Prot(3), Backing::Anonymous)]);
    assert!(matches!(table.look(&mut walk, Budget::DEFAULT), Ok(Look::Unsupported)));
}

#[test]
fn devices_and_the_kernels_own_pages_are_left_out() {
    use std::sync::Arc;
    let file = |path: &str| {
        Backing::File(Arc::new(crate::mm::region::File { device: 0, inode: 1, path: path.into() }))
    };
    let region = |backing| Region::new(0x1000, 0x2000, Prot(3), backing);
    for (region, expected) in [
        (region(file("/dev/dri/card0")), false),
        (region(file("/dev/shm/x")), true),
        (region(file("/lib/x")), true),
        (region(Backing::Special(Arc::from(&b"[vvar]"[..]))), false),
        (Region { vm_flags: Some(VmFlags(VmFlags::PFN_MAP)), ..region(file("/lib/x")) }, false),
        (region(Backing::Heap), true),
    ] {
        assert_eq!(is_counted(&region), expected, "{region:?}");
    }
}

/// Not a test: `cargo test --release -p memtrace --lib mm::page_table -- --ignored --nocapture`.
#[test]
#[ignore = "prints a speed"]
fn speed() {
    let memory = Mapped::private(262_144);
    (0..262_144).for_each(|page| memory.write(page));
    let time = |what: &str, look: &dyn Fn()| {
        let cpu = || crate::clock::thread_cpu().as_secs_f64() * 1e3;
        let begin = cpu();
        look();
        println!("{what}: {:.1} ms", cpu() - begin);
    };
    let scan = || _ = look(Walk::new([memory.region()]), Budget::DEFAULT);
    time("1 GiB of small pages", &scan);
    time("with files told apart", &|| _ = look(Walk::with_files([memory.region()]), Budget::DEFAULT));
    time("from smaps", &|| _ = memory.look_at_smaps());
    (0..262_144).step_by(2).for_each(|page| memory.advise(page, 1, libc::MADV_DONTNEED));
    time("every second page of 1 GiB", &scan);
}
