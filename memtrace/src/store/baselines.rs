//! Saved runs: a small file each, in a directory of the state directory.
//!
//! [`Kept`] <-> `baselines/NAME.json`. A file is replaced at once, so that nobody ever reads a part of it. Must not touch
//! the database, which another process may hold.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, ErrorKind, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use crate::sizing::{
    kept::Kept,
    saved::{Damaged, MOST_BYTES, name},
};

/// The directory below the state directory.
const DIRECTORY: &str = "baselines";
const SUFFIX: &str = ".json";
/// The most saved runs: 16 MiB.
const MOST: usize = 1_000;
/// As for the database: commands may have secrets in their arguments.
const MODE: u32 = 0o640;
const DIRECTORY_MODE: u32 = 0o700;

/// Why a saved run cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// There is none with this name.
    #[error("no saved run {name:?} in {}: `memtrace baseline list` lists all", directory.display())]
    Missing {
        /// The name.
        name: String,
        /// Where it was looked for.
        directory: PathBuf,
    },
    /// The directory is full.
    #[error("{} has {MOST} saved runs, which is the most: remove some with `memtrace baseline rm`", .0.display())]
    TooMany(PathBuf),
    /// It cannot be understood.
    #[error("failed to read {}: {damage}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why not.
        damage: Damaged,
    },
    /// An error of the file system.
    #[error("failed to {action} {}", path.display())]
    Io {
        /// The action that failed.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl BaselineError {
    /// Whether the user may not do this.
    pub fn is_denied(&self) -> bool {
        let kinds = [ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem];
        matches!(self, Self::Io { source, .. } if kinds.contains(&source.kind()))
    }
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BaselineError {
    let path = path.to_owned();
    move |source| BaselineError::Io { action, path, source }
}

/// A saved run in the directory, or why it cannot be read.
pub type Listed = (String, Result<Kept, BaselineError>);

/// The saved runs of a state directory.
#[derive(Clone, Debug)]
pub struct Baselines(PathBuf);

impl Baselines {
    /// Those below this state directory, which may not exist.
    pub fn of(state_dir: &Path) -> Self {
        Self(state_dir.join(DIRECTORY))
    }

    /// Makes the directory, and checks that a run can be saved in it: before a command runs for an hour.
    ///
    /// # Errors
    /// When it cannot be made or written to, or is full.
    pub fn prepare(&self, of: &str) -> Result<(), BaselineError> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(DIRECTORY_MODE).create(&self.0).map_err(io_error("create", &self.0))?;
        let part = self.part(of);
        self.create(&part).and_then(|_| fs::remove_file(&part)).map_err(io_error("write to", &self.0))?;
        match self.names()?.iter().filter(|name| *name != of).count() {
            MOST.. => Err(BaselineError::TooMany(self.0.clone())),
            _ => Ok(()),
        }
    }

    /// Saves a run in place of one of the same name, and returns its file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, kept: &Kept) -> Result<PathBuf, BaselineError> {
        let (path, part) = (self.path(kept.name()), self.part(kept.name()));
        let bytes = kept.bytes().ok_or_else(|| io::Error::from(ErrorKind::FileTooLarge));
        let written = bytes.and_then(|bytes| {
            let mut file = self.create(&part)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&part, &path)?;
            File::open(&self.0)?.sync_all()
        });
        if written.is_err() {
            let _ = fs::remove_file(&part);
        }
        written.map_err(io_error("write", &path))?;
        Ok(path)
    }

    /// The one with this name.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn load(&self, name: &str) -> Result<Kept, BaselineError> {
        Self::read(&self.path(name)).map_err(|error| match error {
            BaselineError::Io { action, source, .. } => self.failed(action, name, source),
            error => error,
        })
    }

    /// The one in a file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(path: &Path) -> Result<Kept, BaselineError> {
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(MOST_BYTES as u64 + 1).read_to_end(&mut bytes))
            .map_err(io_error("read", path))?;
        Kept::read(&bytes).map_err(|damage| BaselineError::Damaged { path: path.to_owned(), damage })
    }

    /// All of them, by name; none where there is no directory.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>, BaselineError> {
        let names = self.names()?;
        Ok(names.into_iter().map(|name| (name.clone(), self.load(&name))).collect())
    }

    /// Removes the run with this name.
    ///
    /// # Errors
    /// When there is none, or it cannot be removed.
    pub fn remove(&self, name: &str) -> Result<(), BaselineError> {
        fs::remove_file(self.path(name)).map_err(|source| self.failed("remove", name, source))
    }

    fn failed(&self, action: &'static str, name: &str, source: io::Error) -> BaselineError {
        match source.kind() {
            ErrorKind::NotFound => {
                BaselineError::Missing { name: name.to_owned(), directory: self.0.clone() }
            }
            _ => BaselineError::Io { action, path: self.path(name), source },
        }
    }

    fn names(&self) -> Result<Vec<String>, BaselineError> {
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io_error("read", &self.0)(error)),
        };
        let of = |entry: fs::DirEntry| name(entry.file_name().to_str()?.strip_suffix(SUFFIX)?).ok();
        let mut names: Vec<String> = entries.flatten().filter_map(of).take(MOST).collect();
        names.sort();
        Ok(names)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}{SUFFIX}"))
    }

    /// A file that is no name's, and nobody else's.
    fn part(&self, name: &str) -> PathBuf {
        self.0.join(format!(".{name}.{}", std::process::id()))
    }

    /// What an earlier process with this id may have left goes.
    fn create(&self, part: &Path) -> io::Result<File> {
        let _ = fs::remove_file(part);
        OpenOptions::new().write(true).create_new(true).mode(MODE).open(part)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::sizing::{
        run::fixture::{page, run},
        saved::Saved,
    };

    fn a_run(name: &str, seconds: f64) -> Kept {
        let saved = Saved::of(&page(run(100 << 20)), name, Timestamp::UNIX_EPOCH).unwrap();
        Saved { seconds, ..saved }.into()
    }

    fn saved(name: &str) -> Kept {
        a_run(name, 1.5)
    }

    #[test]
    fn a_run_is_saved_listed_replaced_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let baselines = Baselines::of(&dir.path().join("state"));
        assert!(baselines.list().unwrap().is_empty(), "no directory yet");
        baselines.prepare("a").unwrap();
        baselines.save(&saved("b")).unwrap();
        baselines.save(&saved("a")).unwrap();
        let again = a_run("a", 7.0);
        baselines.save(&again).unwrap();
        assert_eq!(baselines.load("a").unwrap(), again);
        let names = |baselines: &Baselines| {
            baselines.list().unwrap().into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(names(&baselines), ["a", "b"]);
        baselines.remove("a").unwrap();
        assert!(matches!(baselines.remove("a"), Err(BaselineError::Missing { .. })));
        assert!(matches!(baselines.load("a"), Err(BaselineError::Missing { .. })));
        assert_eq!(names(&baselines), ["b"], "and nothing else was left");
        assert_eq!(fs::read_dir(&baselines.0).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_saved_run_is_listed_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let baselines = Baselines::of(dir.path());
        baselines.prepare("a").unwrap();
        let newer = serde_json::json!({"schema": 3, "other": "form"}).to_string();
        for (file, text) in
            [("cut.json", "{"), ("newer.json", &newer), ("large.json", &"x".repeat(MOST_BYTES * 2))]
        {
            fs::write(baselines.0.join(file), text).unwrap();
        }
        fs::write(baselines.0.join("notes.txt"), "not one of them").unwrap();
        let listed = baselines.list().unwrap();
        let told: Vec<String> =
            listed.iter().map(|(name, saved)| format!("{name} {}", saved.as_ref().unwrap_err())).collect();
        assert_eq!(told.len(), 3);
        assert!(told[0].starts_with("cut") && told[1].contains("larger than 16.0 KiB"), "{told:?}");
        assert!(told[2].contains("its version is 3"), "{told:?}");
    }
}
