//! Five-minute rows of workloads: the history that lasts.
//!
//! [`Row`]s <-> rows of `workload_rows`, for [`DAYS`] days and within [`MOST_BYTES`]. Must not judge them. A row's key
//! is its time and then its workload, so that rows are only ever added at the end: pages are filled, a commit writes a few
//! of them, and old rows are deleted together.

use std::{collections::BTreeMap, sync::Arc};

use rusqlite::{OptionalExtension as _, Transaction, TransactionBehavior, named_params};

use super::{Store, StoreError, columns::nanoseconds, store_time::Now};
use crate::{
    container::workload::{OwnerKind, Workload},
    history::lasting::{Row, SLOT},
};

/// How long rows are kept, in days.
pub const DAYS: u32 = 35;
/// The most bytes of rows, keys and the database's own included; the oldest are deleted first.
pub const MOST_BYTES: u64 = 56 << 20;
/// Rows of one day.
const A_DAY: u32 = (86_400 / SLOT) as u32;
/// What a row takes besides its own bytes: key, lengths, and its part of the page.
const BESIDE: u64 = 16;
/// Bits of a key for the workload's number.
const NUMBER: u32 = 32;

/// A key.
pub(super) fn key(slot: u32, number: u32) -> i64 {
    i64::from(slot) << NUMBER | i64::from(number)
}

/// Row number and workload of a key.
pub(super) fn parts(key: i64) -> (u32, u32) {
    let key = key.cast_unsigned();
    (u32::try_from(key >> NUMBER).unwrap_or(u32::MAX), key as u32)
}

/// Rows and bytes of a part of the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Size {
    rows: i64,
    bytes: i64,
}

impl Store {
    /// Stores rows, all or none. A part of a row that is stored already is added to it.
    ///
    /// # Errors
    /// When they could not be stored.
    pub fn insert_rows(&mut self, rows: &[(Arc<Workload>, Row)]) -> Result<(), StoreError> {
        let Self { connection, path, .. } = self;
        let failed = |error| StoreError::sqlite("store the history of workloads in", path, error);
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let mut numbers: BTreeMap<&Workload, u32> = BTreeMap::new();
        let mut keyed: BTreeMap<i64, Vec<&Row>> = BTreeMap::new();
        for (workload, row) in rows {
            let number = match numbers.get(&**workload) {
                Some(number) => *number,
                None => number_of(&transaction, workload).map_err(failed)?,
            };
            numbers.insert(workload, number);
            keyed.entry(key(row.slot, number)).or_default().push(row);
        }
        let mut more = Size::default();
        for (key, parts) in keyed {
            add(&transaction, key, &parts, &mut more).map_err(failed)?;
        }
        change_size(&transaction, more).map_err(failed)?;
        transaction.commit().map_err(failed)
    }

