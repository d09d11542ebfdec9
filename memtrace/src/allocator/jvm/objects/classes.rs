//! Classes of a Java heap, by their compressed address in an object's header.
//!
//! Input: the header of an object. Output: its class and its size. Each class is read once. What is there is not trusted:
//! it must have a layout that is possible, and a name.

use std::collections::HashMap;

use crate::{
    allocator::{
        counters::data::{half, quarter, word},
        image::Image,
        jvm::fields::Fields,
        objects::{LONGEST_NAME, tally::Type},
    },
    text,
};

/// The most addresses that are remembered, classes or not.
const MOST_KNOWN: usize = 1 << 17;
/// The bytes of a `Klass` and of a `Symbol` that are read.
const HEAD: usize = 64;
/// Bytes of the header of an object that a size can be told from: mark, class, length of an array.
pub const HEADER: usize = 16;
/// The largest instance that is no array.
const MOST_INSTANCE: u32 = 1 << 20;

/// How large an instance is (`Klass::_layout_helper`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    /// Always so many bytes.
    Fixed(u64),
    /// A header, and elements of so many bytes as a power of two.
    Array(u64, u32),
    /// `java.lang.Class`: with the static fields of its class, which it says itself.
    Mirror,
}

/// Where things are in this build.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    base: u64,
    shift: u64,
    layout_helper: usize,
    name: usize,
    length: usize,
    body: u64,
    mirror_size: Option<u64>,
}

impl Layout {
    /// `None` when this build lacks a field.
    pub fn of(fields: &Fields, image: &mut dyn Image) -> Option<Self> {
        let base = [
            ("CompressedKlassPointers", "_narrow_klass._base"),
            ("CompressedKlassPointers", "_base"),
            ("Universe", "_narrow_klass._base"),
        ];
        let shift = base
            .map(|(class, field)| (class, if field == "_base" { "_shift" } else { "_narrow_klass._shift" }));
        let within = |field| usize::try_from(fields.offset([field])?).ok();
        Some(Self {
            base: fields.fixed(image, base)?,
            shift: (fields.fixed(image, shift)? & 0xffff_ffff).min(12),
            layout_helper: within(("Klass", "_layout_helper"))?,
            name: within(("Klass", "_name"))?,
            length: within(("Symbol", "_length"))?,
            body: fields.offset([("Symbol", "_body[0]")])?,
            mirror_size: fields
                .fixed(image, [("java_lang_Class", "_oop_size_offset")])
                .map(|offset| offset & 0xffff_ffff),
        })
    }
}

/// The classes that were met.
pub struct Classes {
    layout: Layout,
    known: HashMap<u32, Option<(Type, Size)>>,
    names: Vec<String>,
}

impl Classes {
    /// None yet.
    pub fn new(layout: Layout) -> Self {
        Self { layout, known: HashMap::new(), names: Vec::new() }
    }

    /// The name of a class by its place in the list.
    pub fn name(&self, of: Type) -> Option<&str> {
        self.names.get(usize::try_from(of).ok()?).map(String::as_str)
    }

    /// The class and the size of the object at this address, from its header; `None` if there is none.
    pub fn object(&mut self, image: &mut dyn Image, at: u64, header: &[u8]) -> Option<(Type, u64)> {
        let (of, size) = self.find(image, half(header, 8)?)?;
        let bytes = match size {
            Size::Fixed(bytes) => bytes,
            Size::Array(before, log) => {
                let length = u64::from(half(header, 12)?).checked_shl(log)?;
                (before + length).next_multiple_of(8)
            }
            Size::Mirror => {
                let mut words = [0; 4];
                image.read(at.checked_add(self.layout.mirror_size?)?, &mut words).then_some(())?;
                u64::from(u32::from_le_bytes(words)) * 8
            }
        };
        (bytes >= HEADER as u64).then_some((of, bytes))
    }

