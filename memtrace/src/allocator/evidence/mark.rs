//! What can be in a program that has to do with memory.
//!
//! Data only.

use serde::{Deserialize, Serialize};

/// One thing that was seen in a program or library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mark {
    /// The malloc of glibc.
    Glibc,
    /// The dynamic loader of glibc, which allocates before there is a malloc.
    Loader,
    /// The malloc of musl.
    Musl,
    /// jemalloc, under any prefix.
    Jemalloc,
    /// mimalloc.
    Mimalloc,
    /// The tcmalloc of gperftools.
    Gperftools,
    /// The tcmalloc of google/tcmalloc.
    GoogleTcmalloc,
    /// snmalloc.
    Snmalloc,
    /// The Go runtime.
    Go,
    /// HotSpot.
    Hotspot,
    /// V8.
    V8,
    /// CPython.
    Cpython,
    /// CoreCLR.
    Dotnet,
    /// It defines `malloc` for all.
    DefinesMalloc,
}

impl Mark {
    /// All of them, with their names in fixtures.
    pub const ALL: [(Self, &'static str); 14] = [
        (Self::Glibc, "glibc"),
        (Self::Loader, "loader"),
        (Self::Musl, "musl"),
        (Self::Jemalloc, "jemalloc"),
        (Self::Mimalloc, "mimalloc"),
        (Self::Gperftools, "gperftools"),
        (Self::GoogleTcmalloc, "google-tcmalloc"),
        (Self::Snmalloc, "snmalloc"),
        (Self::Go, "go"),
        (Self::Hotspot, "hotspot"),
        (Self::V8, "v8"),
        (Self::Cpython, "cpython"),
        (Self::Dotnet, "dotnet"),
        (Self::DefinesMalloc, "defines-malloc"),
    ];
}

/// A set of [`Mark`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Marks(u16);

impl Marks {
    /// Whether it has one.
    pub const fn has(self, mark: Mark) -> bool {
        self.0 & 1 << mark as u8 != 0
    }

    /// With one more.
    pub const fn with(self, mark: Mark) -> Self {
        Self(self.0 | 1 << mark as u8)
    }

    /// With all of another set.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