    /// Deletes rows beyond age and size, the oldest first. Returns how many.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn keep_rows(&mut self, now: &Now) -> Result<u64, StoreError> {
        self.keep_rows_within(now, MOST_BYTES)
    }

    pub(super) fn keep_rows_within(&mut self, now: &Now, most: u64) -> Result<u64, StoreError> {
        // A row is old, or from the future, when both the wall clock and the store's time say so.
        let wall = nanoseconds(now.wall);
        let time = self.time().unwrap_or(wall);
        let slot = |time: i64| {
            u32::try_from(time.max(0).unsigned_abs() / (SLOT * 1_000_000_000)).unwrap_or(u32::MAX)
        };
        let oldest = slot(wall.min(time)).saturating_sub(DAYS * A_DAY);
        let newest = slot(wall.max(time)).saturating_add(A_DAY);
        let Self { connection, path, .. } = self;
        let failed = |error| StoreError::sqlite("delete old history of workloads from", path, error);
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let mut deleted = delete(&transaction, i64::MIN, key(oldest, 0)).map_err(failed)?;
        deleted += delete(&transaction, key(newest, 0), i64::MAX).map_err(failed)?;
        while size(&transaction).map_err(failed)?.used() > most {
            let first: Option<i64> = transaction
                .query_row("SELECT min(key) FROM workload_rows", [], |row| row.get(0))
                .map_err(failed)?;
            let Some((first, _)) = first.map(parts) else { break };
            let day = first.saturating_add(A_DAY);
            deleted += delete(&transaction, i64::MIN, key(day, 0)).map_err(failed)?;
        }
        if deleted > 0 {
            let first: Option<i64> = transaction
                .query_row("SELECT min(key) FROM workload_rows", [], |row| row.get(0))
                .map_err(failed)?;
            let first = first.map_or(u32::MAX, |first| parts(first).0);
            transaction
                .execute("DELETE FROM workloads WHERE last_slot < ?1", [i64::from(first)])
                .map_err(failed)?;
        }
        transaction.commit().map_err(failed)?;
        Ok(deleted)
    }

    /// Bytes that the rows take.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn rows_used(&self) -> Result<u64, StoreError> {
        let size = self.connection.query_row("SELECT rows, bytes FROM workload_rows_size", [], to_size);
        Ok(size.map_err(|error| self.read_failed(error))?.used())
    }

    /// The rows since a number, in the order of time; none for an older version of the database. `each` is called for the
    /// rows of those of the `most` workloads seen last that `is_wanted`.
    ///
    /// # Errors
    /// When the store cannot be read. A damaged row is passed over; their number is returned.
    pub fn each_row(
        &self,
        since: u32,
        most: u32,
        is_wanted: impl Fn(&Workload) -> bool,
        mut each: impl FnMut(&Workload, Row),
    ) -> Result<u64, StoreError> {
        if !self.has_rows()? {
            return Ok(0);
        }
        let failed = |error| self.read_failed(error);
        let workloads = self.workloads(most)?;
        let wanted: BTreeMap<u32, Workload> =
            workloads.into_iter().filter(|(_, workload)| is_wanted(workload)).collect();
        let mut statement = self
            .connection
            .prepare("SELECT key, row FROM workload_rows WHERE key >= ?1 ORDER BY key")
            .map_err(failed)?;
        let mut rows = statement.query([key(since, 0)]).map_err(failed)?;
        let mut damaged = 0;
        while let Some(row) = rows.next().map_err(failed)? {
            let (slot, number) = parts(row.get(0).map_err(failed)?);
            let Some(workload) = wanted.get(&number) else { continue };
            let bytes = row.get_ref(1).map_err(failed)?.as_blob().unwrap_or_default();
            match Row::unpacked(slot, bytes) {
                Some(row) => each(workload, row),
                None => damaged += 1,
            }
        }
        Ok(damaged)
    }

    /// Whether the database has a table of rows: not in older versions.
    pub(super) fn has_rows(&self) -> Result<bool, StoreError> {
        let sql = "SELECT count(*) FROM sqlite_schema WHERE name = 'workload_rows'";
        let there: i64 =
            self.connection.query_row(sql, [], |row| row.get(0)).map_err(|error| self.read_failed(error))?;
        Ok(there > 0)
    }

    /// Those of the `most` workloads seen last, by their number.
    pub(super) fn workloads(&self, most: u32) -> Result<BTreeMap<u32, Workload>, StoreError> {
        let failed = |error| self.read_failed(error);
        let mut statement = self
            .connection
            .prepare(
                "SELECT number, namespace, owner, container, image, kind FROM workloads
                 ORDER BY last_slot DESC, number DESC LIMIT ?1",
            )
            .map_err(failed)?;
        let workloads = statement
            .query_map([most], |row| {
                let workload = Workload {
                    namespace: row.get(1)?,
                    owner: row.get(2)?,
                    container: row.get(3)?,
                    image: row.get(4)?,
                    kind: OwnerKind::of(&row.get::<_, String>(5)?),
                };
                Ok((row.get::<_, i64>(0)?, workload))
            })
            .map_err(failed)?;
        let workloads = workloads.collect::<rusqlite::Result<Vec<_>>>().map_err(failed)?;
        let numbered = workloads.into_iter();
        Ok(numbered.filter_map(|(number, workload)| Some((u32::try_from(number).ok()?, workload))).collect())
    }
}

