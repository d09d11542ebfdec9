//! What gives an allocator away in a program file.
//!
//! Data only: each allocator's is in its folder.

use super::Mark;

/// What a program has in it that has this mark.
#[derive(Clone, Copy, Debug)]
pub struct Sign {
    /// The mark.
    pub mark: Mark,
    /// A mark that looks like this one in part: where it is, this one is not.
    pub unless: Option<Mark>,
    /// The file's name begins like this.
    pub files: &'static [&'static [u8]],
    /// Sections that only one compiler or library makes.
    pub sections: &'static [&'static [u8]],
    /// Exported under this very name.
    pub exports: &'static [&'static [u8]],
    /// Exported under a name that begins like this.
    pub export_prefixes: &'static [&'static [u8]],
    /// Part of the names of its own symbols.
    pub symbols: &'static [&'static [u8]],
    /// Strings of its own messages, which stripping leaves.
    pub constants: &'static [&'static [u8]],
}

impl Sign {
    /// By nothing yet.
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
