//! Damaged databases and orphaned logs: moved to a name with the time, so that they can be examined.
//!
//! Paths -> other names in the same directory. Must not overwrite an older one. Only the newest few are kept, because a
//! bad disk could otherwise fill up with them.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::{
    StoreError,
    identity::{LOG, LOG_INDEX, beside},
};

/// The most that are kept; older ones are deleted.
const MOST: usize = 8;

/// Moves a damaged database and its log to matching names, so that SQLite still finds the log.
pub(super) fn database(path: &Path, now: Timestamp) -> Result<Option<PathBuf>, StoreError> {
    // The log first: a new database must never get the log of the old one.
    let aside = rename(path, "corrupt", &[LOG, LOG_INDEX, ""], now)?;
    delete_oldest(path);
    Ok(aside)
}

/// Moves a log, its index, or both, whose database is not there any more.
pub(super) fn logs(path: &Path, suffixes: &[&str], now: Timestamp) -> Result<Option<PathBuf>, StoreError> {
    let aside = rename(path, "lost", suffixes, now)?;
    delete_oldest(path);
    Ok(aside)
}

/// Renames these of the files. Returns the name without a suffix, if there was any of them.
fn rename(path: &Path, word: &str, suffixes: &[&str], now: Timestamp) -> Result<Option<PathBuf>, StoreError> {
    let first = beside(path, &format!(".{word}-{}", now.as_second()));
    // Never overwrite an older one, even within the same second.
    let mut aside = first.clone();
    for number in 2.. {
        if ["", LOG, LOG_INDEX].iter().all(|suffix| fs::symlink_metadata(beside(&aside, suffix)).is_err()) {
            break;
        }
        aside = beside(&first, &format!(".{number}"));
    }
    let mut moved = 0;
    for suffix in suffixes {
        let from = beside(path, suffix);
        match fs::rename(&from, beside(&aside, suffix)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(StoreError::io("set aside", &from, error)),
            Ok(()) => moved += 1,
        }
    }
    Ok((moved > 0).then_some(aside))
}

/// Deletes all but the newest. It is no harm if that fails.
fn delete_oldest(path: &Path) {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str()))
    else {
        return;
    };
    let Ok(entries) = fs::read_dir(directory) else { return };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut asides: Vec<(i64, u32, String)> =
        names.filter_map(|found| age(name, &found).map(|(time, number)| (time, number, found))).collect();
    asides.sort();
    let mut kept: Vec<(i64, u32)> = asides.iter().map(|(time, number, _)| (*time, *number)).collect();
    kept.dedup();
    let first = kept.len().checked_sub(MOST).and_then(|excess| kept.get(excess)).copied();
    let Some(first) = first else { return };
    for (time, number, found) in asides {
        if (time, number) < first {
            let _ = fs::remove_file(directory.join(found));
        }
    }
}

/// When a file was set aside, in seconds, with its number within that second. `None` for other files.
fn age(database: &str, name: &str) -> Option<(i64, u32)> {
    let rest = name.strip_prefix(database)?;
    let rest = rest.strip_prefix(".corrupt-").or_else(|| rest.strip_prefix(".lost-"))?;
    let rest = rest.strip_suffix(LOG).or_else(|| rest.strip_suffix(LOG_INDEX)).unwrap_or(rest);
    let (time, number) = rest.split_once('.').unwrap_or((rest, "1"));
    Some((time.parse().ok()?, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use jiff::Timestamp;

    use super::{MOST, age, database};

    #[test]
    fn the_newest_few_are_kept_and_nothing_else_is_touched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("memtrace.db");
        fs::write(dir.path().join("memtrace.db.backup"), "mine").unwrap();
        let mut asides = Vec::new();
        for n in 0..u32::try_from(MOST + 3).unwrap() {
            fs::write(&path, n.to_string()).unwrap();
            fs::write(dir.path().join("memtrace.db-wal"), n.to_string()).unwrap();
            // Two within each second.
            asides.push(database(&path, Timestamp::from_second(i64::from(n / 2)).unwrap()).unwrap().unwrap());
        }
        let is_there =
            |aside: &Path| aside.exists() && Path::new(&format!("{}-wal", aside.display())).exists();
        for (n, aside) in asides.iter().enumerate() {
            assert_eq!(is_there(aside), n >= 3, "{}", aside.display());
            assert_eq!(fs::read_to_string(aside).ok(), (n >= 3).then(|| n.to_string()));
        }
        assert!(dir.path().join("memtrace.db.backup").exists());
    }

    #[test]
    fn only_names_of_ours_have_an_age() {
        assert_eq!(age("a.db", "a.db.corrupt-12"), Some((12, 1)));
        assert_eq!(age("a.db", "a.db.lost-12.3-wal"), Some((12, 3)));
        for name in
            ["a.db", "a.db-wal", "b.db.corrupt-12", "a.db.corrupt-x", "a.db.corrupt-12.bak", "a.db.lost-"]
        {
            assert_eq!(age("a.db", name), None, "{name}");
        }
    }
}
