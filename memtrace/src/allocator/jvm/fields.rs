//! Offsets of fields of HotSpot's classes, from the table that libjvm has for debuggers (vmStructs.hpp).
//!
//! Input: the names in the libjvm file, and memory. Output: [`Fields`]. The table describes this particular build; its
//! address and the layout of its entries are exported symbols.

use std::collections::HashMap;

use crate::{
    allocator::{
        counters::Target,
        image::Image,
        jvm::names::{Field, Names, WANTED},
    },
    units::native::{number, word},
};

/// HotSpot 21 has some 800 entries.
const MOST_ENTRIES: u64 = 4096;
const MOST_STRIDE: u64 = 256;
/// Entries that are read at once.
const STEP: u64 = 64;

/// Where a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// At an address.
    Static(u64),
    /// At an offset in each object.
    Within(u64),
}

/// The libjvm of a process.
pub(super) struct Libjvm<'a> {
    /// Names in its file.
    pub(super) names: &'a Names,
    /// How far its addresses in memory are above those in its file.
    pub(super) moved_by: u64,
    /// Its fields.
    pub(super) fields: Fields,
}

impl<'a> Libjvm<'a> {
    /// `None` when there is none, or its table of fields cannot be read.
    pub(super) fn of(target: &mut Target<'a>) -> Option<Self> {
        let module = target.process.modules().iter().find(|module| module.names.is_some())?;
        let names = module.names.as_deref()?;
        let page = target.image.page_size();
        let moved_by = module.base().checked_sub(names.start - names.start % page)?;
        Some(Self { names, moved_by, fields: Fields::read(target.image, names, moved_by)? })
    }
}

/// The fields of one virtual machine.
#[derive(Debug, Default)]
pub(super) struct Fields(HashMap<Field, Place>);

/// Offsets in an entry (`gHotSpotVMStructEntry...Offset`), all of them within it.
#[derive(Clone, Copy, Debug)]
struct Layout {
    class: usize,
    field: usize,
    is_static: usize,
    offset: usize,
    address: usize,
    stride: usize,
}

impl Fields {
    /// Reads the table of a libjvm that was relocated by `moved_by`; `None` when it has none, or not all of it can be
    /// read.
    pub(super) fn read(image: &mut dyn Image, names: &Names, moved_by: u64) -> Option<Self> {
        let mut variable = |name: &str| image.word(names.variable(name)?.checked_add(moved_by)?);
        let layout = Layout::of(&mut variable)?;
        let stride = layout.stride as u64;
        let (mut at, mut fields) = (variable("s")?, HashMap::new());
        let mut bytes = vec![0; (STEP * stride) as usize];
        for _ in 0..MOST_ENTRIES / STEP {
            // The page after the table may not be resident.
            let is_whole = image.read(at, &mut bytes);
            for entry in 0..STEP {
                let entry_at = usize::try_from(entry * stride).ok()?;
                let entry_bytes = bytes.get_mut(entry_at..)?.get_mut(..layout.stride)?;
                if !is_whole && !image.read(at.checked_add(entry * stride)?, entry_bytes) {
                    return None;
                }
                if number(entry_bytes, layout.class)? == 0 {
                    return Some(Self(fields));
                }
                fields.extend(layout.entry(entry_bytes, names, moved_by));
            }
            at = at.checked_add(STEP * stride)?;
        }
        None
    }

    /// The given fields, for tests.
    #[cfg(test)]
    pub(super) fn made(places: &[(Field, Place)]) -> Self {
        Self(places.iter().copied().collect())
    }

    /// The word of the first static field that this build has; also 0.
    pub(super) fn fixed<const N: usize>(&self, image: &mut dyn Image, fields: [Field; N]) -> Option<u64> {
        let place = fields.into_iter().find_map(|field| self.place(field))?;
        match place {
            Place::Static(address) => image.word(address),
            Place::Within(_) => None,
        }
    }

    /// The offset of the first field that this build has.
    pub(super) fn offset<const N: usize>(&self, fields: [Field; N]) -> Option<u64> {
        match fields.into_iter().find_map(|field| self.place(field))? {
            Place::Within(offset) => Some(offset),
            Place::Static(_) => None,
        }
    }

