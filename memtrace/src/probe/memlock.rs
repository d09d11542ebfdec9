//! What to do when the kernel refuses memory for a map.
//!
//! The error of a load, and this process's limit on locked memory -> a hint, or none. Must not raise the limit itself:
//! the loader does that on kernels that charge maps to it.

use std::error::Error;

use aya::maps::MapError;
use rustix::{
    io::Errno,
    process::{Resource, getrlimit},
};

/// A hint to append to the text of this error; empty for other errors.
pub fn hint(error: &(dyn Error + 'static)) -> String {
    for_limit(error, getrlimit(Resource::Memlock).current)
}

/// `None` means no limit.
fn for_limit(error: &(dyn Error + 'static), limit: Option<u64>) -> String {
    match limit {
        Some(bytes) if is_refused(error) => format!(
            " (kernels before 5.11 charge BPF maps against the limit on locked memory, which is {} KiB here; raise it with \
             `ulimit -l unlimited`, LimitMEMLOCK=infinity in the systemd unit, or `privileged: true` or \
             `extraCapabilities: [SYS_RESOURCE]` in the chart)",
            bytes / 1024
        ),
        _ => String::new(),
    }
}

/// Whether a map failed with EPERM: the kernel returns it when the limit is reached. The other cause, a missing
/// capability, is checked before loading.
fn is_refused(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(MapError::CreateError { io_error, .. }) = error.downcast_ref() {
            return Errno::from_io_error(io_error) == Some(Errno::PERM);
        }
        next = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use aya::EbpfError;

    use super::{Errno, MapError, for_limit};

    fn refused(errno: Errno) -> EbpfError {
        EbpfError::MapError(MapError::CreateError { name: "STREAM".to_owned(), io_error: errno.into() })
    }

    #[test]
    fn a_map_refused_under_a_limit_has_a_hint() {
        let hint = for_limit(&refused(Errno::PERM), Some(65536));
        assert!(hint.contains("64 KiB") && hint.contains("LimitMEMLOCK=infinity"), "{hint}");
        assert!(hint.contains("privileged: true"), "{hint}");
    }

    #[test]
    fn other_errors_and_no_limit_have_none() {
        assert_eq!(for_limit(&refused(Errno::NOMEM), Some(65536)), "");
        assert_eq!(for_limit(&refused(Errno::PERM), None), "");
        assert_eq!(for_limit(&EbpfError::NoBTF, Some(65536)), "");
    }
}
