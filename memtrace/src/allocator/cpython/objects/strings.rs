//! The module of a class, which is a string in its dict.
//!
//! Input: the address of a `PyDictObject`. Output: the value of `__module__`. Only names of modules are read, no other
//! value; every length is bounded.

use crate::allocator::{counters::data::word, image::Image, objects::LONGEST_NAME};

use super::keys::{Keys, MA_KEYS};

/// The most entries of a dict that are looked at: a class body sets its module first.
const MOST_ENTRIES: u64 = 64;
const MODULE: &[u8] = b"__module__";
/// `length` of `PyASCIIObject`.
const LENGTH: usize = 16;
/// Where its characters are: since 3.12, and before.
const DATA: [usize; 2] = [40, 48];

/// The module that a class with this dict names; `None` if it is not found, or no ASCII string.
pub fn module(image: &mut dyn Image, dict: u64) -> Option<Vec<u8>> {
    let at = image.word(dict.checked_add(MA_KEYS)?)?;
    let keys = Keys::read(image, at)?;
    let (first, entry) = (at.checked_add(keys.entries_at())?, keys.entry());
    for number in 0..keys.usable().min(MOST_ENTRIES) {
        // An entry ends with its key and its value.
        let end = first.checked_add((number + 1) * entry)?;
        let mut pair = [0; 16];
        if !image.read(end.checked_sub(16)?, &mut pair) {
            return None;
        }
        let (key, value) = (word(&pair, 0)?, word(&pair, 8)?);
        if key == 0 {
            continue;
        }
        if let Some(data) = DATA.into_iter().find(|data| text(image, key, *data).as_deref() == Some(MODULE)) {
            return text(image, value, data).filter(|name| name.iter().all(u8::is_ascii_graphic));
        }
    }
    None
}

/// The characters of an ASCII string.
fn text(image: &mut dyn Image, string: u64, data: usize) -> Option<Vec<u8>> {
    let len = image.word(string.checked_add(LENGTH as u64)?)?;
    let len = usize::try_from(len).ok().filter(|len| (1..=LONGEST_NAME).contains(len))?;
    let mut bytes = vec![0; len];
    image.read(string.checked_add(data as u64)?, &mut bytes).then_some(bytes)
}
