//! Signs of an allocator in a program file.
//!
//! Data only: each allocator's signs are in its folder.

use super::Mark;

/// The contents of a program that give it a mark.
#[derive(Clone, Copy, Debug)]
pub struct Sign {
    /// The mark.
    pub mark: Mark,
    /// A mark with partly equal signs, which excludes this one.
    pub unless: Option<Mark>,
    /// Prefixes of the file name.
    pub files: &'static [&'static [u8]],
    /// Sections that only one compiler or library makes.
    pub sections: &'static [&'static [u8]],
    /// Names of exported symbols.
    pub exports: &'static [&'static [u8]],
    /// Prefixes of the names of exported symbols.
    pub export_prefixes: &'static [&'static [u8]],
    /// Parts of the names of internal symbols.
    pub symbols: &'static [&'static [u8]],
    /// Strings of its messages, which survive stripping.
    pub constants: &'static [&'static [u8]],
}

impl Sign {
    /// A sign without contents.
    pub const fn of(mark: Mark) -> Self {
        Self {
            mark,
            unless: None,
            files: &[],
            sections: &[],
            exports: &[],
            export_prefixes: &[],
            symbols: &[],
            constants: &[],
        }
    }
}
