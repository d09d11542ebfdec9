//! Not tests: `cargo test --release -p memtrace --lib mm::address_space::tests::cost -- --ignored --nocapture
//! --test-threads=1`.

use super::*;

const MANY: u64 = 60_000;

/// CPU time of this thread, in ns, so that other work on the machine does not count.
fn now() -> f64 {
    crate::clock::thread_cpu().as_secs_f64() * 1e9
}

/// Nanoseconds per call.
fn each(count: u64, mut call: impl FnMut(u64)) -> f64 {
    let begin = now();
    (0..count).for_each(&mut call);
    (now() - begin) / count as f64
}

#[expect(unsafe_code, reason = "mallinfo2 has no safe form")]
fn allocated() -> usize {
    // SAFETY: it takes nothing and returns numbers.
    let info = unsafe { libc::mallinfo2() };
    info.uordblks + info.hblkhd
}

/// 60,000 mappings whose neighbours all differ, top down as the kernel places them.
fn filled(callers: u64) -> AddressSpace {
    let mut space = space();
    for at in 0..MANY {
        let addr = 0x7f00_0000_0000 - at * 0x4_0000;
        let prot = if at % 2 == 0 { RW } else { 0 };
        space.map(&Mmap { caller: at % callers, ..mmap(addr, 0x2_0000, prot, PRIVATE) });
    }
    space
}

#[test]
#[ignore = "prints costs"]
fn bytes_of_a_region() {
    for callers in [1, 20, 1000] {
        let before = allocated();
        let space = filled(callers);
        let bytes = allocated() - before;
        println!(
            "{MANY} regions of {callers} callers: {} bytes each, {} by its own account",
            bytes / MANY as usize,
            space.footprint().0 / MANY
        );
    }
    let maps = crate::mm::maps::read(&crate::mm::procfs::Procfs::new("/proc"), std::process::id()).unwrap();
    let before = allocated();
    let mut space = space();
    space.resync(&maps.regions);
    println!("this process, {} regions: {} bytes each", space.len(), (allocated() - before) / space.len());
    println!("a stored region has {} bytes", size_of::<Span>());
}

#[test]
#[ignore = "prints costs"]
fn time_of_a_call() {
    let mut space = filled(20);
    let at = |n: u64| 0x7f00_0000_0000 - (n.wrapping_mul(7919) % MANY) * 0x4_0000;
    let faults = each(1_000_000, |n| {
        space.fault(at(n * 2), 64);
    });
    println!("fault {faults:.0} ns");
    let advice = each(1_000_000, |n| {
        space.advise(at(n), PAGE * 4, libc::MADV_DONTNEED);
    });
    println!("madvise {advice:.0} ns");
    let pairs = each(500_000, |n| {
        let addr = at(n) + 0x2_0000;
        space.map(&mmap(addr, 0x1_0000, RW, PRIVATE));
        space.unmap(addr, 0x1_0000);
    });
    println!("mmap and munmap {pairs:.0} ns, {:.1} M events/s", 2000.0 / pairs);
    let grow = each(500_000, |n| {
        let addr = at(n & !31);
        space.protect(addr + (n & 31) * PAGE, PAGE, ((n >> 5) & 1) * 3);
    });
    println!("mprotect of a page {grow:.0} ns");
    let moves = each(500_000, |n| {
        let (from, to) = (at(n), at(n) + 0x2_0000);
        let (from, to) = if (n / MANY).is_multiple_of(2) { (from, to) } else { (to, from) };
        space.remap(&mremap(from, 0x2_0000, to, 0x2_0000, libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED));
    });
    println!("mremap {moves:.0} ns, stale {:?}", space.stale());
    let regions: Vec<Region> = space.regions().map(|region| Region { born: None, ..region }).collect();
    let begin = now();
    space.resync(&regions);
    println!("resync of {} regions {:.1} ms", regions.len(), (now() - begin) / 1e6);
    let begin = now();
    let child = space.fork();
    println!("fork of {} regions {:.1} ms", child.len(), (now() - begin) / 1e6);
}
