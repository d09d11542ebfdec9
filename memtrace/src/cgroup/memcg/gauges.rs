//! Reads the usage of cgroups repeatedly and keeps the files open.
//!
//! Input: paths. Output: numbers, `None` where the file is missing. Opening a file of cgroupfs costs several times as
//! much as reading it, and hundreds are read each second on a node.

use std::{collections::HashMap, fs::File, os::unix::fs::FileExt as _, path::PathBuf};

use super::{Bytes, Hierarchy, usage_file, watermark_file};

/// Digits of a number of 64 bits, and the end of its line.
const LONGEST: usize = 24;

#[derive(Debug, Default)]
pub struct Gauges {
    open: HashMap<Vec<u8>, Open>,
    /// The most groups whose files stay open.
    most: usize,
}

/// The files of one group.
#[derive(Debug, Default)]
struct Open {
    usage: Option<File>,
    watermark: Option<File>,
    is_used: bool,
}

impl Gauges {
    /// Keeps at most `files` files open.
    pub fn new(files: usize) -> Self {
        Self { open: HashMap::new(), most: files / 2 }
    }

    /// Usage of a cgroup, descendants included.
    pub fn usage(&mut self, hierarchy: &Hierarchy, path: &[u8]) -> Option<Bytes> {
        self.read(path, |open| &mut open.usage, || usage_file(hierarchy, path))
    }

    /// The highest usage of a cgroup so far, if the kernel records it (v2: since 5.19).
    pub fn watermark(&mut self, hierarchy: &Hierarchy, path: &[u8]) -> Option<Bytes> {
        self.read(path, |open| &mut open.watermark, || watermark_file(hierarchy, path))
    }

    /// Closes the files of groups that were not read since the last call.
    pub fn close_unused(&mut self) {
        self.open.retain(|_, open| std::mem::take(&mut open.is_used));
    }

    fn read(
        &mut self,
        path: &[u8],
        of: fn(&mut Open) -> &mut Option<File>,
        name: impl FnOnce() -> Option<PathBuf>,
    ) -> Option<Bytes> {
        if let Some(open) = self.open.get_mut(path) {
            open.is_used = true;
            // Reading fails for a group that is gone; another may have its path by now, so open it again.
            if let Some(bytes) = of(open).as_ref().and_then(number) {
                return Some(bytes);
            }
        }
        let file = File::open(name()?).ok()?;
        let bytes = number(&file)?;
        if self.open.contains_key(path) || self.open.len() < self.most {
            let open = self.open.entry(path.to_vec()).or_default();
            (*of(open), open.is_used) = (Some(file), true);
        }
        Some(bytes)
    }
}

/// The number at the start of a file.
fn number(file: &File) -> Option<Bytes> {
    let mut text = [0; LONGEST];
    let length = file.read_at(&mut text, 0).ok()?;
    std::str::from_utf8(text.get(..length)?).ok()?.trim().parse().ok().map(Bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{
        super::{Version, tests::tree},
        Bytes, Gauges,
    };

    #[test]
    fn a_file_is_read_again_and_another_group_of_its_path_is_another() {
        let (dir, hierarchy) = tree(Version::V2, &[("a/cgroup.procs", "")]);
        let file = dir.path().join("a/memory.current");
        let write = |text: &str| fs::write(&file, text).unwrap();
        let mut gauges = Gauges::new(8);
        assert_eq!(gauges.usage(&hierarchy, b"/a"), None);
        write("18446744073709551615\n");
        assert_eq!(gauges.usage(&hierarchy, b"/a"), Some(Bytes(u64::MAX)));
        write("77\n");
        assert_eq!(gauges.usage(&hierarchy, b"/a"), Some(Bytes(77)));
        assert_eq!(gauges.watermark(&hierarchy, b"/a"), None, "older kernels have none");
        // A file system of its own would say that the old one is gone; here it is empty.
        write("");
        fs::remove_file(&file).unwrap();
        write("78\n");
        assert_eq!(gauges.usage(&hierarchy, b"/a"), Some(Bytes(78)));
        gauges.close_unused();
        assert_eq!(gauges.open.len(), 1);
        gauges.close_unused();
        assert!(gauges.open.is_empty());
    }

    #[test]
    fn beyond_so_many_they_are_opened_each_time() {
        let files: Vec<_> = (0..9).map(|of| (format!("{of}/memory.current"), format!("{of}\n"))).collect();
        let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let (_dir, hierarchy) = tree(Version::V2, &files);
        let mut gauges = Gauges::new(4);
        for number in 0..9 {
            let path = format!("/{number}");
            assert_eq!(gauges.usage(&hierarchy, path.as_bytes()), Some(Bytes(number)));
        }
        assert_eq!(gauges.open.len(), 2);
        assert_eq!(gauges.usage(&hierarchy, b"/8"), Some(Bytes(8)));
    }
}
