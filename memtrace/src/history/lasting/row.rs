//! A row: five minutes of one workload.
//!
//! Plain values, and how two parts of one row become one. The stored form counts pages, because the kernel charges whole
//! pages; an unknown figure takes one byte there.

use serde::{Deserialize, Serialize};

use crate::units::Bytes;

/// Seconds of a row.
pub const SLOT: u64 = 300;
/// The most allocators in a row.
pub const MOST_ARENAS: usize = 3;
/// The longest name of an allocator, and setting, in bytes.
const LONGEST: usize = 48;

/// The number of the row that contains a second since 1970.
pub fn slot_of(second: i64) -> u32 {
    u32::try_from(second.max(0).unsigned_abs() / SLOT).unwrap_or(u32::MAX)
}

/// Five minutes of a workload. Figures are of one instance (container), the highest where there are several.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Number of the five minutes since 1970.
    #[serde(skip)]
    pub slot: u32,
    /// Readings, one per second and instance.
    pub readings: u16,
    /// Readings whose page cache was read more than two seconds before.
    pub aged: u16,
    /// Highest reading of unreclaimable memory (`U`), start-up apart.
    #[serde(with = "pages")]
    pub high: Option<Bytes>,
    /// The same between two readings; at least `high`.
    #[serde(with = "pages")]
    pub crest: Option<Bytes>,
    /// Median of `U`.
    #[serde(with = "pages")]
    pub median: Option<Bytes>,
    /// Lowest `U`.
    #[serde(with = "pages")]
    pub low: Option<Bytes>,
    /// Highest `U` during start-up.
    #[serde(with = "pages")]
    pub start: Option<Bytes>,
    /// The largest rise of `U` in one second, start-up apart.
    #[serde(with = "pages")]
    pub rise: Option<Bytes>,
    /// The second largest.
    #[serde(with = "pages")]
    pub second_rise: Option<Bytes>,
    /// What there was at `high`.
    pub kinds: Kinds,
    /// Least page cache with which the workload did not wait for it while its limit bound.
    #[serde(with = "pages")]
    pub calm_cache: Option<Bytes>,
    /// Largest page cache with which it did wait.
    #[serde(with = "pages")]
    pub pressed_cache: Option<Bytes>,
    /// Highest working set of the readings of every thirtieth second, as a scraper would see it.
    #[serde(with = "pages")]
    pub scraped: Option<Bytes>,
    /// The lowest limit that applied.
    #[serde(with = "pages")]
    pub limit: Option<Bytes>,
    /// How often that limit was hit: by page cache too, which is then reclaimed.
    pub hits: u32,
    /// Starts of instances.
    pub starts: u16,
    /// Those of them that replaced one of the same pod or unit.
    pub restarts: u16,
    /// OOM kills.
    pub kills: u16,
    /// The allocators that hold the most.
    pub arenas: Vec<ArenaUse>,
}

/// The charge by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kinds {
    /// Anonymous memory.
    #[serde(with = "pages")]
    pub anon: Option<Bytes>,
    /// Shared memory and tmpfs.
    #[serde(with = "pages")]
    pub shmem: Option<Bytes>,
    /// Unreclaimable kernel memory.
    #[serde(with = "pages")]
    pub kernel: Option<Bytes>,
    /// Page cache, active: used more than once.
    #[serde(with = "pages")]
    pub active_file: Option<Bytes>,
    /// Page cache.
    #[serde(with = "pages")]
    pub file: Option<Bytes>,
}

/// What an allocator holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArenaUse {
    /// Its name.
    pub allocator: String,
    /// Allocated by the program.
    #[serde(with = "pages")]
    pub used: Option<Bytes>,
    /// Free, but resident.
    #[serde(with = "pages")]
    pub free: Option<Bytes>,
    /// The setting that would give most of it back, where one is known and much is free.
    pub setting: Option<String>,
}

impl ArenaUse {
    /// Cuts what came from other processes to the size of a row.
    pub fn bounded(mut self) -> Self {
        if self.allocator.len() > LONGEST {
            self.allocator = self.allocator.chars().take(LONGEST / 4).collect();
        }
        self.setting = self.setting.filter(|setting| setting.len() <= LONGEST);
        self
    }
}

impl Row {
    /// The highest `U`, between readings too.
    pub fn peak(&self) -> Option<Bytes> {
        self.high.max(self.crest)
    }

    /// Adds another part of the same five minutes: from before a restart of the daemon.
    pub fn add(&mut self, other: Self) {
        if other.high > self.high {
            (self.kinds, self.arenas) = (other.kinds, other.arenas);
        } else if self.arenas.is_empty() {
            self.arenas = other.arenas;
        }
        // A median of both cannot be had; that of the longer part is nearer.
        if other.median.is_some() && (self.median.is_none() || other.readings > self.readings) {
            self.median = other.median;
        }
        self.readings = self.readings.saturating_add(other.readings);
        self.aged = self.aged.saturating_add(other.aged);
        let mut rises = [self.rise, self.second_rise, other.rise, other.second_rise];
        rises.sort_unstable_by(|a, b| b.cmp(a));
        [self.rise, self.second_rise, ..] = rises;
        self.high = self.high.max(other.high);
        self.crest = self.crest.max(other.crest);
        self.low = lower(self.low, other.low);
        self.start = self.start.max(other.start);
        self.calm_cache = lower(self.calm_cache, other.calm_cache);
        self.pressed_cache = self.pressed_cache.max(other.pressed_cache);
        self.scraped = self.scraped.max(other.scraped);
        self.limit = other.limit.or(self.limit);
        self.hits = self.hits.saturating_add(other.hits);
        self.starts = self.starts.saturating_add(other.starts);
        self.restarts = self.restarts.saturating_add(other.restarts);
        self.kills = self.kills.saturating_add(other.kills);
    }

