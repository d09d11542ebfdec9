//! Retention of kills, by age and size.
//!
//! Age and size -> fewer rows. The newest kill is always kept. Age is counted by the store's own time, not by the wall
//! clock ([`super::store_time`]). Freed pages are reused, so the file exceeds the size by one kill at most. The file never
//! shrinks, because that would temporarily need twice the space.

use std::time::Duration;

use rusqlite::{OptionalExtension as _, named_params};

use super::{
    Store, StoreError,
    store_time::{Due, Mark, Now},
};

/// When the size is exceeded, 1/`PART` of the kills is deleted at once, because a commit for each would be slow.
const PART: u64 = 20;

/// The limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Kills that are older are deleted; `None` keeps all.
    pub age: Option<Duration>,
    /// The largest size of the store in bytes.
    pub bytes: u64,
}

impl Store {
    /// Advances the store's time.
    ///
    /// # Errors
    /// When it was never read and cannot be read now.
    pub fn tick(&mut self, now: &Now) -> Result<(), StoreError> {
        let mark = match self.mark.take().map_or_else(|| self.stored_mark(), |mark| Ok(Some(mark)))? {
            Some(mark) => mark.advance(now),
            None => Mark::first(now, self.newest()?),
        };
        self.mark = Some(mark);
        Ok(())
    }

