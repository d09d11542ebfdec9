//! Types of a Python process, by the address of their `PyTypeObject`.
//!
//! Input: the word that an object has as its type. Output: name, flags and kind, if a type is there. Each type is read
//! once. What is there is not trusted: it must be an instance of a type, whose own types end at `type`.

use std::collections::HashMap;

use super::strings;
use crate::{
    allocator::{
        counters::data::word,
        image::Image,
        objects::{LONGEST_NAME, tally::Type},
    },
    mm::region::{Prot, Region},
    text,
};

/// The most addresses that are remembered, types or not.
const MOST_KNOWN: usize = 1 << 16;
/// The bytes of a type that are read: up to `tp_dict`.
const HEAD: usize = 272;
/// The most types of types, and the most bases.
const MOST_STEPS: usize = 16;

/// Offsets in `PyObject` and `PyTypeObject`, the same from 3.8 to 3.13.
const OB_TYPE: usize = 8;
const TP_NAME: usize = 24;
const TP_BASICSIZE: usize = 32;
const TP_FLAGS: usize = 168;
const TP_BASE: usize = 256;
const TP_DICT: usize = 264;

/// `Py_TPFLAGS_*`.
const HEAPTYPE: u64 = 1 << 9;
const READY: u64 = 1 << 12;
const HAVE_GC: u64 = 1 << 14;
const LIST: u64 = 1 << 25;
const UNICODE: u64 = 1 << 28;
const DICT: u64 = 1 << 29;
/// `MANAGED_WEAKREF` (3.12) and `MANAGED_DICT` (3.11): two words more before the object.
const MANAGED_WEAKREF: u64 = 1 << 3;
const MANAGED_DICT: u64 = 1 << 4;
/// A string of ASCII characters is shorter than its type's basic size: `PyASCIIObject`, since 3.12.
const LEAST_STRING: usize = 40;
/// The largest basic size of a type.
const MOST_BASIC: u64 = 1 << 20;

/// What instances hold elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An array of items.
    List,
    /// A table of keys.
    Dict,
    /// A table of members, once there are more than eight.
    Set,
    /// A buffer.
    ByteArray,
    /// Nothing that is known.
    Other,
}

/// Where the words before an instance say that its attributes are, if these have a block of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attributes {
    /// It has no such words.
    Unmanaged,
    /// 3.11: one word for attributes, one for a dict.
    TwoWords,
    /// 3.12: one word for both, whose lowest bit is set for attributes; the other is for weak references. In 3.13 that
    /// word is for a dict only, and attributes are in the instance.
    OneWord,
}

/// A type.
#[derive(Clone, Debug)]
pub struct TypeObject {
    /// Its name with its module, escaped.
    pub name: String,
    /// The least bytes of an instance.
    pub basic: usize,
    /// Bytes of a block before an instance.
    pub before: usize,
    /// Where its attributes are.
    pub attributes: Attributes,
    /// What instances hold elsewhere.
    pub kind: Kind,
}

/// The types that were met.
#[derive(Default)]
pub struct Types {
    known: HashMap<u64, Option<Type>>,
    list: Vec<TypeObject>,
    /// `PyType_Type`.
    root: Option<u64>,
}

impl Types {
    /// A type by its place in the list.
    pub fn get(&self, of: Type) -> Option<&TypeObject> {
        self.list.get(usize::try_from(of).ok()?)
    }

    /// The type at this address; `None` if none is there. `regions` are those of the process.
    pub fn find(&mut self, image: &mut dyn Image, regions: &[Region], address: u64) -> Option<Type> {
        if let Some(known) = self.known.get(&address) {
            return *known;
        }
        if !is_data(regions, address) || self.known.len() >= MOST_KNOWN {
            return None;
        }
        let found = self.read(image, regions, address).and_then(|found| {
            self.list.push(found);
            Type::try_from(self.list.len() - 1).ok()
        });
        // What could not be read for want of budget is not known to be no type.
        if !image.is_spent() {
            self.known.insert(address, found);
        }
        found
    }

