//! The buffers that objects hold in other blocks: items of lists, tables of dicts and sets, attributes of instances.
//!
//! Input: an object's own bytes; for dicts and instances a few words elsewhere. Output: bytes, as the allocator rounds
//! them. A size that the process cannot have is none.

use std::collections::HashMap;

use super::{
    keys::{self, Keys, MA_KEYS, MA_VALUES},
    pool::block_size,
    types::{Attributes, Kind, TypeObject},
};
use crate::allocator::{
    counters::data::word,
    cpython::pools::{self, HEADER, Pools},
    image::Image,
    objects::tally::Type,
};

/// The largest block of obmalloc.
pub const SMALL: u64 = 512;
/// The most pools of attributes that are remembered.
const MOST_POOLS: usize = 1 << 16;

/// Words that have to be read to know what an object holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    /// The table at this address is a dict's.
    Table(u64),
    /// The attributes at this address are in a block of their own.
    Values(u64),
}

/// What the objects of one pool hold.
#[derive(Debug, Default)]
pub struct Held {
    /// Of each answer the type and the bytes.
    pub buffers: Vec<(Type, u64)>,
    questions: Vec<(Type, Question)>,
}

impl Held {
    /// Adds an object: its bytes from `object` on, and the block before it. `most` is the largest buffer that the process
    /// can have.
    pub fn add(&mut self, of: Type, found: &TypeObject, block: &[u8], at: u64, most: u64) {
        let object = block.get(found.before..).unwrap_or_default();
        let own = || word(object, 0);
        if own().is_none() {
            return;
        }
        let buffer = match found.kind {
            Kind::List => word(object, 24)
                .zip(word(object, 32))
                .filter(|(items, _)| *items != 0)
                .map(|(_, n)| n.checked_mul(8)),
            Kind::ByteArray => word(object, 24).map(Some),
            // A small table is in the object itself.
            Kind::Set => {
                word(object, 32).filter(|mask| *mask >= 8).map(|mask| mask.checked_add(1)?.checked_mul(16))
            }
            Kind::Dict => {
                let table = usize::try_from(MA_KEYS).ok().and_then(|at| word(object, at));
                self.questions.extend(table.map(|table| (of, Question::Table(table))));
                let values = word(object, MA_VALUES).filter(|values| *values != 0);
                self.questions.extend(values.map(|values| (of, Question::Values(values))));
                None
            }
            Kind::Other => None,
        };
        if let Some(bytes) = buffer.flatten().filter(|bytes| (1..=most).contains(bytes)) {
            self.buffers.push((of, rounded(bytes)));
        }
        let values = values(found.attributes, block, at);
        self.questions.extend(values.map(|values| (of, Question::Values(values))));
    }

    /// Reads what has to be read. `known` are the sizes of blocks by pool.
    pub fn ask(&mut self, image: &mut dyn Image, pools: &Pools, known: &mut HashMap<u64, u64>, most: u64) {
        let questions = std::mem::take(&mut self.questions);
        let is_new = |pool: &u64| !known.contains_key(pool);
        let heads: Vec<u64> = questions
            .iter()
            .filter_map(|(_, question)| match question {
                Question::Values(at) => Some(at - at % pools.size).filter(is_new),
                Question::Table(_) => None,
            })
            .collect();
        let mut buffer = vec![0; heads.len() * HEADER];
        let read = image.read_each(&heads, HEADER, &mut buffer);
        for ((pool, bytes), is_read) in heads.iter().zip(buffer.as_chunks::<HEADER>().0).zip(read) {
            let header = pools::words(bytes);
            if is_read && known.len() < MOST_POOLS && pools.used(*pool, header).is_some() {
                known.insert(*pool, block_size(header) as u64);
            }
        }
        let tables: Vec<(Type, u64)> = questions
            .iter()
            .filter_map(|(of, question)| match question {
                Question::Table(at) => Some((*of, *at)),
                Question::Values(_) => None,
            })
            .collect();
        let places: Vec<u64> = tables.iter().map(|(_, at)| *at).collect();
        let mut buffer = vec![0; places.len() * keys::HEAD];
        let read = image.read_each(&places, keys::HEAD, &mut buffer);
        for (((of, _), bytes), is_read) in tables.iter().zip(buffer.as_chunks::<{ keys::HEAD }>().0).zip(read)
        {
            // A table that several share is the class's.
            let table = Some(bytes).filter(|_| is_read).and_then(|bytes| Keys::of(bytes));
            let own = table.filter(|table| table.references == 1).map(|table| table.bytes());
            self.buffers.extend(own.filter(|bytes| *bytes <= most).map(|bytes| (*of, rounded(bytes))));
        }
        for (of, question) in questions {
            if let Question::Values(at) = question {
                self.buffers.extend(known.get(&(at - at % pools.size)).map(|size| (of, *size)));
            }
        }
    }
}