    /// The stored form.
    pub fn packed(&self) -> Option<Vec<u8>> {
        postcard::to_stdvec(self).ok()
    }

    /// A row from its stored form; `None` when it is damaged.
    pub fn unpacked(slot: u32, bytes: &[u8]) -> Option<Self> {
        let row: Self = postcard::from_bytes(bytes).ok()?;
        (row.arenas.len() <= MOST_ARENAS).then_some(Self { slot, ..row })
    }
}

/// The lower of two known values.
pub(super) fn lower(one: Option<Bytes>, other: Option<Bytes>) -> Option<Bytes> {
    one.into_iter().chain(other).min()
}

/// Bytes as pages plus one; 0 is unknown. A part of a page counts as one, so that no peak becomes lower.
mod pages {
    use serde::{Deserialize, Deserializer, Serialize as _, Serializer};

    use crate::units::Bytes;

    const PAGE: u64 = 4096;

    pub(super) fn serialize<S: Serializer>(value: &Option<Bytes>, serializer: S) -> Result<S::Ok, S::Error> {
        let pages = value.map_or(0, |Bytes(bytes)| {
            u32::try_from(bytes.div_ceil(PAGE)).unwrap_or(u32::MAX).saturating_add(1)
        });
        pages.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Bytes>, D::Error> {
        let pages = u32::deserialize(deserializer)?;
        Ok(pages.checked_sub(1).map(|pages| Bytes(u64::from(pages) * PAGE)))
    }
}

#[cfg(test)]
mod tests {
    use super::{ArenaUse, Bytes, Kinds, Row, slot_of};

    const MIB: u64 = 1 << 20;

    /// A row with every figure, as large as they get.
    fn full() -> Row {
        let some = |mib: u64| Some(Bytes(mib * MIB));
        let arena = |name: &str| ArenaUse {
            allocator: name.to_owned(),
            used: some(4000),
            free: some(900),
            setting: Some("MALLOC_ARENA_MAX=2".to_owned()),
        };
        Row {
            slot: 5_900_000,
            readings: 300,
            aged: 17,
            high: some(5000),
            crest: some(5001),
            median: some(4900),
            low: some(4000),
            start: some(6000),
            rise: some(300),
            second_rise: some(200),
            kinds: Kinds {
                anon: some(4000),
                shmem: some(500),
                kernel: some(100),
                active_file: some(700),
                file: some(900),
            },
            calm_cache: some(600),
            pressed_cache: some(500),
            scraped: some(5600),
            limit: some(8192),
            hits: 100_000,
            starts: 1,
            restarts: 1,
            kills: 1,
            arenas: ["glibc", "jemalloc", "go"].map(arena).into(),
        }
    }

    #[test]
    fn a_row_comes_back_as_it_was_in_less_than_its_share() {
        let row = full();
        let bytes = row.packed().unwrap();
        assert_eq!(Row::unpacked(row.slot, &bytes), Some(row));
        // 1.5 MB a day of 30 containers are 173 bytes a row, keys and pages of the database included.
        assert!(bytes.len() <= 160, "{}", bytes.len());
        assert!(Row::default().packed().unwrap().len() < 30);
        assert_eq!(Row::unpacked(1, &bytes[..20]), None);
    }

    #[test]
    fn what_is_unknown_stays_so_and_a_part_of_a_page_is_one() {
        let row = Row { high: Some(Bytes(1)), low: Some(Bytes(0)), ..Row::default() };
        let back = Row::unpacked(0, &row.packed().unwrap()).unwrap();
        assert_eq!((back.high, back.low, back.median), (Some(Bytes(4096)), Some(Bytes(0)), None));
    }

    #[test]
    fn two_parts_are_one_row() {
        let of = |high: u64, low: u64, readings| Row {
            readings,
            high: Some(Bytes(high)),
            median: Some(Bytes(high - 1)),
            low: Some(Bytes(low)),
            rise: Some(Bytes(high / 2)),
            second_rise: Some(Bytes(1)),
            kills: 1,
            limit: Some(Bytes(high * 2)),
            ..Row::default()
        };
        let mut row = of(10, 5, 100);
        row.add(of(8, 3, 200));
        assert_eq!((row.high, row.low, row.readings, row.kills), (Some(Bytes(10)), Some(Bytes(3)), 300, 2));
        assert_eq!((row.rise, row.second_rise), (Some(Bytes(5)), Some(Bytes(4))));
        assert_eq!(
            (row.median, row.limit),
            (Some(Bytes(7)), Some(Bytes(16))),
            "of the longer, and the newer"
        );
        row.add(Row::default());
        assert_eq!((row.high, row.low), (Some(Bytes(10)), Some(Bytes(3))));
    }

    #[test]
    fn a_slot_is_five_minutes() {
        assert_eq!((slot_of(299), slot_of(300), slot_of(-5)), (0, 1, 0));
    }
}
