//! Retention of kills, by age and size.
//!
//! Age and size -> fewer rows. The newest kill is always kept. Freed pages are reused, so the file exceeds the size by
//! one kill at most. The file never shrinks, because that would temporarily need twice the space.

use jiff::Timestamp;

use super::{Store, StoreError, columns::nanoseconds};

/// When the size is exceeded, 1/`PART` of the kills is deleted at once, because a commit for each would be slow.
const PART: u64 = 20;

/// The limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Kills before this time are deleted; `None` keeps all.
    pub since: Option<Timestamp>,
    /// The largest size of the store in bytes.
    pub bytes: u64,
}

impl Store {
    /// Deletes kills beyond the limits, oldest first. Returns how many.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn keep(&mut self, retention: Retention) -> Result<u64, StoreError> {
        let mut deleted = 0;
        if let Some(since) = retention.since {
            deleted += self.delete(
                "DELETE FROM kills WHERE time_ns < ?1
                 AND rowid <> (SELECT rowid FROM kills ORDER BY time_ns DESC, rowid DESC LIMIT 1)",
                nanoseconds(since),
            )?;
        }
        while self.used()? > retention.bytes {
            let count = self.count()?;
            let part = count.div_ceil(PART).min(count.saturating_sub(1));
            if part == 0 {
                break;
            }
            deleted += self.delete(
                "DELETE FROM kills WHERE rowid IN (SELECT rowid FROM kills ORDER BY time_ns, rowid LIMIT ?1)",
                i64::try_from(part).unwrap_or(i64::MAX),
            )?;
        }
        Ok(deleted)
    }

    /// Bytes of the used pages.
    fn used(&self) -> Result<u64, StoreError> {
        let pragma = |name: &str| {
            let value: i64 = self
                .connection
                .pragma_query_value(None, name, |row| row.get(0))
                .map_err(|error| StoreError::sqlite("measure", &self.path, error))?;
            Ok::<u64, StoreError>(value.unsigned_abs())
        };
        let pages = pragma("page_count")?.saturating_sub(pragma("freelist_count")?);
        Ok(pages.saturating_mul(pragma("page_size")?))
    }

    fn delete(&self, sql: &str, parameter: i64) -> Result<u64, StoreError> {
        let deleted = self
            .connection
            .execute(sql, [parameter])
            .map_err(|error| StoreError::sqlite("delete old kills from", &self.path, error))?;
        Ok(deleted as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::Retention;
    use crate::store::{Store, fixture::record};

    #[test]
    fn old_kills_go_and_the_newest_stays() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        store.insert_kills(&(0..10).map(record).collect::<Vec<_>>()).unwrap();
        let keep = |since| Retention { since: Some(since), bytes: u64::MAX };
        assert_eq!(store.keep(keep(record(4).time)).unwrap(), 4);
        assert_eq!(store.kill(&record(4).id).unwrap(), Some(record(4)), "at the boundary it stays");
        assert_eq!(store.keep(keep(record(99).time)).unwrap(), 5);
        assert_eq!(store.last_kill().unwrap(), Some(record(9)));
        assert_eq!(store.keep(Retention { since: None, bytes: u64::MAX }).unwrap(), 0);
    }

    #[test]
    fn the_oldest_go_when_there_is_no_more_room() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        store.insert_kills(&(0..400).map(record).collect::<Vec<_>>()).unwrap();
        let bytes = store.used().unwrap() / 2;
        let deleted = store.keep(Retention { since: None, bytes }).unwrap();
        assert!(store.used().unwrap() <= bytes);
        assert!((100..300).contains(&deleted), "{deleted}");
        assert_eq!(store.count().unwrap(), 400 - deleted);
        assert_eq!(store.kill(&record(0).id).unwrap(), None);
        assert_eq!(store.last_kill().unwrap(), Some(record(399)));
        assert!(store.keep(Retention { since: None, bytes: 0 }).unwrap() > 0);
        assert_eq!(store.count().unwrap(), 1, "the newest stays");
    }
}