    /// Deletes kills beyond the limits, those stored first. Returns how many.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn keep(&mut self, retention: Retention, now: &Now) -> Result<u64, StoreError> {
        self.tick(now)?;
        self.store_mark()?;
        let mut deleted = 0;
        if let (Some(age), Some(mark)) = (retention.age, &self.mark) {
            let Due { stored_before, from_before, from_after } = mark.due(now.wall, age);
            deleted += self.delete(
                "DELETE FROM kills WHERE stored_ns < :stored_before
                 AND (time_ns < :from_before OR time_ns > :from_after)
                 AND rowid <> (SELECT rowid FROM kills ORDER BY stored_ns DESC, rowid DESC LIMIT 1)",
                named_params! {
                    ":stored_before": stored_before,
                    ":from_before": from_before,
                    ":from_after": from_after,
                },
            )?;
        }
        // The rows of workloads have a bound of their own.
        let rows = self.rows_used()?;
        while self.used()?.saturating_sub(rows) > retention.bytes {
            let count = self.count()?;
            let part = count.div_ceil(PART).min(count.saturating_sub(1));
            if part == 0 {
                break;
            }
            deleted += self.delete(
                "DELETE FROM kills WHERE rowid IN (SELECT rowid FROM kills ORDER BY stored_ns, rowid LIMIT :part)",
                named_params! { ":part": i64::try_from(part).unwrap_or(i64::MAX) },
            )?;
        }
        Ok(deleted)
    }

    /// The store's time; `None` before the first [`Store::tick`].
    pub(super) fn time(&self) -> Option<i64> {
        self.mark.as_ref().map(|mark| mark.time)
    }

    /// The last stored reading.
    fn stored_mark(&self) -> Result<Option<Mark>, StoreError> {
        let row = self.connection.query_row("SELECT time_ns, boot_id, boot_ns FROM store_time", [], |row| {
            let (boot_id, since_boot): (String, i64) = (row.get(1)?, row.get(2)?);
            Ok(Mark { time: row.get(0)?, since_boot: since_boot.unsigned_abs(), boot_id: boot_id.into() })
        });
        row.optional().map_err(|error| self.read_failed(error))
    }

    fn store_mark(&self) -> Result<(), StoreError> {
        let Some(Mark { time, since_boot, boot_id }) = &self.mark else { return Ok(()) };
        self.connection
            .execute(
                "INSERT OR REPLACE INTO store_time (one, time_ns, boot_id, boot_ns)
                 VALUES (1, :time_ns, :boot_id, :boot_ns)",
                named_params! {
                    ":time_ns": time,
                    ":boot_id": &**boot_id,
                    ":boot_ns": i64::try_from(*since_boot).unwrap_or(i64::MAX),
                },
            )
            .map_err(|error| StoreError::sqlite("store the time in", &self.path, error))?;
        Ok(())
    }

    /// When the newest kill was stored.
    fn newest(&self) -> Result<Option<i64>, StoreError> {
        let newest = self.connection.query_row("SELECT max(stored_ns) FROM kills", [], |row| row.get(0));
        newest.map_err(|error| self.read_failed(error))
    }

    /// Bytes of the used pages.
    pub(super) fn used(&self) -> Result<u64, StoreError> {
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

    fn delete(&self, sql: &str, parameters: &[(&str, &dyn rusqlite::ToSql)]) -> Result<u64, StoreError> {
        let deleted = self
            .connection
            .execute(sql, parameters)
            .map_err(|error| StoreError::sqlite("delete old kills from", &self.path, error))?;
        Ok(deleted as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::{SignedDuration, Timestamp};
    use proptest::prelude::*;

    use super::{Mark, Now, Retention};
    use crate::{
        oom::record::OomRecord,
        store::{Store, columns::nanoseconds, fixture::record},
    };

    const DAY: i64 = 24 * 3_600;

    /// The clocks `seconds` after the node's boot, which was at the first record.
    fn at(seconds: i64) -> Now {
        Now {
            wall: record(0).time.saturating_add(SignedDuration::from_secs(seconds)).unwrap(),
            since_boot: u64::try_from(seconds).unwrap() * 1_000_000_000,
            boot_id: "boot".into(),
        }
    }

    fn days(age: u64) -> Retention {
        Retention { age: Some(Duration::from_secs(age * DAY as u64)), bytes: u64::MAX }
    }

    /// A record of this time.
    fn from(n: u32, time: Timestamp) -> OomRecord {
        OomRecord { time, ..record(n) }
    }

    #[test]
    fn old_kills_go_and_the_newest_stays() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        for n in 0..10 {
            let now = at(i64::from(n) * DAY);
            store.tick(&now).unwrap();
            store.insert_kills(&[from(n, now.wall)]).unwrap();
        }
        assert_eq!(store.keep(days(5), &at(9 * DAY)).unwrap(), 4);
        assert!(store.kill(&record(4).id).unwrap().is_some(), "at the boundary it stays");
        assert_eq!(store.keep(days(5), &at(100 * DAY)).unwrap(), 5);
        assert_eq!(store.last_kill().unwrap().unwrap().id, record(9).id);
        assert_eq!(store.keep(Retention { age: None, bytes: u64::MAX }, &at(1_000 * DAY)).unwrap(), 0);
    }

    /// The wall clock is decades ahead or behind for an hour, and the daemon restarts meanwhile.
    #[test]
    fn a_clock_that_jumps_deletes_no_kill() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        store.tick(&at(0)).unwrap();
        store.insert_kills(&[from(0, at(0).wall), from(1, at(0).wall)]).unwrap();
        for (hour, years) in (1_i64..).zip([30, -30, 0]) {
            let now = at(hour * 3_600);
            let wall = now.wall.saturating_add(SignedDuration::from_hours(years * 365 * 24)).unwrap();
            let now = Now { wall, ..now };
            drop(store);
            store = Store::open(dir.path()).unwrap();
            store.tick(&now).unwrap();
            let n = u32::try_from(hour).unwrap() + 1;
            store.insert_kills(&[from(n, now.wall)]).unwrap();
            assert_eq!(store.keep(days(90), &now).unwrap(), 0, "{years} years");
        }
        // All three clocks agree that these are old.
        assert_eq!(store.keep(days(90), &at(91 * DAY)).unwrap(), 4);
    }

    #[test]
    fn kills_of_an_older_store_are_as_old_as_the_newest_of_them_says() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        // Nobody told the time.
        store.insert_kills(&[from(0, at(0).wall), from(1, at(10 * DAY).wall)]).unwrap();
        assert_eq!(store.keep(days(5), &at(400 * DAY)).unwrap(), 1);
        assert_eq!(store.count().unwrap(), 1);
    }

    #[test]
    fn the_oldest_go_when_there_is_no_more_room() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        store.insert_kills(&(0..400).map(record).collect::<Vec<_>>()).unwrap();
        let bytes = store.used().unwrap() / 2;
        let deleted = store.keep(Retention { age: None, bytes }, &at(0)).unwrap();
        assert!(store.used().unwrap() <= bytes);
        assert!((100..300).contains(&deleted), "{deleted}");
        assert_eq!(store.count().unwrap(), 400 - deleted);
        assert_eq!(store.kill(&record(0).id).unwrap(), None);
        assert_eq!(store.last_kill().unwrap(), Some(record(399)));
        assert!(store.keep(Retention { age: None, bytes: 0 }, &at(0)).unwrap() > 0);
        assert_eq!(store.count().unwrap(), 1, "the newest stays");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

        /// The query and the rule are the same.
        #[test]
        fn exactly_the_kills_that_are_due_are_deleted(
            kills in prop::collection::vec((0..200_i64, -200..200_i64), 1..20),
            age in 0..100_u64,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let mut store = Store::open(dir.path()).unwrap();
            let now = at(200 * DAY);
            let mut rows = Vec::new();
            for (n, (stored, days)) in (0..).zip(&kills) {
                let kill = from(n, now.wall.saturating_add(SignedDuration::from_hours(24 * days)).unwrap());
                let mark = Mark { time: nanoseconds(at(stored * DAY).wall), since_boot: 0, boot_id: "x".into() };
                store.mark = Some(mark);
                store.insert_kills(std::slice::from_ref(&kill)).unwrap();
                rows.push((store.time().unwrap(), nanoseconds(kill.time), kill.id));
            }
            store.mark = Some(Mark { time: nanoseconds(now.wall), since_boot: now.since_boot, boot_id: "boot".into() });
            let due = store.mark.as_ref().unwrap().due(now.wall, days(age).age.unwrap());
            let newest = rows.iter().enumerate().max_by_key(|(n, row)| (row.0, *n)).unwrap().0;
            store.keep(days(age), &now).unwrap();
            for (n, (stored, time, id)) in rows.iter().enumerate() {
                let is_kept = n == newest || !due.is_due(*stored, *time);
                prop_assert_eq!(store.kill(id).unwrap().is_some(), is_kept, "{} {}", stored, time);
            }
        }
    }
}