/// Bytes of a block with room for so many.
pub const fn rounded(bytes: u64) -> u64 {
    bytes.div_ceil(16) * 16
}

/// Where the attributes of an instance are, if they are in a block of their own.
fn values(attributes: Attributes, block: &[u8], at: u64) -> Option<u64> {
    let (first, second) = (word(block, 0)?, word(block, 8)?);
    let values = match attributes {
        Attributes::Unmanaged => None,
        Attributes::TwoWords if second == 0 => Some(first),
        // The lowest bit is set, also for a class of 3.12 whose instances have no weak references.
        Attributes::TwoWords | Attributes::OneWord => {
            Some(second).filter(|word| word & 1 != 0)?.checked_add(1)
        }
    }?;
    let is_elsewhere = !(at..at.saturating_add(block.len() as u64)).contains(&values);
    (values != 0 && values < 1 << 47 && values.is_multiple_of(8) && is_elsewhere).then_some(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocator::image::fake::Fake;

    const AT: u64 = 0x7f00_0000_0000;

    fn of_kind(kind: Kind) -> TypeObject {
        TypeObject { name: String::new(), basic: 40, before: 16, attributes: Attributes::Unmanaged, kind }
    }

    fn held(kind: Kind, object: &[u64]) -> Vec<(Type, u64)> {
        let words = [&[AT, AT][..], object].concat();
        let block: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let mut held = Held::default();
        held.add(7, &of_kind(kind), &block, AT, 1 << 30);
        held.buffers
    }

    #[test]
    fn a_buffer_is_as_large_as_its_owner_says() {
        assert_eq!(held(Kind::List, &[1, AT, 3, AT, 5]), [(7, 48)]);
        assert_eq!(held(Kind::List, &[1, AT, 0, 0, 5]), [], "without items");
        assert_eq!(held(Kind::List, &[1, AT, 3, AT, 1 << 40]), [], "more than there is");
        assert_eq!(held(Kind::List, &[1, AT, 3, AT, u64::MAX]), []);
        assert_eq!(held(Kind::Set, &[1, AT, 9, 9, 31, AT]), [(7, 512)]);
        assert_eq!(held(Kind::Set, &[1, AT, 3, 3, 7, AT]), [], "in the object");
        assert_eq!(held(Kind::ByteArray, &[1, AT, 100, 101]), [(7, 112)]);
        assert_eq!(held(Kind::Other, &[1, AT, 3, AT, 5]), []);
    }

    #[test]
    fn a_shared_table_is_not_the_dicts() {
        let mut fake = Fake::default()
            .with_words(AT, &[1, 3 | 3 << 8 | 1 << 16, 0, 0, 0])
            .with_words(AT + 0x1000, &[2, 3 | 3 << 8 | 2 << 16, 0, 0, 0]);
        let pools = Pools::guess(&mut fake, &[]).unwrap();
        let mut held = Held::default();
        for table in [AT, AT + 0x1000, AT + 0x2000, 0, u64::MAX] {
            let words = [0, 0, 1, AT, 1, 1, table, 0];
            let block: Vec<u8> = words.iter().flat_map(|word: &u64| word.to_le_bytes()).collect();
            held.add(7, &of_kind(Kind::Dict), &block, AT, 1 << 30);
        }
        held.ask(&mut fake, &pools, &mut HashMap::new(), 1 << 30);
        assert_eq!(held.buffers, [(7, 128)]);
    }

    #[test]
    fn attributes_are_where_the_words_before_the_instance_say() {
        use Attributes::{OneWord, TwoWords, Unmanaged};
        let elsewhere = AT + 0x1000;
        for (attributes, first, second, place) in [
            (TwoWords, elsewhere, 0, Some(elsewhere)),
            (TwoWords, 0, elsewhere, None),
            (TwoWords, 0, elsewhere - 1, Some(elsewhere)),
            (OneWord, 0, elsewhere - 1, Some(elsewhere)),
            (OneWord, elsewhere, 0, None),
            (OneWord, 0, AT + 7, None),
            (Unmanaged, elsewhere, elsewhere - 1, None),
            (TwoWords, u64::MAX - 7, 0, None),
            (OneWord, 0, u64::MAX, None),
        ] {
            let block = [first, second].map(u64::to_le_bytes).concat();
            assert_eq!(values(attributes, &block, AT), place, "{attributes:?} {first:x} {second:x}");
        }
    }
}
