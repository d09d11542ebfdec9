//! What the kernel programs report, one plain record for each kind.
//!
//! Every record starts with a [`Header`]; its `kind` says which structure the bytes are, and their length must be
//! exactly that structure's. Nothing here is padded, so no byte of kernel memory leaks and every bit pattern is a
//! value.

pub mod cgroup;
pub mod fault;
pub mod kill;
pub mod oom;
pub mod space;
pub mod stack;
pub mod task;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Passes the list of all events, by family, to a macro: `then! { [] families }`, where a family is `Family(Type) {
/// Kind = number, Record; }`. `boxed` after a record means that it is too large to be passed by value.
///
/// This is the only list of events; all other code that needs one is generated from it. Each family's part is in the
/// file of its records; add a new kind there. The number of a kind never changes, because recordings contain it.
#[macro_export]
macro_rules! events {
    ($then:path) => {
        $crate::space_events! { [$crate::task_events, $crate::cgroup_events, $crate::kill_events, $then] }
    };
}

macro_rules! kinds {
    ([] $($(#[$_family:meta])* $_variant:ident($_type:ident) {
        $($(#[$doc:meta])* $kind:ident = $number:literal, $record:ty $(, $_boxed:ident)?;)*
    })*) => {
        /// Which record follows a [`Header`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum Kind { $($($(#[$doc])* $kind = $number,)*)* }

        impl Kind {
            /// All kinds.
            pub const ALL: &[Self] = &[$($(Self::$kind,)*)*];

            /// The kind with this number, or `None` for a number that means nothing here.
            pub const fn from_u16(value: u16) -> Option<Self> {
                match value { $($($number => Some(Self::$kind),)*)* _ => None }
            }

            /// The exact length of the record, in bytes.
            pub const fn record_size(self) -> usize {
                match self { $($(Self::$kind => size_of::<$record>(),)*)* }
            }
        }
    };
}

events!(kinds);

/// A structure that the kernel programs send: a [`Header`] and what its kind adds.
pub trait Record: FromBytes + IntoBytes + Immutable + KnownLayout + 'static {
    /// Whether each count in it is at most the length of its array. True for a record without counts.
    fn counts_fit(&self) -> bool {
        true
    }
}

/// Whether `count` is at most the length of `of`.
fn fits<T>(count: u32, of: &[T]) -> bool {
    count as usize <= of.len()
}

/// The start of every record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Header {
    /// Nanoseconds since boot, suspended time included (`CLOCK_BOOTTIME`).
    pub ktime: u64,
    /// Process id of the running task, in the initial pid namespace.
    pub tgid: u32,
    /// Its thread id.
    pub tid: u32,
    /// See [`Kind`].
    pub kind: u16,
    /// The CPU it ran on.
    pub cpu: u16,
    /// Zero, so that the structure has no padding.
    pub reserved: u32,
}

#[cfg(test)]
mod tests {
    use super::Kind;

    #[test]
    fn each_kind_is_found_by_its_number() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_u16(*kind as u16), Some(*kind));
        }
        assert_eq!(Kind::from_u16(0), None);
        assert_eq!(Kind::from_u16(u16::MAX), None);
    }

    #[test]
    fn records_keep_the_rings_eight_byte_alignment() {
        for kind in Kind::ALL {
            assert_eq!(kind.record_size() % 8, 0, "{kind:?}");
        }
    }
}
