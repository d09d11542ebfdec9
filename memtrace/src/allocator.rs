//! Allocators and runtimes: which memory they own, what their own counters report, and what to do about it.
//!
//! Input: regions, programs and memory of a process. Output: owners, counters, advice. Everything about one allocator
//! is in its folder, behind [`Allocator`], and is reached through its [`AllocatorId`]: code outside the folder must not
//! depend on a particular allocator.

pub mod advice;
pub mod attribute;
pub mod counters;
pub mod evidence;
pub mod image;
pub mod objects;

pub mod android;
pub mod cpython;
pub mod dotnet;
pub mod glibc;
pub mod go;
pub mod jemalloc;
pub mod jvm;
pub mod mimalloc;
pub mod musl;
pub mod snmalloc;
pub mod tcmalloc;
pub mod v8;

pub use self::attribute::{Owned, Owner, attribute};
use self::{
    advice::{Advice, Plain},
    attribute::{Claimant, Turn, label::Label},
    counters::{Cost, CounterReader},
    evidence::Sign,
    objects::ObjectReader,
};

/// The knowledge about one allocator. Every part is optional: without it no memory is claimed, no counter read, no
/// advice given.
pub trait Allocator: Sync {
    /// Signs in a program file that the allocator is present.
    fn signs(&self) -> &'static [Sign] {
        &[]
    }

    /// Names that it gives its own memory (`PR_SET_VMA_ANON_NAME`).
    fn labels(&self) -> &'static [Label] {
        &[]
    }

    /// Its claimants of memory, each with its turn.
    fn owners(&self) -> &'static [(Turn, &'static dyn Claimant)] {
        &[]
    }

    /// Kinds of its memory that are file mappings.
    fn mapped(&self) -> &'static [&'static str] {
        &[]
    }

    /// The reader of its counters, and the cost of a reading.
    fn counters(&self) -> Option<(Cost, &'static dyn CounterReader)> {
        None
    }

    /// The reader of what fills its heap, by type.
    fn objects(&self) -> Option<&'static dyn ObjectReader> {
        None
    }

    /// Why it retains free memory, and the settings that change that.
    fn advice(&self) -> &'static dyn Advice {
        &Plain
    }
}

macro_rules! allocators {
    ($($(#[$doc:meta])* $id:ident = $name:literal, $allocator:expr, marks { $($(#[$of:meta])* $mark:ident = $bit:literal $called:literal),* };)*) => {
        /// All known allocators and runtimes. This order decides between those that claim or read in the same turn.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum AllocatorId {
            $($(#[$doc])* $id,)*
        }

        impl AllocatorId {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$id),*];

            /// Its name in every output and recording.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$id => $name,)* }
            }

            /// The knowledge about it.
            pub fn allocator(self) -> &'static dyn Allocator {
                match self { $(Self::$id => &$allocator,)* }
            }
        }

        /// One sign that was found in a program or library. Recordings contain its number.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Mark {
            $($($(#[$of])* $mark = $bit,)*)*
            /// It defines `malloc` for the whole process.
            DefinesMalloc = 13,
        }

        impl Mark {
            /// All of them, with their names in fixtures.
            pub const ALL: &'static [(Self, &'static str)] =
                &[$($((Self::$mark, $called),)*)* (Self::DefinesMalloc, "defines-malloc")];
        }
    };
}

allocators! {
    /// The Go runtime.
    Go = "go", go::Go, marks {
        Go = 8 "go"
    };
    /// V8, in Node or any other program.
    V8 = "v8", v8::V8, marks {
        V8 = 10 "v8"
    };
    /// CoreCLR.
    Dotnet = "dotnet", dotnet::Dotnet, marks {
        Dotnet = 12 "dotnet"
    };
    /// The malloc of glibc.
    Glibc = "glibc", glibc::Glibc, marks {
        Glibc = 0 "glibc",
        /// The dynamic loader of glibc, which allocates before there is a malloc.
        Loader = 1 "loader"
    };
    /// snmalloc.
    Snmalloc = "snmalloc", snmalloc::Snmalloc, marks {
        Snmalloc = 7 "snmalloc"
    };
    /// mimalloc, any version.
    Mimalloc = "mimalloc", mimalloc::Mimalloc, marks {
        Mimalloc = 4 "mimalloc"
    };
    /// HotSpot.
    Jvm = "jvm", jvm::Jvm, marks {
        Hotspot = 9 "hotspot"
    };
    /// jemalloc, under any prefix.
    Jemalloc = "jemalloc", jemalloc::Jemalloc, marks {
        Jemalloc = 3 "jemalloc"
    };
    /// The two tcmallocs.
    Tcmalloc = "tcmalloc", tcmalloc::Tcmalloc, marks {
        /// The tcmalloc of gperftools.
        Gperftools = 5 "gperftools",
        /// The tcmalloc of google/tcmalloc.
        GoogleTcmalloc = 6 "google-tcmalloc"
    };
    /// The malloc of musl.
    Musl = "musl", musl::Musl, marks {
        Musl = 2 "musl"
    };
    /// CPython's allocator for small objects.
    Cpython = "cpython", cpython::Cpython, marks {
        Cpython = 11 "cpython"
    };
    /// Scudo, the malloc of Android.
    Scudo = "scudo", android::Scudo, marks {};
    /// bionic's loader.
    Bionic = "bionic", android::Bionic, marks {};
    /// Android's runtime.
    Art = "art", android::Art, marks {};
}

impl AllocatorId {
    /// The allocator with this name; `None` for a name from a newer version, and for rows that are no allocator's.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|id| id.name() == name)
    }
}

#[cfg(test)]
mod tests;
