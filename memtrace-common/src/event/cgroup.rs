//! Cgroups made and removed, in every hierarchy.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{Header, Record, fits};

/// The family's kinds, see [`crate::events`].
#[doc(hidden)]
#[macro_export]
macro_rules! cgroup_events {
    ([$next:path $(, $rest:path)*] $($before:tt)*) => {
        $next! { [$($rest),*] $($before)*
            /// Cgroups made and removed.
            Cgroup(CgroupEvent) {
                /// A cgroup was made.
                CgroupMkdir = 15, $crate::event::cgroup::Cgroup, boxed;
                /// A cgroup was removed.
                CgroupRmdir = 16, $crate::event::cgroup::Cgroup, boxed;
            }
        }
    };
}

/// Bytes of a path that a record carries. Kubernetes paths have about 250 bytes, or 450 on a node that is itself a
/// container.
pub const PATH_LEN: usize = 1024;

/// A cgroup was made or removed (`cgroup_mkdir`, `cgroup_rmdir`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Cgroup {
    /// Common start; its task made or removed the cgroup.
    pub header: Header,
    /// Its id, or [`crate::UNKNOWN`].
    pub id: u64,
    /// Id of its hierarchy, as in `/proc/PID/cgroup`: 0 for v2; `u32::MAX` when it could not be read.
    pub hierarchy: u32,
    /// Bytes of `path` that are set; 0 when it could not be read.
    pub path_len: u32,
    /// Path from the hierarchy's root; any bytes, cut at [`PATH_LEN`].
    pub path: [u8; PATH_LEN],
}

impl Record for Cgroup {
    fn counts_fit(&self) -> bool {
        fits(self.path_len, &self.path)
    }
}
