//! Pages of kills and of rows of workloads, for exports.
//!
//! A place -> the entries after it, oldest first, and the next place. No transaction is open between two pages: a slow
//! receiver of an export must not keep the daemon from emptying its log. Must not judge what it reads.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, named_params};

use super::{
    Filter, Store, StoreError,
    columns::nanoseconds,
    workload_rows::{key, parts},
};
use crate::{container::workload::Workload, history::lasting::Row, oom::record::OomRecord};

/// Kills of a page; a record has some 50 KiB.
const KILLS: usize = 64;
/// Rows of a page.
const ROWS: usize = 4096;

/// A place among the kills: after one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    time_ns: i64,
    id: String,
}

/// Some kills.
#[derive(Debug)]
pub struct KillPage {
    /// Oldest first.
    pub kills: Vec<OomRecord>,
    /// Records that could not be read.
    pub damaged: u64,
    /// Where the next page begins; `None` after the last one.
    pub next: Option<Place>,
}

/// Some rows.
#[derive(Debug)]
pub struct RowPage {
    /// In the order of time.
    pub rows: Vec<(Arc<Workload>, Row)>,
    /// Rows that could not be read.
    pub damaged: u64,
    /// Where the next page begins; `None` after the last one.
    pub next: Option<i64>,
}

impl Store {
    /// The place where the kills of the filter begin; only its times and its limit count.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn first_kill(&self, filter: &Filter) -> Result<Place, StoreError> {
        let first = filter.since.map_or(i64::MIN, nanoseconds);
        let begin = Place { time_ns: first, id: String::new() };
        let Some(limit) = filter.limit else { return Ok(begin) };
        // The newest kill that is too many.
        let before = self
            .connection
            .prepare_cached(
                "SELECT time_ns, id FROM kills WHERE time_ns >= :first AND time_ns < :until
                 ORDER BY time_ns DESC, id DESC LIMIT 1 OFFSET :limit",
            )
            .and_then(|mut statement| {
                let parameters = named_params! {
                    ":first": first,
                    ":until": until(filter),
                    ":limit": i64::try_from(limit).unwrap_or(i64::MAX),
                };
                let place = |row: &rusqlite::Row<'_>| Ok(Place { time_ns: row.get(0)?, id: row.get(1)? });
                statement.query_row(parameters, place).optional()
            });
        Ok(before.map_err(|error| self.read_failed(error))?.unwrap_or(begin))
    }

    /// The kills of the filter from this place on; only its `until` counts.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn kills_from(&self, place: &Place, filter: &Filter) -> Result<KillPage, StoreError> {
        self.some_kills_from(place, filter, KILLS)
    }

    fn some_kills_from(&self, place: &Place, filter: &Filter, most: usize) -> Result<KillPage, StoreError> {
        let failed = |error| self.read_failed(error);
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT time_ns, id, record FROM kills
                 WHERE time_ns >= :time AND (time_ns > :time OR id > :id) AND time_ns < :until
                 ORDER BY time_ns, id LIMIT :most",
            )
            .map_err(failed)?;
        let parameters = named_params! {
            ":time": place.time_ns,
            ":id": place.id,
            ":until": until(filter),
            ":most": i64::try_from(most).unwrap_or(i64::MAX),
        };
        let mut rows = statement.query(parameters).map_err(failed)?;
        let mut page = KillPage { kills: Vec::new(), damaged: 0, next: None };
        let mut last = None;
        while let Some(row) = rows.next().map_err(failed)? {
            last = Some(Place { time_ns: row.get(0).map_err(failed)?, id: row.get(1).map_err(failed)? });
            let json = row.get_ref(2).map_err(failed)?.as_bytes().unwrap_or_default();
            match serde_json::from_slice(json) {
                Ok(record) => page.kills.push(record),
                Err(_) => page.damaged += 1,
            }
        }
        let read = page.kills.len() as u64 + page.damaged;
        page.next = last.filter(|_| read >= most as u64);
        Ok(page)
    }

    /// The place where the rows since a number begin.
    pub fn first_row(since: u32) -> i64 {
        key(since, 0)
    }

    /// The rows from this place on, before a number if there is one; none for an older version of the database.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn rows_from(&self, place: i64, until: Option<u32>) -> Result<RowPage, StoreError> {
        self.some_rows_from(place, until, ROWS)
    }

    fn some_rows_from(&self, place: i64, until: Option<u32>, most: usize) -> Result<RowPage, StoreError> {
        let mut page = RowPage { rows: Vec::new(), damaged: 0, next: None };
        if !self.has_rows()? {
            return Ok(page);
        }
        let failed = |error| self.read_failed(error);
        // Rows and workloads must be of one moment: a workload may be new.
        let transaction = self.connection.unchecked_transaction().map_err(failed)?;
        let workloads: BTreeMap<u32, Arc<Workload>> = self
            .workloads(u32::MAX)?
            .into_iter()
            .map(|(number, workload)| (number, workload.into()))
            .collect();
        let mut statement = transaction
            .prepare_cached(
                "SELECT key, row FROM workload_rows WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3",
            )
            .map_err(failed)?;
        let limit = i64::try_from(most).unwrap_or(i64::MAX);
        // Keys are signed.
        let end = until.filter(|until| i32::try_from(*until).is_ok()).map_or(i64::MAX, |until| key(until, 0));
        let mut rows = statement.query([place, end, limit]).map_err(failed)?;
        let mut last = None;
        while let Some(row) = rows.next().map_err(failed)? {
            let key = row.get(0).map_err(failed)?;
            last = Some(key);
            let (slot, number) = parts(key);
            let bytes = row.get_ref(1).map_err(failed)?.as_blob().unwrap_or_default();
            match workloads.get(&number).zip(Row::unpacked(slot, bytes)) {
                Some((workload, row)) => page.rows.push((Arc::clone(workload), row)),
                None => page.damaged += 1,
            }
        }
        let read = page.rows.len() as u64 + page.damaged;
        page.next = last.filter(|_| read >= most as u64).and_then(|key: i64| key.checked_add(1));
        Ok(page)
    }
}

