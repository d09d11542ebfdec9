//! Where a process has mapped the code of files, with their build ids: what a profile tells of its addresses.
//!
//! /proc and names of files -> [`Mapped`]. Opens files of the process, so only a reader may call it. Bounded: a process may
//! have a million mappings.

use std::{collections::HashMap, ffi::OsStr, os::unix::ffi::OsStrExt as _, path::Path};

use blazesym::helper::read_elf_build_id;
use serde::{Deserialize, Serialize};

use crate::{
    foreign::{Root, path_of},
    mm::{
        maps,
        procfs::Procfs,
        region::{Backing, Prot},
    },
    text::name,
};

/// The most mappings of an answer.
pub(super) const MOST: usize = 1024;
/// The longest build id in bytes; linkers make 8 to 20.
const LONGEST_ID: usize = 64;

/// A mapping of code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapped {
    /// Its first address.
    pub start: u64,
    /// The first address after it.
    pub end: u64,
    /// Offset of its start in the file.
    pub offset: u64,
    /// The file, as frames of stacks name it.
    pub file: String,
    /// The file's build id; `None` when it has none, or cannot be read.
    pub build_id: Option<Vec<u8>>,
}

impl Mapped {
    /// Cuts what another process sent.
    pub(super) fn bounded(mut self) -> Self {
        self.file = crate::text::cut(self.file);
        self.build_id = self.build_id.filter(|id| id.len() <= LONGEST_ID);
        self
    }
}

/// The mappings of code of these files; `None` when the process is gone.
pub(super) fn mapped(procfs: &Procfs, pid: u32, files: &[String]) -> Option<Vec<Mapped>> {
    let mut all = Vec::new();
    maps::each(procfs, pid, |region| {
        let is_code = region.prot.0 & Prot::EXEC != 0;
        if !is_code || all.len() >= MOST {
            return;
        }
        let (path, file) = match &region.backing {
            Backing::File(file) => (Some(file.path.clone()), name(&file.path)),
            Backing::Special(special) => (None, name(special)),
            _ => return,
        };
        if files.contains(&file) {
            all.push((
                path,
                Mapped { start: region.start, end: region.end, offset: region.offset, file, build_id: None },
            ));
        }
    })
    .ok()?;
    let root = Root::of(procfs.root(), pid).ok();
    let mut ids: HashMap<Vec<u8>, Option<Vec<u8>>> = HashMap::new();
    let with_id = |(path, mapped): (Option<Vec<u8>>, Mapped)| {
        let id = path.zip(root.as_ref()).and_then(|(path, root)| {
            ids.entry(path)
                .or_insert_with_key(|path| build_id(root, Path::new(OsStr::from_bytes(path))))
                .clone()
        });
        Mapped { build_id: id, ..mapped }
    };
    Some(all.into_iter().map(with_id).collect())
}

fn build_id(root: &Root, path: &Path) -> Option<Vec<u8>> {
    let file = root.file(path).ok()?;
    let id = read_elf_build_id(&path_of(&file)).ok()??;
    (id.len() <= LONGEST_ID).then(|| id.into_owned())
}

#[cfg(test)]
mod tests {
    use super::{Procfs, mapped};

    #[test]
    fn the_code_of_this_program_is_where_its_functions_are() {
        let address = the_code_of_this_program_is_where_its_functions_are as *const () as u64;
        let file = std::env::current_exe().unwrap().display().to_string();
        let procfs = Procfs::new("/proc");
        let found = mapped(&procfs, std::process::id(), std::slice::from_ref(&file)).unwrap();
        let here = found.iter().find(|mapped| (mapped.start..mapped.end).contains(&address)).unwrap();
        assert_eq!(here.file, file);
        assert!(found.iter().all(|mapped| mapped.build_id == here.build_id), "one file, one id");
        assert_eq!(mapped(&procfs, std::process::id(), &[]).unwrap(), []);
        assert_eq!(mapped(&procfs, u32::MAX, &[file]), None, "gone");
    }
}
