//! Archives as container images have them (POSIX ustar).
//!
//! Names and contents -> bytes; the same input gives the same bytes. Must not read any file.

use std::io;

use anyhow::{Context as _, Result};
use tar::{Builder, EntryType, Header};

/// An archive in the making.
pub(crate) struct Layer {
    archive: Builder<Vec<u8>>,
}

impl Default for Layer {
    fn default() -> Self {
        Self { archive: Builder::new(Vec::new()) }
    }
}

impl Layer {
    pub(crate) fn directory(&mut self, name: &str) -> Result<()> {
        self.entry(name, EntryType::Directory, 0o755, &[], None)
    }

    pub(crate) fn file(&mut self, name: &str, mode: u32, content: &[u8]) -> Result<()> {
        self.entry(name, EntryType::Regular, mode, content, None)
    }

    pub(crate) fn link(&mut self, name: &str, to: &str) -> Result<()> {
        self.entry(name, EntryType::Symlink, 0o777, &[], Some(to))
    }

    /// The whole archive.
    pub(crate) fn finish(self) -> Result<Vec<u8>> {
        self.archive.into_inner().context("failed to end an archive")
    }

    fn entry(
        &mut self,
        name: &str,
        kind: EntryType,
        mode: u32,
        content: &[u8],
        link: Option<&str>,
    ) -> Result<()> {
        let packed = || -> io::Result<Header> {
            let mut header = Header::new_ustar();
            header.set_entry_type(kind);
            header.set_path(name)?;
            if let Some(link) = link {
                header.set_link_name(link)?;
            }
            header.set_mode(mode);
            header.set_size(u64::try_from(content.len()).unwrap_or(u64::MAX));
            // Owner and time: the same for everybody.
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            header.set_cksum();
            Ok(header)
        };
        let header = packed().with_context(|| format!("failed to pack {name}"))?;
        self.archive.append(&header, content).with_context(|| format!("failed to pack {name}"))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command};

    use super::Layer;

    /// GNU tar reads it back.
    #[test]
    fn another_program_unpacks_what_was_packed() {
        let mut layer = Layer::default();
        layer.directory("bin").unwrap();
        layer.file("bin/a", 0o755, &[7; 700]).unwrap();
        layer.link("bin/b", "a").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.tar");
        fs::write(&file, layer.finish().unwrap()).unwrap();
        let status = Command::new("tar").arg("xf").arg(&file).arg("-C").arg(dir.path()).status().unwrap();
        assert!(status.success());
        assert_eq!(fs::read(dir.path().join("bin/b")).unwrap(), [7; 700]);
    }

    #[test]
    fn names_that_do_not_fit_are_refused() {
        assert!(Layer::default().directory(&"x".repeat(101)).is_err());
    }
}