    fn read(&mut self, image: &mut dyn Image, regions: &[Region], address: u64) -> Option<TypeObject> {
        let head = head(image, address)?;
        let flags = word(&head, TP_FLAGS)?;
        let basic = word(&head, TP_BASICSIZE)?;
        let is_type = flags & READY != 0 && (16..MOST_BASIC).contains(&basic);
        if !is_type || !self.is_instance_of_type(image, regions, word(&head, OB_TYPE)?) {
            return None;
        }
        let name = name(image, word(&head, TP_NAME)?)?;
        // A class says its module in its dict; the name of a static type contains it.
        let module = if flags & HEAPTYPE == 0 || name.contains(&b'.') {
            None
        } else {
            strings::module(image, word(&head, TP_DICT)?)
        };
        let name = match module.filter(|module| module != b"builtins") {
            Some(module) => [&module, &b"."[..], &name].concat(),
            None => name,
        };
        let is_managed = |flag: u64| flags & HAVE_GC != 0 && flags & flag != 0;
        let (before, attributes) = match (is_managed(MANAGED_DICT), is_managed(MANAGED_WEAKREF)) {
            (true, true) => (32, Attributes::OneWord),
            (true, false) => (32, Attributes::TwoWords),
            (false, true) => (32, Attributes::Unmanaged),
            (false, false) if flags & HAVE_GC != 0 => (16, Attributes::Unmanaged),
            (false, false) => (0, Attributes::Unmanaged),
        };
        Some(TypeObject {
            name: text::name(name.get(..LONGEST_NAME).unwrap_or(&name)),
            basic: if flags & UNICODE != 0 { LEAST_STRING } else { usize::try_from(basic).ok()? },
            before,
            attributes,
            kind: kind(image, regions, flags, &head),
        })
    }

    /// Whether types of types from this one on end at `type`, which is its own type.
    fn is_instance_of_type(&mut self, image: &mut dyn Image, regions: &[Region], mut meta: u64) -> bool {
        for _ in 0..MOST_STEPS {
            if self.root == Some(meta) {
                return true;
            }
            if !is_data(regions, meta) {
                return false;
            }
            let Some(next) = image.word(meta.saturating_add(OB_TYPE as u64)) else { return false };
            if next == meta {
                let named = image.word(meta.saturating_add(TP_NAME as u64));
                let is_root = named.and_then(|named| name(image, named)).is_some_and(|name| name == b"type");
                if is_root {
                    self.root = Some(meta);
                }
                return is_root;
            }
            meta = next;
        }
        false
    }
}

/// Whether data may be there that a program writes.
pub fn is_data(regions: &[Region], address: u64) -> bool {
    let next = regions.partition_point(|region| region.start <= address);
    let region = next.checked_sub(1).and_then(|at| regions.get(at));
    address.is_multiple_of(8)
        && region.is_some_and(|region| address < region.end && region.prot.0 & Prot::WRITE != 0)
}

fn head(image: &mut dyn Image, address: u64) -> Option<[u8; HEAD]> {
    let mut head = [0; HEAD];
    image.read(address, &mut head).then_some(head)
}

/// The C string at an address: text that is not empty, and ends.
fn name(image: &mut dyn Image, address: u64) -> Option<Vec<u8>> {
    // It may end just before a page that is not resident.
    let page = image.page_size().max(1);
    let room = usize::try_from(page - address % page).unwrap_or(0).min(LONGEST_NAME + 1);
    let mut bytes = vec![0; LONGEST_NAME + 1];
    if !image.read(address, &mut bytes) {
        bytes.truncate(room);
        if !image.read(address, &mut bytes) {
            return None;
        }
    }
    let len = bytes.iter().position(|byte| *byte == 0).unwrap_or(LONGEST_NAME.min(bytes.len()));
    bytes.truncate(len);
    let is_name = !bytes.is_empty() && bytes.iter().all(|byte| *byte > b' ' && *byte != 0x7f);
    is_name.then_some(bytes)
}

/// The kind of a type, from its flags or from a static base.
fn kind(image: &mut dyn Image, regions: &[Region], flags: u64, head: &[u8; HEAD]) -> Kind {
    match flags {
        _ if flags & LIST != 0 => return Kind::List,
        _ if flags & DICT != 0 => return Kind::Dict,
        _ => {}
    }
    let mut head = *head;
    for _ in 0..MOST_STEPS {
        let is_static = word(&head, TP_FLAGS).is_some_and(|flags| flags & HEAPTYPE == 0);
        if is_static {
            let name = word(&head, TP_NAME).and_then(|at| name(image, at));
            match name.as_deref() {
                Some(b"set" | b"frozenset") => return Kind::Set,
                Some(b"bytearray") => return Kind::ByteArray,
                _ => {}
            }
        }
        let base = word(&head, TP_BASE).filter(|base| is_data(regions, *base));
        let Some(next) = base.and_then(|base| self::head(image, base)) else { break };
        head = next;
    }
    Kind::Other
}
