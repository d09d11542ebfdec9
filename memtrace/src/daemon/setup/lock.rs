//! One daemon per state directory.
//!
//! Input: the directory. Output: a lock that the kernel releases when the process ends, in whatever way.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt as _, OpenOptionsExt, PermissionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

/// Held for as long as the daemon runs.
#[derive(Debug)]
pub struct StateLock {
    directory: PathBuf,
    file: File,
}

impl StateLock {
    /// Takes the lock again if the directory or the lock file was deleted or replaced: the old one excludes nobody.
    ///
    /// # Errors
    /// See [`lock`]; then the old lock is kept.
    pub fn renew(&mut self) -> Result<(), LockError> {
        let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        let there = fs::metadata(self.directory.join(FILE)).ok().map(identity);
        if there.is_none() || there != self.file.metadata().ok().map(identity) {
            *self = lock(&self.directory)?;
        }
        Ok(())
    }
}

const FILE: &str = "lock";

/// Why the directory cannot be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another daemon uses it.
    #[error("another daemon uses the state directory {0}: stop it, or choose another --state-dir")]
    InUse(PathBuf),
    /// Every user could add or delete records there.
    #[error("everybody can write to {0}: run `chmod o-w` on it")]
    WorldWritable(PathBuf),
    /// It cannot be created or written to.
    #[error("failed to {action} {path}: {source}")]
    Io {
        /// The action that failed.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl LockError {
    /// Whether permission is missing.
    pub fn is_permission(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
    }
}

/// Whether every user may write to a directory; false if it does not exist.
pub fn is_world_writable(directory: &Path) -> bool {
    fs::metadata(directory).is_ok_and(|metadata| metadata.permissions().mode() & 0o002 != 0)
}

/// Creates the directory if it is missing, accessible to its owner only, and locks it.
///
/// # Errors
/// See [`LockError`].
pub fn lock(state_dir: &Path) -> Result<StateLock, LockError> {
    fs::DirBuilder::new().recursive(true).mode(0o750).create(state_dir).map_err(|source| LockError::Io {
        action: "create the state directory",
        path: state_dir.to_owned(),
        source,
    })?;
    if is_world_writable(state_dir) {
        return Err(LockError::WorldWritable(state_dir.to_owned()));
    }
    let path = state_dir.join(FILE);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o640)
        .open(&path)
        .map_err(|source| LockError::Io { action: "open the lock file", path: path.clone(), source })?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(StateLock { directory: state_dir.to_owned(), file }),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(LockError::InUse(state_dir.to_owned())),
        Err(error) => Err(LockError::Io { action: "lock", path, source: error.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::{LockError, lock};

    #[test]
    fn the_second_is_refused_until_the_first_ends() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("a/b");
        let first = lock(&state).unwrap();
        assert!(matches!(lock(&state), Err(LockError::InUse(_))));
        drop(first);
        assert!(lock(&state).is_ok());
    }

    #[test]
    fn a_lock_is_taken_again_where_its_directory_was_deleted_unless_somebody_else_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let mut held = lock(&state).unwrap();
        held.renew().unwrap();
        std::fs::remove_dir_all(&state).unwrap();
        held.renew().unwrap();
        assert!(matches!(lock(&state), Err(LockError::InUse(_))));
        std::fs::remove_file(state.join("lock")).unwrap();
        let other = lock(&state).unwrap();
        assert!(matches!(held.renew(), Err(LockError::InUse(_))));
        drop(other);
        held.renew().unwrap();
        assert!(matches!(lock(&state), Err(LockError::InUse(_))));
    }

    #[test]
    fn a_directory_of_everybody_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(lock(dir.path()), Err(LockError::WorldWritable(_))));
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "").unwrap();
        let error = lock(&path).unwrap_err().to_string();
        assert!(error.contains(&path.display().to_string()), "{error}");
    }
}