impl Size {
    fn used(self) -> u64 {
        self.bytes.max(0).unsigned_abs() + self.rows.max(0).unsigned_abs() * BESIDE
    }
}

/// The number of a workload, which is new if it was not known.
fn number_of(transaction: &Transaction<'_>, workload: &Workload) -> rusqlite::Result<u32> {
    let Workload { namespace, owner, container, image, kind } = workload;
    transaction
        .prepare_cached(
            "INSERT INTO workloads (namespace, owner, container, image, kind, last_slot)
             VALUES (:namespace, :owner, :container, :image, :kind, 0)
             ON CONFLICT (namespace, owner, container, image) DO UPDATE SET kind = :kind RETURNING number",
        )?
        .query_row(
            named_params! {
                ":namespace": namespace,
                ":owner": owner,
                ":container": container,
                ":image": image,
                ":kind": kind.name(),
            },
            |row| row.get(0),
        )
}

fn add(transaction: &Transaction<'_>, key: i64, parts_of: &[&Row], more: &mut Size) -> rusqlite::Result<()> {
    let (slot, number) = parts(key);
    let stored: Option<Vec<u8>> = transaction
        .prepare_cached("SELECT row FROM workload_rows WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()?;
    let old = stored.as_deref().and_then(|bytes| Row::unpacked(slot, bytes));
    let all = old.into_iter().chain(parts_of.iter().copied().cloned());
    let whole = all.reduce(|mut one, other| {
        one.add(other);
        one
    });
    // Packing does not fail: the form has no maps and no unknown lengths.
    let Some(bytes) = whole.and_then(|row| row.packed()) else { return Ok(()) };
    let length = |bytes: &[u8]| i64::try_from(bytes.len()).unwrap_or(i64::MAX);
    more.rows += i64::from(stored.is_none());
    more.bytes += length(&bytes) - stored.as_deref().map_or(0, length);
    transaction
        .prepare_cached("INSERT OR REPLACE INTO workload_rows (key, row) VALUES (?1, ?2)")?
        .execute(rusqlite::params![key, bytes])?;
    transaction
        .prepare_cached("UPDATE workloads SET last_slot = max(last_slot, ?2) WHERE number = ?1")?
        .execute([i64::from(number), i64::from(slot)])?;
    Ok(())
}

/// Deletes the keys from one to before another.
fn delete(transaction: &Transaction<'_>, from: i64, until: i64) -> rusqlite::Result<u64> {
    let gone = transaction.query_row(
        "SELECT count(*), coalesce(sum(length(row)), 0) FROM workload_rows WHERE key >= ?1 AND key < ?2",
        [from, until],
        to_size,
    )?;
    if gone.rows == 0 {
        return Ok(0);
    }
    let deleted =
        transaction.execute("DELETE FROM workload_rows WHERE key >= ?1 AND key < ?2", [from, until])?;
    change_size(transaction, Size { rows: -gone.rows, bytes: -gone.bytes })?;
    Ok(deleted as u64)
}

fn size(transaction: &Transaction<'_>) -> rusqlite::Result<Size> {
    transaction.query_row("SELECT rows, bytes FROM workload_rows_size", [], to_size)
}

fn change_size(transaction: &Transaction<'_>, by: Size) -> rusqlite::Result<()> {
    transaction
        .execute("UPDATE workload_rows_size SET rows = rows + ?1, bytes = bytes + ?2", [by.rows, by.bytes])
        .map(drop)
}

fn to_size(row: &rusqlite::Row<'_>) -> rusqlite::Result<Size> {
    Ok(Size { rows: row.get(0)?, bytes: row.get(1)? })
}

#[cfg(test)]
#[path = "workload_rows_tests.rs"]
mod tests;