/// The end of the kills of a filter.
fn until(filter: &Filter) -> i64 {
    filter.until.map_or(i64::MAX, |until: Timestamp| nanoseconds(until))
}

#[cfg(test)]
mod tests {
    use super::{Arc, Filter, Place, Row, Store, Workload};
    use crate::store::fixture;

    fn ids(store: &Store, filter: &Filter, most: usize) -> Vec<String> {
        let mut place: Option<Place> = Some(store.first_kill(filter).unwrap());
        let mut all = Vec::new();
        while let Some(from) = place {
            let page = store.some_kills_from(&from, filter, most).unwrap();
            all.extend(page.kills.into_iter().map(|kill| kill.id));
            place = page.next;
        }
        all
    }

    #[test]
    fn pages_of_any_size_give_each_kill_once_and_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        let mut records: Vec<_> = (0..7).map(fixture::record).collect();
        // Two kills of one instant.
        records[4].time = records[3].time;
        store.insert_kills(&records).unwrap();
        records.sort_by(|a, b| (a.time, &a.id).cmp(&(b.time, &b.id)));
        let all: Vec<String> = records.iter().map(|record| record.id.clone()).collect();
        for most in 1..9 {
            assert_eq!(ids(&store, &Filter::default(), most), all, "{most} a page");
            for limit in 0..9 {
                let newest = Filter { limit: Some(limit), ..Filter::default() };
                assert_eq!(
                    ids(&store, &newest, most),
                    all[7_usize.saturating_sub(limit)..],
                    "the newest {limit}"
                );
            }
        }
        let (since, until) = (records[1].time, records[6].time);
        let span = Filter { since: Some(since), until: Some(until), ..Filter::default() };
        assert_eq!(ids(&store, &span, 2), all[1..6]);
        let newest = Filter { limit: Some(2), ..span };
        assert_eq!(ids(&store, &newest, 2), all[4..6]);
    }

    #[test]
    fn a_record_that_cannot_be_read_is_counted_and_hides_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        store.insert_kills(&[0, 1, 2].map(fixture::record)).unwrap();
        store
            .connection
            .execute("UPDATE kills SET record = X'7b' WHERE id = ?1", [fixture::record(1).id])
            .unwrap();
        let filter = Filter::default();
        let page = store.kills_from(&store.first_kill(&filter).unwrap(), &filter).unwrap();
        assert_eq!((page.kills.len(), page.damaged, page.next), (2, 1, None));
        assert_eq!(ids(&store, &filter, 1), [fixture::record(0).id, fixture::record(2).id]);
    }

    #[test]
    fn pages_of_rows_end_where_they_should() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        let workload =
            |container: &str| Arc::new(Workload { container: container.into(), ..Workload::default() });
        let (a, b) = (workload("a"), workload("b"));
        let rows: Vec<_> = (100..105)
            .flat_map(|slot| [&a, &b].map(|workload| (Arc::clone(workload), Row { slot, ..Row::default() })))
            .collect();
        store.insert_rows(&rows).unwrap();
        for most in 1..6 {
            let (mut place, mut all) = (Some(Store::first_row(101)), Vec::new());
            while let Some(from) = place {
                let page = store.some_rows_from(from, Some(104), most).unwrap();
                all.extend(page.rows);
                place = page.next;
            }
            assert_eq!(all, rows[2..8], "{most} a page");
        }
    }
}
