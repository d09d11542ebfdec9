//! Archives as container images have them (POSIX ustar).
//!
//! Names and contents -> bytes; the same input gives the same bytes. Must not read any file.

use anyhow::{Context as _, Result};

const BLOCK: usize = 512;

/// An archive in the making.
#[derive(Debug, Default)]
pub(crate) struct Layer {
    bytes: Vec<u8>,
}

impl Layer {
    pub(crate) fn directory(&mut self, name: &str) -> Result<()> {
        self.entry(name, b'5', 0o755, &[], "")
    }

    pub(crate) fn file(&mut self, name: &str, mode: u32, content: &[u8]) -> Result<()> {
        self.entry(name, b'0', mode, content, "")
    }

    pub(crate) fn link(&mut self, name: &str, to: &str) -> Result<()> {
        self.entry(name, b'2', 0o777, &[], to)
    }

    /// The whole archive: two empty blocks end it.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 2 * BLOCK, 0);
        self.bytes
    }

    fn entry(&mut self, name: &str, kind: u8, mode: u32, content: &[u8], link: &str) -> Result<()> {
        let mut header = [0_u8; BLOCK];
        let mut put = |at: usize, length: usize, text: &str| -> Result<()> {
            let room = header.get_mut(at..at + length).filter(|room| text.len() <= room.len());
            let field = room.and_then(|room| room.get_mut(..text.len()));
            field
                .with_context(|| format!("failed to pack {name}: {text} is too long"))?
                .copy_from_slice(text.as_bytes());
            Ok(())
        };
        put(0, 100, name)?;
        put(100, 8, &format!("{mode:07o}"))?;
        put(108, 8, "0000000")?;
        put(116, 8, "0000000")?;
        put(124, 12, &format!("{:011o}", content.len()))?;
        // The time: the same for everybody.
        put(136, 12, "00000000000")?;
        put(148, 8, "        ")?;
        put(157, 100, link)?;
        put(257, 8, "ustar\x0000")?;
        if let Some(field) = header.get_mut(156) {
            *field = kind;
        }
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        let sum = format!("{sum:06o}\0 ");
        if let Some(field) = header.get_mut(148..156) {
            field.copy_from_slice(sum.as_bytes());
        }
        self.bytes.extend_from_slice(&header);
        self.bytes.extend_from_slice(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(BLOCK), 0);
        Ok(())
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
        fs::write(&file, layer.finish()).unwrap();
        let status = Command::new("tar").arg("xf").arg(&file).arg("-C").arg(dir.path()).status().unwrap();
        assert!(status.success());
        assert_eq!(fs::read(dir.path().join("bin/b")).unwrap(), [7; 700]);
    }

    #[test]
    fn names_that_do_not_fit_are_refused() {
        assert!(Layer::default().directory(&"x".repeat(101)).is_err());
    }
}
