//! An archive that the kernel unpacks as the guest's first file system.
//!
//! Names and contents -> bytes in the "newc" form (Documentation/driver-api/early-userspace/buffer-format.rst).
//! Must not read any file.

use anyhow::{Context as _, Result};

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const END: &str = "TRAILER!!!";

/// An archive in the making.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    /// A directory; its parents have to be there before.
    pub(crate) fn directory(&mut self, name: &str) -> Result<()> {
        self.entry(name, DIRECTORY, 2, &[])
    }

    /// A file that may be run.
    pub(crate) fn program(&mut self, name: &str, content: &[u8]) -> Result<()> {
        self.entry(name, PROGRAM, 1, content)
    }

    /// The whole archive.
    pub(crate) fn finish(mut self) -> Result<Vec<u8>> {
        self.entry(END, 0, 1, &[])?;
        Ok(self.bytes)
    }

    fn entry(&mut self, name: &str, mode: u32, links: u32, content: &[u8]) -> Result<()> {
        let size =
            u32::try_from(content.len()).ok().with_context(|| format!("failed to pack {name}: too large"))?;
        let name_size =
            u32::try_from(name.len() + 1).context("failed to pack a file: its name is too long")?;
        self.entries += 1;
        let (inode, owner, group, time, device) = (self.entries, 0, 0, 0, 0);
        let fields =
            [inode, mode, owner, group, links, time, size, device, device, device, device, name_size, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
        Ok(())
    }

    /// Names and contents both end on four bytes.
    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed() -> Vec<u8> {
        let mut archive = Archive::default();
        archive.directory("bin").unwrap();
        archive.program("bin/sh", b"12345").unwrap();
        archive.finish().unwrap()
    }

    #[test]
    fn an_entry_is_a_header_a_name_and_a_content_each_on_four_bytes() {
        let packed = packed();
        let fields = |at: usize| {
            let header = std::str::from_utf8(&packed[at..at + 110]).unwrap();
            let field = |n: usize| u32::from_str_radix(&header[6 + n * 8..14 + n * 8], 16).unwrap();
            // Mode, size, and length of the name with its zero.
            (&header[..6], field(1), field(6), field(11))
        };
        assert_eq!(fields(0), ("070701", DIRECTORY, 0, 4));
        assert_eq!(&packed[110..116], b"bin\0\0\0");
        assert_eq!(fields(116), ("070701", PROGRAM, 5, 7));
        assert_eq!(&packed[226..244], b"bin/sh\0\0\0\x0012345\0\0\0".as_slice());
    }

    #[test]
    fn the_archive_ends_with_the_trailer() {
        let packed = packed();
        assert_eq!(packed.len() % 4, 0);
        assert!(packed.windows(END.len()).any(|window| window == END.as_bytes()));
        let content = packed.windows(8).any(|window| window == b"12345\0\0\0");
        assert!(content, "the content is padded with zeros");
    }

    #[test]
    fn another_reader_of_the_form_agrees() {
        let Some(cpio) = xtask_base::process::find("cpio") else { return };
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.cpio");
        std::fs::write(&file, packed()).unwrap();
        let listed = xtask_base::process::capture(
            std::process::Command::new(cpio).args(["--quiet", "-t", "-F"]).arg(&file),
        );
        assert_eq!(listed.unwrap(), "bin\nbin/sh\n");
    }
}
