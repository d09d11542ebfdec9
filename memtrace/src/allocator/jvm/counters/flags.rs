//! The values of HotSpot's flags, from its own table (jvmFlag.cpp): what it was told, or chose by itself when it started.
//!
//! Input: the fields of this build, names in its file, and memory. Output: the flags of [`FLAGS`] that were found. The
//! length of an entry is in no table, so each possible one is tried: with the right one the names are found.

use crate::{
    allocator::{
        image::Image,
        jvm::{
            fields::{Libjvm, Place},
            names::{FLAGS, Field},
        },
    },
    units::native::number,
};

/// HotSpot 25 has some 1,400 flags.
const MOST_FLAGS: u64 = 4096;
/// Lengths of an entry: from two pointers and two numbers up to older builds with texts.
const LENGTHS: [u64; 6] = [24, 32, 40, 48, 56, 64];
/// Larger values are "no bound".
const LARGEST: u64 = 1 << 46;

/// The flags that were found, each with its value. All are words.
pub(super) fn read(libjvm: &Libjvm<'_>, image: &mut dyn Image) -> Vec<(&'static str, u64)> {
    table(libjvm, image).unwrap_or_default()
}

fn table(libjvm: &Libjvm<'_>, image: &mut dyn Image) -> Option<Vec<(&'static str, u64)>> {
    let at = |field: Field| match libjvm.fields.place(field)? {
        Place::Static(address) | Place::Within(address) => Some(address),
    };
    let flags = image.word(at(("JVMFlag", "flags"))?)?;
    let count = image.word(at(("JVMFlag", "numFlags"))?)?.min(MOST_FLAGS);
    let name = usize::try_from(at(("JVMFlag", "_name"))?).ok()?;
    let value = usize::try_from(at(("JVMFlag", "_addr"))?).ok()?;
    let found = LENGTHS.into_iter().map(|length| {
        let mut bytes = vec![0; usize::try_from(count.checked_mul(length)?).ok()?];
        if !image.read(flags, &mut bytes) {
            return None;
        }
        let entries = bytes.chunks_exact(usize::try_from(length).ok()?);
        let named = entries.filter_map(|entry| {
            let text = number(entry, name)?.checked_sub(libjvm.moved_by)?;
            let flag = libjvm.names.name(text)?;
            Some((*FLAGS.iter().find(|known| **known == flag)?, number(entry, value)?))
        });
        Some(named.collect::<Vec<_>>())
    });
    let found = found.flatten().max_by_key(Vec::len)?;
    let values = found.into_iter().filter_map(|(flag, address)| Some((flag, image.word(address)?)));
    Some(values.filter(|(_, value)| (1..LARGEST).contains(value)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocator::{
        image::fake::Fake,
        jvm::{fields::Fields, names::Names},
    };

    const MOVED: u64 = 0x1000_0000;
    const TABLE: u64 = 0x7f00_0000_0000;

    /// A table of three entries of 24 bytes, as JDK 17 has it: address, name, flags and type.
    fn libjvm() -> (Names, Fields, Fake) {
        let texts = [(0x10, "MaxHeapSize"), (0x20, "MaxMetaspaceSize")];
        let fields = Fields::made(&[
            (("JVMFlag", "flags"), Place::Static(0x100)),
            (("JVMFlag", "numFlags"), Place::Static(0x108)),
            (("JVMFlag", "_name"), Place::Within(8)),
            (("JVMFlag", "_addr"), Place::Within(0)),
        ]);
        let entries = [[0x200, 0x30 + MOVED, 0], [0x208, 0x10 + MOVED, 0], [0x210, 0x20 + MOVED, 0]].concat();
        let memory = Fake::default()
            .with_words(0x100, &[TABLE, 3])
            .with_words(TABLE, &[entries, vec![0; 24]].concat())
            .with_words(0x200, &[1, 512 << 20, u64::MAX]);
        (Names::made(&[], &texts), fields, memory)
    }

    #[test]
    fn flags_are_found_by_their_names_whatever_the_length_of_an_entry() {
        let (names, fields, mut memory) = libjvm();
        let libjvm = Libjvm { names: &names, moved_by: MOVED, fields };
        assert_eq!(read(&libjvm, &mut memory), [("MaxHeapSize", 512 << 20)], "no bound is no value");
    }

    #[test]
    fn without_a_table_there_are_none() {
        let (names, _, mut memory) = libjvm();
        let libjvm = Libjvm { names: &names, moved_by: MOVED, fields: Fields::made(&[]) };
        assert_eq!(read(&libjvm, &mut memory), []);
    }
}
