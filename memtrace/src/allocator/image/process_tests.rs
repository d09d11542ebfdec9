use std::hint::black_box;

use super::*;

const PAGE: usize = 4096;
/// With all the time that a slow machine needs.
const PATIENT: Budget = Budget { time: Duration::from_secs(120), ..Budget::DEFAULT };

fn ourselves(budget: Budget) -> Process {
    Process::open(&Procfs::new("/proc"), std::process::id(), budget).unwrap()
}

/// Pages of this process, the first `touched` of them touched.
fn pages(count: usize, touched: usize) -> Vec<u8> {
    // No arena of a thread has so much room (`HEAP_MAX_SIZE` is 64 MiB), whatever other tests have freed in it: malloc maps
    // it, and its pages become present when written.
    let mut pages = vec![0_u8; (count + 1) * PAGE + (128 << 20)];
    let start = first_page(&pages);
    for page in 0..touched {
        pages[start + page * PAGE] = 7;
    }
    black_box(pages)
}

fn first_page(pages: &[u8]) -> usize {
    pages.as_ptr().addr().next_multiple_of(PAGE) + PAGE - pages.as_ptr().addr()
}

#[test]
fn what_is_present_is_read_and_what_is_not_stays_away() {
    let memory = pages(64, 3);
    let start = (memory.as_ptr().addr() + first_page(&memory)) as u64;
    let mut process = ourselves(PATIENT);
    let (page, mut bytes) = (PAGE as u64, [0; 2 * PAGE]);
    assert!(process.read(start + page, &mut bytes));
    assert_eq!((bytes[0], bytes[PAGE]), (7, 7));
    assert!(!process.read(start + 2 * page, &mut bytes));
    assert_eq!(process.present(start, start + 40 * page), [(start, start + 3 * page)]);
    assert_eq!(
        process.read_each(&[start, start + 9 * page, start + page], 8, &mut bytes),
        [true, false, true]
    );
    assert_eq!(bytes[16], 7);
    // None of that made a page present.
    let mut again = ourselves(PATIENT);
    assert_eq!(again.resident(start, start + 40 * page), 3 * page);
}

#[test]
fn addresses_of_nobody_are_not_read() {
    let mut process = ourselves(PATIENT);
    for address in [0, 8, 1 << 46, 1 << 47, u64::MAX - 4, u64::MAX] {
        assert_eq!(process.word(address), None, "{address:x}");
    }
    assert!(process.present(u64::MAX - PAGE as u64, u64::MAX).is_empty());
}

#[test]
fn the_budget_ends_a_reading() {
    let memory = pages(16, 16);
    let start = (memory.as_ptr().addr() + first_page(&memory)) as u64;
    let mut process = ourselves(Budget { bytes: 20, ..PATIENT });
    assert!(process.word(start).is_some() && process.word(start).is_some());
    assert!(process.word(start).is_none() && process.is_spent());
    let mut late = ourselves(Budget { time: Duration::ZERO, ..Budget::DEFAULT });
    assert_eq!(late.left(), 0, "bytes are no use without time");
    assert!(late.word(start).is_none() && late.is_spent());
    assert!(late.present(0, u64::MAX).is_empty());
}

/// Single queries of one block, until the whole block is read, give the same answers.
#[test]
fn pages_asked_one_by_one_are_as_those_of_a_block() {
    let memory = pages(600, 300);
    let start = (memory.as_ptr().addr() + first_page(&memory)) as u64;
    let mut process = ourselves(PATIENT);
    let read = (0..600).filter(|page| process.word(start + page * PAGE as u64).is_some()).count();
    let mut bytes = vec![0; 301 * PAGE];
    assert!(process.read(start, &mut bytes[..300 * PAGE]));
    assert!(!process.read(start, &mut bytes));
    assert_eq!(read, 300);
}
