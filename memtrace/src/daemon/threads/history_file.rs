//! The history file in the state directory: written periodically and at the end, read at the start.
//!
//! The shared history -> `history`, written atomically; a damaged file is set aside. Must not stop the daemon: if the
//! file is missing or the disk full, the next start begins with an empty history and logs it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, BufWriter, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    clock,
    health::Beat,
    history::{
        History,
        file::{self, FileError},
        shared::Shared,
    },
};

const NAME: &str = "history";
/// Interval between two writes: the most that a killed daemon loses.
const EVERY: Duration = Duration::from_secs(300);

/// The file's path, and the boot id that it is for.
#[derive(Clone, Debug)]
pub struct HistoryFile {
    path: PathBuf,
    boot: String,
}

impl HistoryFile {
    /// The history file of a state directory.
    pub fn new(state_dir: &Path, boot: &str) -> Self {
        Self { path: state_dir.join(NAME), boot: boot.to_owned() }
    }

    fn beside(&self, end: &str) -> PathBuf {
        self.path.with_extension(end)
    }

    /// Reads the history of the previous daemon, if it ran in this boot.
    pub fn load(&self) -> History {
        let read = File::open(&self.path)
            .map_err(FileError::from)
            .and_then(|file| file::read(&self.boot, clock::ktime(), &mut BufReader::new(file)));
        match read {
            Ok(history) => {
                tracing::debug!(series = history.footprint().0, "history restored from its file");
                return history;
            }
            Err(FileError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
            Err(FileError::Other) => tracing::debug!("the history file is from another boot; starting empty"),
            Err(error) => {
                let aside = self.beside("corrupt");
                let is_aside = fs::rename(&self.path, &aside).is_ok();
                let aside = is_aside.then(|| aside.display().to_string());
                tracing::warn!(%error, path = %self.path.display(), aside, "history file is corrupt; starting empty");
            }
        }
        History::default()
    }

    /// Writes it, for the next start.
    ///
    /// # Errors
    /// When the state directory cannot be written; the previous file is kept.
    pub fn save(&self, shared: &Shared) -> Result<(), FileError> {
        let new = self.beside("new");
        let write = || {
            let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&new)?;
            let mut out = BufWriter::new(file);
            file::write(|| shared.history(), &self.boot, &mut out)?;
            out.flush()?;
            out.get_ref().sync_data()?;
            Ok(fs::rename(&new, &self.path)?)
        };
        write().inspect_err(|_| {
            // A partial file is useless, and the disk may be full.
            let _ = fs::remove_file(&new);
        })
    }

    /// Writes it, and logs a failure.
    pub fn save_or_say(&self, shared: &Shared) {
        if let Err(error) = self.save(shared) {
            tracing::warn!(%error, path = %self.path.display(), "failed to save the history for the next start");
        }
    }

    /// Writes it periodically, on the current runtime.
    pub fn keep(self, shared: Shared, beat: Beat) {
        tokio::spawn(async move {
            let mut every = tokio::time::interval(EVERY);
            // The first tick fires immediately.
            every.tick().await;
            loop {
                every.tick().await;
                beat.beat();
                let (kept, shared) = (self.clone(), shared.clone());
                // It fails only after a panic, which is in the log.
                let _ = tokio::task::spawn_blocking(move || kept.save_or_say(&shared)).await;
                beat.rest();
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::{HistoryFile, Shared, clock, fs};
    use crate::{history::FIGURES, units::Bytes};

    #[test]
    fn the_next_daemon_knows_it_and_damage_is_set_aside() {
        let state = tempfile::tempdir().unwrap();
        let kept = HistoryFile::new(state.path(), "boot");
        assert_eq!(kept.load().containers().count(), 0, "there is none at first");
        let shared = Shared::default();
        shared.history().read("/a", Some(1), [Some(Bytes(4096)); FIGURES], clock::ktime());
        kept.save(&shared).unwrap();
        let points = shared.history().container("/a").unwrap().points();
        assert_eq!(kept.load().container("/a").unwrap().points(), points);
        assert_eq!(HistoryFile::new(state.path(), "next boot").load().containers().count(), 0);

        let path = state.path().join("history");
        fs::write(&path, b"no history").unwrap();
        assert_eq!(kept.load().containers().count(), 0);
        assert_eq!(fs::read(state.path().join("history.corrupt")).unwrap(), b"no history");
        assert!(!path.exists());
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_told_and_nothing_is_left_behind() {
        let state = tempfile::tempdir().unwrap();
        let kept = HistoryFile::new(&state.path().join("none"), "boot");
        assert!(kept.save(&Shared::default()).is_err());
        // Makes the final rename fail.
        fs::create_dir(state.path().join("history")).unwrap();
        assert!(HistoryFile::new(state.path(), "boot").save(&Shared::default()).is_err());
        assert_eq!(fs::read_dir(state.path()).unwrap().count(), 1);
    }
}
