//! Whole processes: captured ones, made-up ones, and any.

use std::sync::Arc;

use super::{
    Owned, attribute,
    evidence::{Content, Found, Mark, Marks, Module, ProcessEvidence},
};
use crate::mm::{
    maps,
    region::{Backing, Born, File, Prot, Region, VmFlags},
};

mod any;
mod calls;
mod captured;
mod shapes;

const RW: Prot = Prot(Prot::READ | Prot::WRITE);
const MIB: u64 = 1 << 20;

/// A module with code at an address, and these things in it.
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
