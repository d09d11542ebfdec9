//! Made-up processes: pools of objects, and the types that they point to.

use proptest::prelude::*;

use super::*;
use crate::{
    allocator::{
        Owned, Owner,
        image::fake::{self, Fake},
        objects::conformance,
    },
    mm::region::{Backing, Prot, Region},
};

const AT: u64 = 0x7f00_0000_0000;
const POOL: u64 = 16 << 10;
const TYPES: u64 = 0x5555_5555_0000;
const READY: u64 = 1 << 12;
const GC: u64 = 1 << 14;

/// `type` at the start, then a type of this name and flags every 0x200 bytes.
fn types(names: &[(&str, u64)]) -> Vec<u64> {
    // A whole page.
    let mut words = vec![0_u64; 512];
    let mut put = |at: usize, name: &str, flags: u64| {
        let mut text = [0; 16];
        text[..name.len()].copy_from_slice(name.as_bytes());
        let of = &mut words[at * 64..][..64];
        (of[0], of[1], of[3], of[4], of[21]) = (1, TYPES, TYPES + at as u64 * 512 + 400, 24, flags | READY);
        (of[50], of[51]) = (
            u64::from_le_bytes(*text.first_chunk().unwrap()),
            u64::from_le_bytes(*text.last_chunk().unwrap()),
        );
    };
    put(0, "type", GC);
    names.iter().enumerate().for_each(|(at, (name, flags))| put(at + 1, name, *flags));
    words
}

/// Pools of 64-byte blocks: in each pool so many are of the first type, the rest of the second, which has a header of the
/// collector.
fn process(pools: u64, first: impl Fn(u64) -> u64) -> Fake {
    let mut words = Vec::new();
    for pool in 0..pools {
        let at = AT + pool * POOL;
        words.extend([255, 0, at, at, 3 << 32, (POOL - 64) << 32 | (48 + 255 * 64)]);
        for block in 0..255 {
            words.extend(if block < first(pool) {
                [1, TYPES + 512, 7, 7, 7, 7, 7, 7]
            } else {
                [AT, AT, 1, TYPES + 1024, 0, 0, 0, 0]
            });
        }
        words.extend([0, 0]);
    }
    Fake::default().with_words(AT, &words).with_words(TYPES, &types(&[("str", 0), ("mod.Order", GC)]))
}

fn read(fake: &mut Fake, pools: u64) -> Result<Objects, Absent> {
    let (start, end) = (AT, AT + pools * POOL);
    let owned = [Owned { start, end, region: 0, owner: Owner::read(NAME, "obmalloc arena", 0) }];
    let writable = Prot(Prot::READ | Prot::WRITE);
    let regions = [(TYPES, TYPES + 0x1000), (start, end)]
        .map(|(start, end)| Region::new(start, end, writable, Backing::Anonymous));
    let process = ProcessEvidence::default();
    let mut target =
        Target { image: fake, files: &fake::NO_FILES, process: &process, regions: &regions, owned: &owned };
    Cpython.read(&mut target)
}

fn row<'o>(objects: &'o Objects, name: &str) -> &'o crate::allocator::objects::Row {
    objects.rows.iter().find(|row| row.name == name).unwrap()
}

#[test]
fn with_enough_budget_every_block_is_counted() {
    let objects = read(&mut process(64, |pool| pool % 255), 64).unwrap();
    let strings: u64 = (0..64).sum();
    let (str_row, order) = (row(&objects, "str"), row(&objects, "mod.Order"));
    assert_eq!((str_row.count, str_row.bytes.0, str_row.error_bytes.0), (strings, strings * 64, 0));
    assert_eq!((order.count, order.error_count), (64 * 255 - strings, 0));
    assert_eq!((objects.heap_bytes.0, objects.untyped_bytes.0), (64 * 255 * 64, 0));
    assert_eq!((objects.pieces, objects.pieces_read, objects.grade), (64, 64, Grade::Read));
}

#[test]
fn what_has_no_type_is_told() {
    let mut fake = process(4, |_| 255);
    // A block of a freed object, one whose type is no type, one that is nothing.
    for (block, words) in [(0, [0, TYPES + 512]), (1, [1, AT]), (2, [AT, AT])] {
        words.iter().zip(0..).for_each(|(word, at)| fake.write_word(AT + 48 + block * 64 + at * 8, *word));
    }
    let objects = read(&mut fake, 4).unwrap();
    assert_eq!((objects.untyped_bytes.0, row(&objects, "str").count), (3 * 64, 4 * 255 - 3));
}

