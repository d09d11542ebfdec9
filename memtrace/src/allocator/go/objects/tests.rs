use proptest::prelude::*;

use super::*;
use crate::allocator::{
    image::fake::{self, Fake},
    objects::conformance,
};

/// A program's data.
const DATA: u64 = 0x50_0000;
/// Where buckets are: the second range of the fake is a heap, the third plain memory.
const OTHER: u64 = 0x60_0000;
const BUCKETS: u64 = 0x70_0000;

fn bucket_of(size: u64, allocs: u64, frees: u64) -> Bucket {
    buckets::made(size, allocs, frees)
}

fn default_rate() -> rate::Rate {
    rate::Rate { bytes: 512 << 10, is_default: true, doubt: 0.0 }
}

#[test]
fn samples_are_scaled_as_pprof_does() {
    let mut site = Estimate::default();
    site.add(&bucket_of(64, 100, 40), default_rate());
    // 60 / (1 - exp(-64 / 524288)).
    assert_eq!((site.count.round(), site.bytes.round()), (491_550.0, 31_459_200.0));
    assert!(site.off_bytes() > site.bytes as u64 / 2 && site.off_bytes() < 2 * site.bytes as u64);
    let mut large = Estimate::default();
    large.add(&bucket_of(64 << 20, 3, 1), default_rate());
    assert_eq!(
        (large.bytes as u64, large.off_bytes(), large.off_count()),
        (128 << 20, 0, 0),
        "all are sampled"
    );
}

#[test]
fn the_rate_is_that_at_which_the_sums_agree() {
    let at = |rate: f64| {
        // A million objects of 100 bytes, and 64 of a MiB.
        let chance = |size: f64| if rate <= 1.0 { 1.0 } else { 1.0 - (-size / rate).exp() };
        let seen = |count: f64, size: u64| bucket_of(size, (count * chance(size as f64)).round() as u64, 0);
        vec![seen(1e6, 100), seen(64.0, 1 << 20)]
    };
    let truth = 100_000_000 + (64 << 20);
    let found = rate::of(&at(524_288.0), truth).unwrap();
    assert_eq!((found.bytes, found.is_default), (524_288, true));
    assert_eq!(rate::of(&at(1.0), truth).unwrap().bytes, 1);
    let found = rate::of(&at(8192.0), truth).unwrap();
    assert!(found.bytes.abs_diff(8192) <= 82 && !found.is_default, "{found:?}");
    assert!(rate::of(&at(1e8), truth).is_err(), "two samples tell nothing");
    assert!(rate::of(&[], 1 << 20).unwrap().is_default, "a young program");
}

/// Memory with a list of buckets in it, as words, and a word of data that points to the first.
fn memory(buckets: &[u64]) -> Fake {
    let mut data = vec![0; 64];
    data[7] = BUCKETS;
    Fake::default().with_words(DATA, &data).with_words(OTHER, &[0; 64]).with_words(BUCKETS, buckets)
}

fn bucket(next: u64, size: u64, record: [u64; 2]) -> Vec<u64> {
    let [allocs, frees] = record;
    let mut words = vec![0, next, 1, 7, size, 2, DATA + 8, DATA + 16];
    words.extend([allocs, frees, allocs * size, frees * size]);
    words.resize(8 + 16, 0);
    words
}

/// The profile in this memory.
fn profile(memory: Fake) -> Result<Profile, &'static str> {
    crate::allocator::counters::conformance::with_target(NAME, memory, &fake::NO_FILES, |target| {
        Profile::walk(target, BUCKETS)
    })
}

#[test]
fn a_list_is_read_to_its_end_and_a_bucket_that_is_changing_is_thrown_away() {
    let mut words = bucket(BUCKETS + 24 * 8, 64, [5, 2]);
    let mut second = bucket(BUCKETS + 48 * 8, 32, [5, 2]);
    second[10] += 32;
    words.extend(second);
    words.extend(bucket(0, 16, [0, 0]));
    let profile = profile(memory(&words)).unwrap();
    let sizes: Vec<_> = profile.buckets.iter().map(|bucket| (bucket.size, bucket.in_use())).collect();
    assert_eq!((sizes, profile.changed), (vec![(64, 3), (16, 0)], 1));
}

#[test]
fn since_1_27_a_record_has_no_bytes() {
    let short = |next: u64, size: u64, cycles: [u64; 8]| {
        let words = [0, next, 1, 7, size, 2, DATA + 8, DATA + 16];
        words.into_iter().chain(cycles).collect::<Vec<u64>>()
    };
    let words = [
        short(BUCKETS + 16 * 8, 64, [5, 2, 0, 0, 1, 0, 0, 3]),
        short(BUCKETS + 32 * 8, 1 << 20, [7, 7, 0, 0, 0, 0, 0, 0]),
        // The end of what is there.
        short(0, 32, [2, 1, 0, 0, 0, 0, 4, 0]),
    ];
    let profile = profile(memory(&words.concat())).unwrap();
    let read: Vec<_> = profile.buckets.iter().map(|bucket| (bucket.in_use(), bucket.allocated)).collect();
    assert_eq!((read, profile.changed), (vec![(3, 6), (0, 7), (1, 6)], 0));
}

#[test]
fn a_circle_a_wild_pointer_and_a_huge_stack_are_no_profile() {
    let circle = [bucket(BUCKETS + 24 * 8, 64, [5, 2]), bucket(BUCKETS, 64, [5, 2])].concat();
    assert!(profile(memory(&circle)).unwrap_err().contains("circle"));
    let wild = bucket(0x7fff_0000_0000, 64, [5, 2]);
    assert!(profile(memory(&wild)).unwrap_err().contains("broken"));
    let mut huge = bucket(0, 64, [5, 2]);
    huge[5] = 1024;
    assert!(profile(memory(&huge)).unwrap_err().contains("could not be read"));
    huge[5] = u64::MAX;
    assert!(profile(memory(&huge)).unwrap_err().contains("broken"));
}