    /// The word of the first field that this build has, in an object.
    pub(super) fn word<const N: usize>(
        &self,
        image: &mut dyn Image,
        object: u64,
        fields: [Field; N],
    ) -> Option<u64> {
        image.word(object.checked_add(self.offset(fields)?)?)
    }

    /// Where a field is, if this build has it.
    pub(super) fn place(&self, field: Field) -> Option<Place> {
        self.0.get(&field).copied()
    }
}

impl Layout {
    fn of(variable: &mut impl FnMut(&str) -> Option<u64>) -> Option<Self> {
        let stride = variable("EntryArrayStride").filter(|stride| *stride <= MOST_STRIDE)?;
        let mut within = |name: &str| {
            let at = variable(name).filter(|at| at.checked_add(8).is_some_and(|end| end <= stride))?;
            usize::try_from(at).ok()
        };
        Some(Self {
            class: within("EntryTypeNameOffset")?,
            field: within("EntryFieldNameOffset")?,
            is_static: within("EntryIsStaticOffset")?,
            offset: within("EntryOffsetOffset")?,
            address: within("EntryAddressOffset")?,
            stride: usize::try_from(stride).ok()?,
        })
    }

    /// `None` for a field that is not needed.
    fn entry(&self, entry: &[u8], names: &Names, moved_by: u64) -> Option<(Field, Place)> {
        let name = |at: usize| names.name(number(entry, at)?.checked_sub(moved_by)?);
        let field = (name(self.class)?, name(self.field)?);
        let wanted = *WANTED.iter().find(|wanted| **wanted == field)?;
        let place = match word(entry, self.is_static)? {
            0 => Place::Within(number(entry, self.offset)?),
            _ => Place::Static(number(entry, self.address)?),
        };
        Some((wanted, place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocator::image::fake::Fake;

    const TABLE: u64 = 0x7f00_0000_0000;
    const MOVED: u64 = 0x1000_0000;

    fn libjvm() -> (Names, Fake) {
        let offsets =
            ["EntryTypeNameOffset", "EntryFieldNameOffset", "EntryIsStaticOffset", "EntryOffsetOffset"];
        let more = ["EntryAddressOffset", "EntryArrayStride", "s"];
        let variables: Vec<(&str, u64)> = offsets.into_iter().chain(more).zip((0x100..).step_by(8)).collect();
        let texts = [(0x10, "Universe"), (0x20, "_collectedHeap"), (0x30, "Space"), (0x40, "_end")];
        let names = Names::made(&variables, &texts);
        let (universe, heap, space, end) = (0x10 + MOVED, 0x20 + MOVED, 0x30 + MOVED, 0x40 + MOVED);
        let memory = Fake::default().with_words(0x100 + MOVED, &[0, 8, 16, 24, 32, 40, TABLE]).with_words(
            TABLE,
            &[
                [universe, heap, 1, 0, 0x5000],
                [space, end, 0, 16, 0],
                [space, heap, 0, 16, 0],
                [99, end, 0, 16, 0],
                [0; 5],
            ]
            .concat(),
        );
        (names, memory)
    }

    #[test]
    fn fields_are_found_by_the_names_that_entries_point_at() {
        let (names, mut memory) = libjvm();
        let fields = Fields::read(&mut memory, &names, MOVED).unwrap();
        assert_eq!(fields.place(("Universe", "_collectedHeap")), Some(Place::Static(0x5000)));
        assert_eq!(fields.place(("Space", "_end")), Some(Place::Within(16)));
        assert_eq!(fields.0.len(), 2, "what is not looked for, or by no name, is left out");
    }

    #[test]
    fn a_table_that_is_not_all_there_is_none() {
        let (names, mut memory) = libjvm();
        // No last entry.
        memory.write_word(TABLE + 4 * 40, 7);
        assert!(Fields::read(&mut memory, &names, MOVED).is_none());
        let (_, mut memory) = libjvm();
        // An offset beyond the entry.
        memory.write_word(0x100 + MOVED + 8, 40);
        assert!(Fields::read(&mut memory, &names, MOVED).is_none());
    }
}