#[test]
fn a_pool_that_is_torn_is_left_out_and_counted() {
    let mut fake = process(16, |_| 255);
    // Its list of free blocks leads nowhere.
    fake.write_word(AT + 8, AT + 49);
    let objects = read(&mut fake, 16).unwrap();
    assert_eq!((objects.pieces_changed, objects.pieces_read, objects.grade), (1, 15, Grade::Sampled));
    let str_row = row(&objects, "str");
    assert!(str_row.count.abs_diff(16 * 255) <= str_row.error_count, "{str_row:?}");
}

/// One list with a large buffer among many pools is told once, however few of them are read.
#[test]
fn a_large_buffer_stands_for_itself_only() {
    let pools = 512;
    let mut fake = process(pools, |_| 0);
    let names = types(&[("str", 0), ("list", GC | 1 << 25)]);
    names.iter().zip(0..).for_each(|(word, at)| fake.write_word(TYPES + at * 8, *word));
    // The first pool is always read.
    [3, AT, 1 << 20].iter().zip(0..).for_each(|(word, at)| fake.write_word(AT + 48 + 32 + at * 8, *word));
    for left in [256 << 20, 2 << 20] {
        let objects = read(&mut fake.slowed(left, 0), pools).unwrap();
        assert_eq!(row(&objects, "list").held_bytes.0, 8 << 20, "{} of {pools}", objects.pieces_read);
        assert_eq!(objects.missing.len() == 2, objects.grade == Grade::Sampled);
    }
}

#[test]
fn what_changes_between_two_looks_is_in_the_bound() {
    let header = |count: u64, class: u64| Some([count, 0, 1, 2, class << 32, 9]);
    let (moved_blocks, is_at_rest) = moved(&[header(5, 3), None], &[header(5, 3), None]);
    assert!(moved_blocks.is_empty() && is_at_rest);
    let before = [header(5, 3), header(7, 1), None, header(1, 2)];
    let (moved_blocks, is_at_rest) = moved(&before, &[header(9, 3), header(4, 2), header(2, 1), None]);
    assert_eq!((moved_blocks, is_at_rest), (HashMap::from([(3, 8), (1, 18), (2, 10)]), false));
    assert!(!moved(&before, &[]).1, "nobody looked again");
}

/// With less and less budget: as long as there are figures, the true value is within their bound.
#[test]
fn with_less_budget_it_samples_and_the_bound_holds() {
    let pools = 512;
    let first = |pool: u64| pool * 7 % 255;
    let fake = process(pools, first);
    let strings: u64 = (0..pools).map(first).sum();
    let (mut sampled, mut absent) = (0, 0);
    for left in (0..80).map(|step| step << 17) {
        match read(&mut fake.slowed(left, 100), pools) {
            Ok(objects) => {
                sampled += u32::from(objects.grade == Grade::Sampled);
                let Some(row) = objects.rows.iter().find(|row| row.name == "str") else { continue };
                assert!(row.bytes.0.abs_diff(strings * 64) <= row.error_bytes.0, "{left}: {row:?}");
                assert!(row.count.abs_diff(strings) <= row.error_count, "{left}: {row:?}");
            }
            Err(_) => absent += 1,
        }
    }
    assert!(sampled > 40 && absent < 20, "{sampled} sampled, {absent} absent");
    assert!(read(&mut fake.slowed(0, 0), pools).unwrap_err().reason.contains("time"));
}

proptest! {
    #[test]
    fn any_memory_is_read_to_an_end(memory in fake::memory()) {
        conformance::holds(&Cpython, memory, &fake::NO_FILES).ok();
    }

    /// Objects whose words are anything, of types that are anything.
    #[test]
    fn any_objects_are_read_to_an_end(
        words in prop::collection::vec((0..400_u64, any::<u64>(), 0..4_u8), 1..200),
        flags in any::<u64>(),
    ) {
        let mut fake = process(4, |pool| pool * 50);
        for (place, word, kind) in words {
            let word = match kind {
                0 => word,
                1 => TYPES + word % 4 * 512,
                2 => AT + word % (4 * POOL),
                _ => word % 64,
            };
            fake.write_word(if place < 300 { AT + 48 + place * 8 } else { TYPES + place % 96 * 8 }, word);
        }
        fake.write_word(TYPES + 512 + 168, flags | READY);
        conformance::holds(&Cpython, fake, &fake::NO_FILES).ok();
    }
}