#[test]
fn before_the_first_collection_all_counts() {
    let mut words = bucket(0, 64, [0, 0]);
    words[12..16].copy_from_slice(&[4, 1, 4 * 64, 64]);
    (words[16], words[18]) = (9, 9 * 64);
    let mut profile = profile(memory(&words)).unwrap();
    profile.publish();
    assert_eq!((profile.buckets[0].allocs, profile.buckets[0].in_use()), (13, 12));
}

/// A program of two functions at `DATA`, whose table is at `BUCKETS`: 16 bytes of code each.
fn program(names: &[u8], index: &[[u32; 2]]) -> Fake {
    let mut table = vec![0; 64];
    table[..8].copy_from_slice(&[0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8]);
    table.extend(names);
    table.resize(256, 0);
    // Two functions: where their code begins, and their names.
    [0_u32, 0, 16, 10].iter().for_each(|half| table.extend(half.to_le_bytes()));
    index.iter().flatten().for_each(|half| table.extend(half.to_le_bytes()));
    table.resize(4096, 0);
    let mut data = vec![0; 64];
    (data[8], data[9], data[10], data[11]) = (BUCKETS, BUCKETS + 64, 192, 192);
    data[21] = BUCKETS + 256;
    (data[24], data[25], data[26]) = (BUCKETS + 272, index.len() as u64, index.len() as u64);
    (data[28], data[29], data[30], data[31]) = (DATA, DATA + 32, DATA, DATA + 32);
    Fake::default().with_words(DATA, &data).with_words(OTHER, &[0; 8]).with(BUCKETS, table)
}

/// The whole of it: counters, a profile, functions.
#[test]
fn a_heap_is_told_by_the_functions_that_fill_it() {
    let mut data = vec![0; 128];
    // gcController of 1.21 and later: what was allocated is what these samples stand for.
    data[..3].copy_from_slice(&[100, i64::MAX as u64, 4 << 20]);
    data[19] = 3 << 20;
    data[34..40].copy_from_slice(&[80 << 20, 60 << 20, 24 << 20, 110 << 20, 40 << 20, 164 << 20]);
    data[60] = BUCKETS + 4096;
    let code = DATA + 512;
    let mut table = vec![0; 64];
    table[..8].copy_from_slice(&[0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8]);
    table.extend(b"runtime.newobject\0main.keep\0main.main\0");
    table.resize(256, 0);
    [0_u32, 0, 0, 18, 0, 28].iter().for_each(|half| table.extend(half.to_le_bytes()));
    [[0_u32, 0], [16, 8], [32, 16], [48, 0]]
        .iter()
        .flatten()
        .for_each(|half| table.extend(half.to_le_bytes()));
    table.resize(4096, 0);
    (data[70], data[71], data[72], data[73]) = (BUCKETS, BUCKETS + 64, 192, 192);
    data[83] = BUCKETS + 256;
    (data[86], data[87], data[88]) = (BUCKETS + 280, 4, 4);
    (data[90], data[91], data[92], data[93]) = (code, code + 48, code, code + 48);
    let mut one = vec![0, 0, 1, 7, 64, 3, code + 8, code + 20, code + 40];
    one.extend([200, 80, 200 * 64, 80 * 64]);
    one.resize(9 + 16, 0);
    table.extend(one.iter().flat_map(|word: &u64| word.to_le_bytes()));
    let memory = Fake::default().with_words(DATA, &data).with_words(OTHER, &[0; 8]).with(BUCKETS, table);
    let objects = conformance::holds(&Go, memory, &fake::NO_FILES).unwrap();
    let [row] = &objects.rows[..] else { panic!("{objects:?}") };
    assert_eq!((row.name.as_str(), row.count), ("main.keep < main.main", 983_100));
    assert!(row.error_bytes < row.bytes && row.bytes == objects.heap_bytes, "{objects:?}");
}

fn name_at(memory: Fake, pc: u64) -> Option<String> {
    crate::allocator::counters::conformance::with_target(NAME, memory, &fake::NO_FILES, |target| {
        let data = data::of(target, Mark::Go);
        Functions::find(target, &data).name(target, pc)
    })
}

#[test]
fn functions_have_the_names_of_the_programs_own_table() {
    let index = [[0, 0], [16, 8], [32, 0]];
    let good = || program(b"main.main\0main.\x1b[31m\0", &index);
    assert_eq!(name_at(good(), DATA + 15).as_deref(), Some("main.main"));
    let hostile = name_at(good(), DATA + 16).unwrap();
    assert!(hostile.starts_with("main.") && !hostile.contains('\x1b'), "{hostile}");
    assert_eq!(name_at(good(), DATA + 32), None, "behind its code");
    let unsorted = program(b"main.main\0", &[[16, 0], [0, 8], [32, 0]]);
    assert_eq!(name_at(unsorted, DATA + 15), None);
    let wild = program(b"main.main\0", &[[0, u32::MAX], [16, 8], [32, 0]]);
    assert_eq!(name_at(wild, DATA + 15), None);
    let endless = name_at(program(&[b'x'; 192], &index), DATA).unwrap();
    assert!(endless.len() <= crate::allocator::objects::LONGEST_NAME * 10, "{}", endless.len());
}

proptest! {
    #[test]
    fn any_memory_is_read_to_an_end(memory in fake::memory()) {
        conformance::holds(&Go, memory, &fake::NO_FILES).ok();
    }
}
