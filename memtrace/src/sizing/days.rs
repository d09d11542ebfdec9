//! Days of a workload: all that the formulas need of its rows.
//!
//! [`Row`]s in the order of time -> [`Day`]s. Pure. A day has a fixed size, so that the history of many workloads fits in
//! little memory.

use crate::{
    history::lasting::{ArenaUse, Kinds, Row, SLOT},
    units::Bytes,
};

/// Rows of a day.
pub const ROWS: u32 = (86_400 / SLOT) as u32;
/// The share of a limit from which its reach hides the true peak.
const AT_LIMIT: f64 = 0.98;
const HOURS: usize = 24;
/// Rows of an hour.
const AN_HOUR: u32 = ROWS / 24;

/// A day (UTC) of a workload.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Day {
    /// Days since 1970.
    pub number: u32,
    /// Rows of it.
    pub rows: u32,
    /// The highest unreclaimable memory, start-up apart.
    pub peak: Option<Bytes>,
    /// Whether that peak was between two readings.
    pub is_crest: bool,
    /// The highest during start-up.
    pub start: Option<Bytes>,
    /// The largest rises in one second.
    pub rises: [Option<Bytes>; 2],
    /// The lowest of each hour.
    pub hours: [Option<Bytes>; HOURS],
    /// Least page cache that was enough at a limit.
    pub calm_cache: Option<Bytes>,
    /// Largest page cache that was too little at a limit.
    pub pressed_cache: Option<Bytes>,
    /// Active page cache: lowest and median over the rows.
    pub active_cache: Option<(Bytes, Bytes)>,
    /// Highest working set that a scraper saw.
    pub scraped: Option<Bytes>,
    /// The last limit.
    pub limit: Option<Bytes>,
    /// The limit that was reached, if one was.
    pub reached: Option<Bytes>,
    /// OOM kills, starts, and restarts.
    pub kills: u32,
    /// Starts.
    pub starts: u32,
    /// Restarts.
    pub restarts: u32,
    /// Readings, and those with older page cache.
    pub readings: u32,
    /// Readings whose page cache was older.
    pub aged: u32,
    /// Memory by kind at the peak.
    pub kinds: Kinds,
    /// What the allocators held at the peak.
    pub arenas: Vec<ArenaUse>,
}

/// Days in the making, from rows in the order of time.
#[derive(Clone, Debug, Default)]
pub struct Days {
    days: Vec<Day>,
    /// Active page cache of the rows of the last day.
    active: Vec<Bytes>,
}

impl Days {
    /// Takes the next row.
    pub fn push(&mut self, row: &Row) {
        let number = row.slot / ROWS;
        if self.days.last().is_none_or(|day| day.number != number) {
            self.close();
            self.days.push(Day { number, ..Day::default() });
        }
        self.active.extend(row.kinds.active_file);
        if let Some(day) = self.days.last_mut() {
            day.push(row);
        }
    }

    /// The days so far.
    pub fn finish(mut self) -> Vec<Day> {
        self.close();
        self.days
    }

    fn close(&mut self) {
        let mut active = std::mem::take(&mut self.active);
        active.sort_unstable();
        let ends = active.first().copied().zip(active.get(active.len() / 2).copied());
        if let Some(day) = self.days.last_mut() {
            day.active_cache = ends;
        }
    }
}

impl Day {
    fn push(&mut self, row: &Row) {
        self.rows += 1;
        self.readings += u32::from(row.readings);
        self.aged += u32::from(row.aged);
        if row.peak() > self.peak {
            self.peak = row.peak();
            self.is_crest = row.crest > row.high;
            self.kinds.clone_from(&row.kinds);
            self.arenas.clone_from(&row.arenas);
        }
        self.start = self.start.max(row.start);
        let [first, second] = self.rises;
        let mut rises = [first, second, row.rise, row.second_rise];
        rises.sort_unstable_by(|a, b| b.cmp(a));
        [self.rises[0], self.rises[1], ..] = rises;
        if let Some(hour) = self.hours.get_mut((row.slot % ROWS / AN_HOUR) as usize) {
            *hour = lower(*hour, row.low);
        }
        self.calm_cache = lower(self.calm_cache, row.calm_cache);
        self.pressed_cache = self.pressed_cache.max(row.pressed_cache);
        self.scraped = self.scraped.max(row.scraped);
        self.limit = row.limit.or(self.limit);
        self.kills += u32::from(row.kills);
        self.starts += u32::from(row.starts);
        self.restarts += u32::from(row.restarts);
        let highest = row.peak().max(row.start);
        let is_at = |limit: &Bytes| highest.is_some_and(|at| at.0 as f64 >= limit.0 as f64 * AT_LIMIT);
        self.reached = self.reached.max(row.limit.filter(|limit| row.kills > 0 || is_at(limit)));
    }

    /// The highest unreclaimable memory, start-up included.
    pub fn need(&self) -> Option<Bytes> {
        self.peak.max(self.start)
    }

    /// Whether at least half of it was seen.
    pub fn is_half(&self) -> bool {
        self.rows * 2 >= ROWS
    }
}

fn lower(one: Option<Bytes>, other: Option<Bytes>) -> Option<Bytes> {
    one.into_iter().chain(other).min()
}

#[cfg(test)]
mod tests {
    use super::{AN_HOUR, Bytes, Days, ROWS, Row};

    fn row(slot: u32, high: u64) -> Row {
        let some = |bytes: u64| Some(Bytes(bytes));
        Row {
            slot,
            readings: 300,
            high: some(high),
            crest: some(high),
            low: some(high / 2),
            rise: some(high / 10),
            limit: some(1000),
            ..Row::default()
        }
    }

    #[test]
    fn rows_of_a_day_are_one_day() {
        let mut days = Days::default();
        for slot in 0..ROWS + 3 {
            days.push(&row(slot, if slot == AN_HOUR { 500 } else { 100 }));
        }
        days.push(&Row { crest: Some(Bytes(700)), ..row(3 * ROWS, 100) });
        let days = days.finish();
        assert_eq!(
            days.iter().map(|day| (day.number, day.rows)).collect::<Vec<_>>(),
            [(0, ROWS), (1, 3), (3, 1)]
        );
        assert_eq!((days[0].peak, days[0].rises), (Some(Bytes(500)), [Some(Bytes(50)), Some(Bytes(10))]));
        assert_eq!(&days[0].hours[..2], &[Some(Bytes(50)); 2]);
        assert_eq!(days[1].hours[1], None);
        assert!(days[0].is_half() && !days[1].is_half());
        assert_eq!((days[2].peak, days[2].is_crest), (Some(Bytes(700)), true));
    }

    #[test]
    fn a_limit_is_reached_by_memory_that_stays_and_by_kills() {
        let reached = |row: Row| {
            let mut days = Days::default();
            days.push(&row);
            days.finish()[0].reached
        };
        assert_eq!(reached(Row { hits: 100, ..row(0, 500) }), None, "page cache hit it");
        assert_eq!(reached(row(0, 985)), Some(Bytes(1000)));
        assert_eq!(reached(Row { kills: 1, ..row(0, 500) }), Some(Bytes(1000)), "between two readings");
    }
}
