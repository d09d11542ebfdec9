//! Tracefs: the descriptions of the classic tracepoints.
//!
//! Input: the usual mount point. Output: its path; if it is not mounted, it is mounted in a private mount namespace, so
//! that the host is not changed. Parses event formats; attaches nothing.

use std::{
    ffi::CStr,
    path::{Path, PathBuf},
};

use rustix::{
    mount::{MountFlags, MountPropagationFlags, mount, mount_change},
    thread::{UnshareFlags, unshare_unsafe},
};

/// The usual mount point of tracefs (since 4.1).
pub const TRACEFS: &str = "/sys/kernel/tracing";
const DEBUGFS_TRACING: &str = "/sys/kernel/debug/tracing";

/// Makes tracefs visible to this process and its future threads. Must be called before other threads start.
///
/// # Errors
/// What to do when it is not mounted and cannot be mounted.
pub fn ensure() -> Result<PathBuf, String> {
    for place in [TRACEFS, DEBUGFS_TRACING] {
        if Path::new(place).join("events").is_dir() {
            return Ok(place.into());
        }
    }
    mount_privately().map_err(|(what, error)| {
        format!(
            "failed to mount tracefs ({what}: {error}); run as root on the host: \
             mount -t tracefs nodev {TRACEFS}"
        )
    })?;
    Ok(TRACEFS.into())
}

/// Mounts tracefs in a mount namespace of this process alone; later mounts of the host still reach it.
#[expect(unsafe_code, reason = "unshare has no safe form")]
fn mount_privately() -> Result<(), (&'static str, rustix::io::Errno)> {
    // SAFETY: unsharing the mount namespace shares no file descriptor table; no other thread exists yet.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.map_err(|error| ("unshare", error))?;
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .map_err(|error| ("make / a slave mount", error))?;
    mount("nodev", TRACEFS, "tracefs", MountFlags::empty(), None::<&CStr>).map_err(|error| ("mount", error))
}

/// A field of an event's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Bytes from the start of the record.
    pub offset: u32,
    /// Its size in bytes.
    pub size: u32,
}

/// Parses an event's `format` file; other lines are skipped.
///
/// A field: `\tfield:unsigned long anon_rss;\toffset:24;\tsize:8;\tsigned:0;`
pub fn parse_format(text: &str) -> Vec<Field> {
    text.lines().filter_map(parse_field).collect()
}

fn parse_field(line: &str) -> Option<Field> {
    let mut parts = line.trim().strip_prefix("field:")?.split(';').map(str::trim);
    let declaration = parts.next()?;
    let name = declaration.rsplit([' ', '*']).next()?.split('[').next()?.to_owned();
    let (mut offset, mut size) = (None, None);
    for part in parts {
        match part.split_once(':') {
            Some(("offset", value)) => offset = value.parse().ok(),
            Some(("size", value)) => size = value.parse().ok(),
            _ => {}
        }
    }
    Some(Field { name, offset: offset?, size: size? }).filter(|field| !field.name.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Field, parse_format};

    #[test]
    fn fields_have_name_offset_and_size() {
        let text = "name: mark_victim\nID: 42\nformat:\n\
                    \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\n\
                    \tfield:__data_loc char[] comm;\toffset:12;\tsize:4;\tsigned:0;\n\
                    \tfield:char parent_comm[16];\toffset:8;\tsize:16;\tsigned:0;\n\
                    \tfield:const char * filename;\toffset:16;\tsize:8;\tsigned:0;\n\
                    \nprint fmt: \"pid=%d\", REC->pid\n";
        let field = |name: &str, offset, size| Field { name: name.into(), offset, size };
        assert_eq!(
            parse_format(text),
            [
                field("common_type", 0, 2),
                field("comm", 12, 4),
                field("parent_comm", 8, 16),
                field("filename", 16, 8)
            ]
        );
    }

    #[test]
    fn broken_lines_are_passed_over() {
        assert_eq!(parse_format("field:int pid;\toffset:x;\tsize:4;"), []);
        assert_eq!(parse_format("field:;offset:1;size:4"), []);
        assert_eq!(parse_format("field:int pid;"), []);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in ".{0,400}") {
            parse_format(&text);
        }
    }
}