    fn find(&mut self, image: &mut dyn Image, narrow: u32) -> Option<(Type, Size)> {
        if let Some(known) = self.known.get(&narrow) {
            return *known;
        }
        if narrow == 0 || self.known.len() >= MOST_KNOWN {
            return None;
        }
        let found = self.read(image, narrow).and_then(|(name, size)| {
            self.names.push(name);
            Some((Type::try_from(self.names.len() - 1).ok()?, size))
        });
        if !image.is_spent() {
            self.known.insert(narrow, found);
        }
        found
    }

    fn read(&self, image: &mut dyn Image, narrow: u32) -> Option<(String, Size)> {
        let Layout { base, shift, layout_helper, name, length, body, mirror_size } = self.layout;
        let mut class = [0; HEAD];
        let mut symbol = [0; 8];
        let at = base.checked_add(u64::from(narrow) << shift)?;
        let is_read = at.is_multiple_of(8) && image.read(at, &mut class);
        let name_at = word(&class, name).filter(|_| is_read)?;
        let size = size(half(&class, layout_helper)?)?;
        image.read(name_at, &mut symbol).then_some(())?;
        let length = usize::from(quarter(&symbol, length)?).min(LONGEST_NAME);
        let mut text = vec![0; length];
        let is_name = length > 0 && image.read(name_at.checked_add(body)?, &mut text);
        let is_name = is_name && text.iter().all(|byte| *byte > b' ' && *byte != 0x7f);
        let is_mirror = text == b"java/lang/Class" && mirror_size.is_some();
        is_name.then(|| (readable(&text), if is_mirror { Size::Mirror } else { size }))
    }
}

/// The size from a layout helper (klass.hpp): positive for instances, whose lowest bit says that allocating one is slow;
/// else a tag, the bytes before the elements, their type and their size.
fn size(helper: u32) -> Option<Size> {
    if helper >> 31 == 0 {
        let bytes = helper & !7;
        return (16..MOST_INSTANCE).contains(&bytes).then_some(Size::Fixed(bytes.into()));
    }
    let (before, log) = (helper >> 16 & 0xff, helper & 0xff);
    (matches!(before, 16 | 20 | 24) && log <= 3).then_some(Size::Array(before.into(), log))
}

/// `[Ljava/lang/String;` as `java.lang.String[]`, escaped.
fn readable(name: &[u8]) -> String {
    let depth = name.iter().take_while(|byte| **byte == b'[').count();
    let element = name.get(depth..).unwrap_or_default();
    let element: &[u8] = match element {
        b"Z" if depth > 0 => b"boolean",
        b"B" if depth > 0 => b"byte",
        b"C" if depth > 0 => b"char",
        b"S" if depth > 0 => b"short",
        b"I" if depth > 0 => b"int",
        b"J" if depth > 0 => b"long",
        b"F" if depth > 0 => b"float",
        b"D" if depth > 0 => b"double",
        [b'L', class @ .., b';'] if depth > 0 => class,
        class => class,
    };
    let dotted: Vec<u8> = element.iter().map(|byte| if *byte == b'/' { b'.' } else { *byte }).collect();
    text::name(&[dotted, b"[]".repeat(depth)].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_helper_says_how_large_an_instance_is() {
        // Of `String`, `byte[]`, `Object[]` and an abstract class, in a build with compressed class pointers.
        assert_eq!(size(24), Some(Size::Fixed(24)));
        assert_eq!(size(0xc010_0800), Some(Size::Array(16, 0)));
        assert_eq!(size(0x8010_0c02), Some(Size::Array(16, 2)));
        assert_eq!(size(17), Some(Size::Fixed(16)));
        assert_eq!([0, 8, u32::MAX, 0x7fff_fff8, 0xc010_0809].map(size), [None; 5]);
    }

    #[test]
    fn names_are_those_of_the_language() {
        let of = |name: &str| readable(name.as_bytes());
        assert_eq!([of("java/lang/String"), of("[[I"), of("B")], ["java.lang.String", "int[][]", "B"]);
        assert_eq!([of("[Ljava/util/Map$Entry;"), of("[L"), of("[")], ["java.util.Map$Entry[]", "L[]", "[]"]);
    }
}
