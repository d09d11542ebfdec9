//! Names of functions from the table that every Go program has for its own stack traces, stripped or not
//! (`runtime/symtab.go`, the layout of 1.18 and later).
//!
//! Input: the data of Go modules, in which `moduledata` points to the table; the table, from memory where it is present, else
//! from the file. Output: the function at an address. A function that was inlined has the name of the one that it is in.

use crate::{
    allocator::{
        counters::{
            Target,
            data::{self, Data},
        },
        objects::LONGEST_NAME,
    },
    mm::region::Backing,
    text::escape,
};

/// The first half word of the table: of 1.18 and 1.19, and since 1.20.
const MAGICS: [u32; 2] = [0xffff_fff0, 0xffff_fff1];
/// The most bytes between the start of the table and the names.
const MOST_HEAD: u64 = 256;
/// The largest index of functions, in bytes: 8 for each.
const MOST_INDEX: u64 = 16 << 20;
/// The most modules: a program, its plugins.
const MOST_MODULES: usize = 4;

/// The table of one module.
#[derive(Debug)]
struct Table {
    names: u64,
    functions: u64,
    text: u64,
    end: u64,
    /// By address: offset of the code, offset of the function.
    index: Vec<[u32; 2]>,
}

/// The functions of all modules.
#[derive(Debug, Default)]
pub(super) struct Functions(Vec<Table>);

impl Functions {
    /// Finds the tables.
    pub(super) fn find(target: &mut Target<'_>, data: &[Data]) -> Self {
        let all = data.iter().flat_map(Data::suffixes).map(|(_, words)| words);
        let likely: Vec<&[u64]> = all.filter(|words| is_likely(words)).take(MOST_MODULES).collect();
        Self(likely.into_iter().filter_map(|words| Table::of(target, words)).collect())
    }

    /// Whether there are none.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The function at an address, escaped and cut.
    pub(super) fn name(&self, target: &mut Target<'_>, pc: u64) -> Option<String> {
        let table = self.0.iter().find(|table| (table.text..table.end).contains(&pc))?;
        let offset = u32::try_from(pc.checked_sub(table.text)?).ok()?;
        let after = table.index.partition_point(|[start, _]| *start <= offset);
        let [_, function] = *table.index.get(after.checked_sub(1)?)?;
        let function = bytes(target, table.functions.checked_add(function.into())?, 8)?;
        let name = table.names.checked_add(data::half(&function, 4)?.into())?;
        // At the very end of the table there are fewer bytes.
        let text = [LONGEST_NAME, 64, 16].into_iter().find_map(|most| bytes(target, name, most))?;
        let text = text.split(|byte| *byte == 0).next().filter(|text| !text.is_empty())?;
        Some(escape(text))
    }
}

/// Whether these are the first words of `moduledata`: the table, its names, ..., its functions, its index (a slice), the
/// first and last address, the code.
fn is_likely(words: &[u64]) -> bool {
    let Some([table, names, length, room, ..]) = words.first_chunk::<24>() else { return false };
    let Some([index, room_of_index, _, first, last, text, end]) =
        words.get(17..).and_then(<[u64]>::first_chunk)
    else {
        return false;
    };
    let is_near = names.checked_sub(*table).is_some_and(|head| (32..MOST_HEAD).contains(&head));
    is_near
        && length == room
        && index == room_of_index
        && (2..MOST_INDEX / 8).contains(index)
        && text <= first
        && first < last
        && last <= end
        && end.wrapping_sub(*text) < 1 << 32
}

impl Table {
    fn of(target: &mut Target<'_>, words: &[u64]) -> Option<Self> {
        let at = |place: usize| words.get(place).copied();
        let head = bytes(target, at(0)?, 8)?;
        let [.., pointer] = *head.first_chunk::<8>()?;
        if !MAGICS.contains(&data::half(&head, 0)?) || pointer != 8 {
            return None;
        }
        let length = at(17)?.checked_mul(8).filter(|length| *length <= MOST_INDEX)?;
        let index = bytes(target, at(16)?, usize::try_from(length).ok()?)?;
        let index: Vec<[u32; 2]> = index
            .as_chunks::<8>()
            .0
            .iter()
            .map(|entry| [0, 4].map(|at| data::half(entry, at).unwrap_or_default()))
            .collect();
        let is_sorted = index.is_sorted_by_key(|[start, _]| *start);
        is_sorted.then_some(Self { names: at(1)?, functions: at(13)?, text: at(22)?, end: at(23)?, index })
    }
}

/// Bytes of the table: from memory if they are present, or from the file that is mapped there.
fn bytes(target: &mut Target<'_>, address: u64, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    if target.image.read(address, &mut bytes) {
        return Some(bytes);
    }
    let region = target.region(address)?;
    let Backing::File(file) = &region.backing else { return None };
    let end = address.checked_add(length as u64)?;
    // What a program can write may not be what the file has.
    if end > region.end || region.prot.is_writable() {
        return None;
    }
    target.files.read_at(file, region.offset.checked_add(address - region.start)?, length)
}
