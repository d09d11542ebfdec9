//! Whole processes: captured, made-up and arbitrary ones.

use std::sync::Arc;

use super::{
    AllocatorId, Mark, Owned,
    attribute::{Holder, attribute},
    counters,
    evidence::{Content, Found, Marks, Module, ProcessEvidence},
};
use crate::mm::{
    maps,
    region::{Backing, Born, File, Prot, Region, VmFlags},
};

mod any_regions;
mod calls;
mod captured;
mod shapes;

const RW: Prot = Prot(Prot::READ | Prot::WRITE);
const MIB: u64 = 1 << 20;

/// A module with code at an address, and with these marks.
fn module(path: &str, start: u64, marks: &[Mark]) -> Module {
    let file = File { device: 1, inode: start, path: path.as_bytes().to_vec() };
    let marks = marks.iter().fold(Marks::default(), |all, mark| all.with(*mark));
    let range = start..start + MIB;
    Module {
        file: Arc::new(file),
        images: vec![range.clone()],
        code: vec![range],
        marks,
        is_read: true,
        names: None,
    }
}

/// Private memory without a file.
fn plain(start: u64, len: u64, prot: Prot, flags: u16) -> Region {
    Region { vm_flags: Some(VmFlags(flags)), ..Region::new(start, start + len, prot, Backing::Anonymous) }
}

/// `allocator kind` of each range.
fn names(owned: &[Owned]) -> Vec<String> {
    owned.iter().map(|owned| format!("{} {}", owned.owner.allocator, owned.owner.kind)).collect()
}

#[test]
fn an_allocator_is_one_by_its_name_its_marks_and_its_reader() {
    for id in AllocatorId::ALL {
        assert_eq!(AllocatorId::named(id.name()), Some(*id));
        assert_eq!(Holder::named(id.name()), Some(Holder::Allocator(*id)));
        assert!(id.allocator().counters().is_none_or(|(_, reader)| reader.name() == id.name()));
    }
    for (at, (mark, name)) in Mark::ALL.iter().enumerate() {
        let mut others = Mark::ALL.iter().skip(at + 1);
        assert!(others.all(|(other, called)| *other as u8 != *mark as u8 && called != name), "{name}");
    }
}

#[test]
fn of_two_labels_that_fit_the_longer_one_is_meant() {
    let named = |name: &str| {
        let region =
            Region { name: Some(Arc::from(name.as_bytes())), ..plain(3 * 64 * MIB + 4096, MIB, RW, 0) };
        let owned = attribute(&ProcessEvidence::default(), &[region]).remove(0);
        (owned.owner.allocator, owned.owner.kind, owned.owner.arena)
    };
    assert_eq!(named(" glibc: malloc arena"), ("glibc", "thread arena", 3 * 64 * MIB));
    assert_eq!(named(" glibc: malloc"), ("glibc", "mmapped chunk", 0));
    assert_eq!(named(" glibc: pthread stack: 1"), ("stack", "thread stack", 3 * 64 * MIB + 4096));
    assert_eq!(named(" Go: heap reservation"), ("go", "heap reserve", 0));
    assert_eq!(named("scudo:primary"), ("scudo", "heap", 0));
}

#[test]
fn cheap_readers_come_before_those_that_walk() {
    let names: Vec<_> = counters::readers().iter().map(|reader| reader.name()).collect();
    assert_eq!(names[..4], ["go", "v8", "dotnet", "jvm"]);
    assert!(
        names.iter().position(|name| *name == "glibc") < names.iter().position(|name| *name == "cpython")
    );
}
