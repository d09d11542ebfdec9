//! Kills in the order in which they were stored, for whoever passes each on once.
//!
//! A number -> the kills after it. A number is not used again while a newer one exists. Must not judge what it reads.

use rusqlite::{OptionalExtension as _, named_params};

use super::{Store, StoreError};
use crate::oom::record::OomRecord;

/// Kills in the order of storing.
#[derive(Debug, Default)]
pub struct Stored {
    /// The kills.
    pub kills: Vec<OomRecord>,
    /// Records that could not be read.
    pub damaged: u64,
    /// The number of the last of them; `None` when there are none.
    pub last: Option<i64>,
    /// Kills that are no longer there: at most so many were deleted before they were read here.
    pub deleted: u64,
}

impl Store {
    /// The number of the kill that was stored last; 0 for none.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn last_number(&self) -> Result<i64, StoreError> {
        let last = self.connection.query_row("SELECT max(rowid) FROM kills", [], |row| row.get(0)).optional();
        Ok(last.map_err(|error| self.read_failed(error))?.flatten().unwrap_or_default())
    }

    /// At most `most` kills with numbers above `after`, up to `until`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn stored_after(&self, after: i64, until: i64, most: u32) -> Result<Stored, StoreError> {
        let failed = |error| self.read_failed(error);
        let first: Option<i64> = self
            .connection
            .query_row("SELECT min(rowid) FROM kills", [], |row| row.get(0))
            .map_err(failed)?;
        let deleted = first.unwrap_or(after).saturating_sub(after).saturating_sub(1);
        let mut stored = Stored { deleted: u64::try_from(deleted).unwrap_or_default(), ..Stored::default() };
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT rowid, record FROM kills WHERE rowid > :after AND rowid <= :until ORDER BY rowid LIMIT :most",
            )
            .map_err(failed)?;
        let parameters = named_params! { ":after": after, ":until": until, ":most": most };
        let mut rows = statement.query(parameters).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            stored.last = Some(row.get(0).map_err(failed)?);
            match serde_json::from_slice(row.get_ref(1).map_err(failed)?.as_bytes().unwrap_or_default()) {
                Ok(record) => stored.kills.push(record),
                Err(_) => stored.damaged += 1,
            }
        }
        Ok(stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fixture::record;

    fn ids(stored: &Stored) -> Vec<String> {
        stored.kills.iter().map(|kill| kill.id.clone()).collect()
    }

    #[test]
    fn kills_come_in_the_order_of_storing_each_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        assert_eq!(store.last_number().unwrap(), 0);
        assert!(store.stored_after(0, i64::MAX, 9).unwrap().last.is_none());
        // One that happened earlier is stored later.
        store.insert_kills(&[record(2), record(1), record(3)]).unwrap();
        let first = store.stored_after(0, i64::MAX, 2).unwrap();
        assert_eq!(ids(&first), [record(2).id, record(1).id]);
        let rest = store.stored_after(first.last.unwrap(), i64::MAX, 2).unwrap();
        assert_eq!((ids(&rest), rest.deleted), (vec![record(3).id], 0));
        assert_eq!(rest.last, Some(store.last_number().unwrap()));
        assert!(store.stored_after(0, first.last.unwrap(), 9).unwrap().kills.len() == 2, "up to a number");
    }

    #[test]
    fn what_was_deleted_or_cannot_be_read_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        store.insert_kills(&[record(1), record(2), record(3)]).unwrap();
        store.connection.execute("DELETE FROM kills WHERE rowid = 1", []).unwrap();
        store.connection.execute("UPDATE kills SET record = x'00' WHERE rowid = 2", []).unwrap();
        let stored = store.stored_after(0, i64::MAX, 9).unwrap();
        assert_eq!((stored.deleted, stored.damaged, ids(&stored)), (1, 1, vec![record(3).id]));
        assert_eq!(store.stored_after(1, i64::MAX, 9).unwrap().deleted, 0, "it was read before");
    }
}
