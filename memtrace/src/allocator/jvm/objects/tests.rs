//! A made-up Serial heap: objects of two classes, arrays, and the fields that lead to them.

use proptest::prelude::*;

use super::{super::fields::Place, *};
use crate::allocator::{image::fake, image::fake::Fake};

const HEAP: u64 = 0x10_0000;
const CLASSES: u64 = 0x80_0000;

/// The heap at 0x1000, generations at 0x2000 and 0x3000, spaces from 0x4000 on; of classes the layout helper is at 8 and
/// the name at 24, of symbols the length is at 4 and the text at 6.
fn fields() -> Fields {
    let within = |class, field, at| ((class, field), Place::Within(at));
    Fields::made(&[
        (("Universe", "_collectedHeap"), Place::Static(0x500)),
        (("CompressedKlassPointers", "_base"), Place::Static(0x508)),
        (("CompressedKlassPointers", "_shift"), Place::Static(0x510)),
        (("ThreadsSMRSupport", "_java_thread_list"), Place::Static(0x518)),
        within("SerialHeap", "_young_gen", 8),
        within("SerialHeap", "_old_gen", 16),
        within("DefNewGeneration", "_eden_space", 0),
        within("DefNewGeneration", "_from_space", 8),
        within("TenuredGeneration", "_the_space", 0),
        within("ContiguousSpace", "_bottom", 0),
        within("ContiguousSpace", "_top", 8),
        within("Klass", "_layout_helper", 8),
        within("Klass", "_name", 24),
        within("Symbol", "_length", 4),
        within("Symbol", "_body[0]", 6),
        within("ThreadsList", "_length", 0),
        within("ThreadsList", "_threads", 8),
        within("Thread", "_tlab", 0),
        within("ThreadLocalAllocBuffer", "_top", 0),
        within("ThreadLocalAllocBuffer", "_end", 8),
    ])
}

/// Classes at 0x80 and 0x100 from [`CLASSES`]: instances of 24 bytes, and arrays of bytes. One thread has room in eden.
fn memory(eden: &[u64], room: (u64, u64)) -> Fake {
    let (top, old) = (HEAP + eden.len() as u64 * 8, HEAP + (1 << 16));
    let mut heap = eden.to_vec();
    heap.resize(1 << 14, 0);
    let mut classes = vec![0; 512];
    let mut put = |at: usize, helper: u64, name: &[u8; 2]| {
        (classes[at + 1], classes[at + 3]) = (helper, CLASSES + at as u64 * 8 + 64);
        classes[at + 8] = 2 << 32 | u64::from(u16::from_le_bytes(*name)) << 48;
    };
    put(16, 24, b"Ab");
    put(32, 0xc010_0800, b"[B");
    Fake::default()
        .with_words(0x500, &[0x1000, CLASSES, 0, 0x600])
        .with_words(0x600, &[1, 0x700])
        .with_words(0x700, &[0x800])
        .with_words(0x800, &[room.0, room.1, 0, 0, 0, 0, 0, 0])
        .with_words(0x1000, &[0, 0x2000, 0x3000])
        .with_words(0x2000, &[0x4000, 0x5000])
        .with_words(0x3000, &[0x6000])
        .with_words(0x4000, &[HEAP, top])
        .with_words(0x5000, &[old, old])
        .with_words(0x6000, &[old, old])
        .with_words(HEAP, &heap)
        .with_words(CLASSES, &classes)
}

fn read(memory: &mut Fake) -> Result<Objects, &'static str> {
    census(&fields(), memory, &[(HEAP, HEAP + (1 << 17))])
}

/// Two instances, an array of 5 bytes.
const OBJECTS: [u64; 9] = [1, 0x80, 7, 1, 0x80, 7, 1, 5 << 32 | 0x100, 9];

#[test]
fn objects_follow_each_other() {
    let objects = read(&mut memory(&OBJECTS, (0, 0))).unwrap();
    let rows: Vec<_> = objects.rows.iter().map(|row| (row.name.as_str(), row.bytes.0, row.count)).collect();
    assert_eq!(rows, [("Ab", 48, 2), ("byte[]", 24, 1)]);
    assert_eq!((objects.heap_bytes.0, objects.untyped_bytes.0, objects.error_bytes.0), (72, 0, 0));
    assert_eq!((objects.pieces, objects.pieces_read, objects.grade), (1, 1, Grade::Read));
}

#[test]
fn room_of_a_thread_is_no_object() {
    // What was there before looks like objects.
    let eden = [&OBJECTS[..], &OBJECTS[..], &[0, 0], &OBJECTS[..]].concat();
    let room = (HEAP + 72, HEAP + 128);
    let objects = read(&mut memory(&eden, room)).unwrap();
    let rows: Vec<_> = objects.rows.iter().map(|row| (row.name.as_str(), row.count)).collect();
    assert_eq!((rows, objects.untyped_bytes.0), (vec![("Ab", 4), ("byte[]", 2)], 72 + 16));
}

#[test]
fn an_array_beyond_its_space_is_none() {
    let mut eden = OBJECTS;
    eden[7] = 1 << 40 | 0x100;
    let objects = read(&mut memory(&eden, (0, 0))).unwrap();
    assert_eq!((objects.rows.len(), objects.untyped_bytes.0), (1, 24));
    assert!(read(&mut memory(&[3; 100], (0, 0))).unwrap_err().contains("not recognised"));
}

proptest! {
    #[test]
    fn any_memory_is_read_to_an_end(mut memory in fake::memory()) {
        read(&mut memory).ok();
    }

    #[test]
    fn any_objects_are_read_to_an_end(
        words in prop::collection::vec((0..3_u8, any::<u64>()), 0..400),
        room in any::<(u16, u16)>(),
        changes in prop::collection::vec((0..512_u64, any::<u64>()), 0..8),
    ) {
        let word = |(kind, word): (u8, u64)| match kind {
            0 => word,
            1 => 0x80 | (word & 1) << 7,
            _ => (word % 64) << 32 | 0x100,
        };
        let eden: Vec<u64> = words.into_iter().map(word).collect();
        let mut memory = memory(&eden, (HEAP + u64::from(room.0), HEAP + u64::from(room.1)));
        for (at, word) in changes {
            memory.write_word(CLASSES + at * 8, word);
        }
        if let Ok(objects) = read(&mut memory) {
            let sum: u64 = objects.rows.iter().map(|row| row.bytes.0).sum();
            prop_assert!(sum + objects.untyped_bytes.0 <= objects.heap_bytes.0);
        }
    }
}
