//! Handmade metadata, read with more and less time, and arbitrary memory.

use proptest::prelude::*;

use super::*;
use crate::{
    allocator::{
        Owner,
        counters::conformance,
        image::fake::{self, Fake},
    },
    mm::region::Region,
};

proptest! {
    #[test]
    fn any_memory_is_read_to_an_end(memory in fake::memory()) {
        conformance::holds(&Musl, memory, &fake::NO_FILES).ok();
    }

    /// The same with metadata that looks valid.
    #[test]
    fn any_records_are_read_to_an_end(words in prop::collection::vec(any::<u64>(), 505), near: bool) {
        let heap = 0x5555_5555_0000;
        let mut area = vec![7, if near { heap + 0x1000 } else { heap }, 101];
        area.extend(words.iter().enumerate().map(|(at, word)| match at % 5 {
            // Half of the groups are resident and point to their record.
            2 if word % 2 == 0 => heap + 0x2000 + at as u64 / 5 * 64,
            _ => *word,
        }));
        area.resize(1024, 0);
        area.extend((0..1024_u64).map(|at| heap + 24 + at / 8 * 40));
        let memory = Fake::default().with_words(0x4000_0000, &[0; 512]).with_words(heap, &area);
        conformance::holds(&Musl, memory, &fake::NO_FILES).ok();
    }
}

const HEAP: u64 = 0x5555_5555_0000;
const GROUPS: u64 = 0x7f00_0000_0000;
/// A mapping per group: 16 pages, for 15 slots of 4096 - 16 bytes and a rest.
const EACH: u64 = 16 << 12;

/// Areas full of groups of ten slots of 64 bytes each, of which a few are free: more in the later ones. Returns the
/// bytes in use.
fn process(areas: u64) -> (Fake, u64) {
    let (mut fake, mut used) = (Fake::default(), 0);
    let mut words = Vec::new();
    for area in 0..areas {
        let mut page = vec![7, if area + 1 < areas { HEAP + (area + 1) * 4096 } else { 0 }, 101];
        for at in 0..101 {
            let group = GROUPS + (area * 101 + at) * EACH;
            let free = (at * 7 + area) % 10 * (area + 1) / areas;
            let masks = (1 << free) - 1;
            page.extend([0, 0, group, masks, 9 | 3 << 6 | 1 << 12]);
            used += (10 - free) * 64;
            fake = fake.with_words(group, &[HEAP + area * 4096 + 24 + at * 40; 96]);
        }
        page.resize(512, 0);
        words.extend(page);
    }
    (fake.with_words(HEAP, &words), used)
}

fn read(fake: &mut Fake, areas: u64) -> Result<Counters, Absent> {
    let writable = Prot(Prot::READ | Prot::WRITE);
    let groups = (GROUPS, GROUPS + areas * 101 * 656);
    let regions = [
        Region::new(HEAP, HEAP + areas * 4096, writable, Backing::Heap),
        Region::new(groups.0, groups.1, writable, Backing::Anonymous),
    ];
    let owned =
        [Owned { start: groups.0, end: groups.1, region: 1, owner: Owner::inferred(NAME, "group", 0) }];
    let process = ProcessEvidence::default();
    let mut target =
        Target { image: fake, files: &fake::NO_FILES, process: &process, regions: &regions, owned: &owned };
    Musl.read(&mut target)
}

#[test]
fn with_enough_time_it_is_exact() {
    let (mut fake, used) = process(6);
    let counters = read(&mut fake, 6).unwrap();
    assert_eq!((counters.allocated_bytes, counters.error_bytes), (Some(Bytes(used)), Some(Bytes(0))));
    assert_eq!((counters.grade, counters.missing.len()), (Grade::Read, 0));
}

/// On slower and slower machines: as long as there are figures, the true value is within their bound.
#[test]
fn with_less_time_it_samples_and_the_bound_holds() {
    let (fake, used) = process(6);
    let (mut sampled, mut absent) = (0, 0);
    for each in (0..200).map(|step| step * 100) {
        let mut fake = fake.slowed(1 << 20, each);
        match read(&mut fake, 6) {
            Ok(counters) => {
                let [read, off] =
                    [counters.allocated_bytes, counters.error_bytes].map(|bytes| bytes.unwrap().0);
                assert!(read.abs_diff(used) <= off, "{each}: {read} of {used}, off by {off}");
                sampled += u32::from(counters.grade == Grade::Sampled);
            }
            Err(_) => absent += 1,
        }
    }
    assert!(sampled > 50 && absent < 100, "{sampled} sampled, {absent} absent");
    let mut fake = fake.slowed(0, 0);
    assert!(read(&mut fake, 6).unwrap_err().reason.contains("time"));
}
