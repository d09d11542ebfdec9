//! The files that people wrote.
//!
//! Root of a checkout -> its text files. Must not enter what is built or hidden, save for our own dot directories.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

const KINDS: [&str; 12] =
    ["c", "css", "html", "json", "md", "proto", "rs", "sh", "toml", "txt", "yaml", "yml"];
const OURS: [&str; 3] = [".cargo", ".ci", ".github"];

/// Every text file below `root`, sorted.
pub(crate) fn texts(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        let entries = fs::read_dir(&dir).with_context(|| format!("failed to read {}", dir.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("failed to read {}", dir.display()))?;
            let kind = entry.file_type().with_context(|| format!("failed to read {}", dir.display()))?;
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            if kind.is_dir() && is_entered(&name) {
                open.push(path);
            } else if kind.is_file() && is_text(&path) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn is_entered(name: &str) -> bool {
    OURS.contains(&name) || name != "target" && !name.starts_with('.')
}

/// Scripts have no extension; everything else that has none is small and text too.
fn is_text(file: &Path) -> bool {
    file.extension().is_none_or(|kind| KINDS.iter().any(|known| kind == *known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_or_hidden_is_not_entered() {
        let dir = tempfile::tempdir().unwrap();
        for file in ["src/lib.rs", "target/x.rs", ".git/config", ".ci/run", "logo.png"] {
            let file = dir.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        assert_eq!(texts(dir.path()).unwrap(), [dir.path().join(".ci/run"), dir.path().join("src/lib.rs")]);
    }
}
