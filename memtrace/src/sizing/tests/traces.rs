//! Made-up workloads of ten shapes: a seed -> the rows of four weeks.
//!
//! A trace is made at the precision of rows: the level and noise of each five minutes, and events of seconds that are
//! placed exactly, so that what a scraper misses is missed for the same reason as on a node. Peaks are not bounded: noise,
//! jobs and bursts are normal or log-normal. Nothing here knows a formula.

use crate::{
    history::lasting::{Kinds, Row},
    sizing::days::ROWS,
    units::Bytes,
};

pub const DAYS: u32 = 28;
const SLOTS: usize = (DAYS * ROWS) as usize;
/// Days since 1970 of the first day, a Thursday.
const FIRST: u32 = 20_454;
const SLOT: f64 = 300.0;
const DAY: f64 = 86_400.0;
const MIB: f64 = (1 << 20) as f64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shape {
    Steady,
    Daily,
    Weekly,
    NightlyJob,
    Bursts,
    Collector,
    PageCache,
    WarmUp,
    Leak,
    Levels,
}

impl Shape {
    pub const ALL: [Self; 10] = [
        Self::Steady,
        Self::Daily,
        Self::Weekly,
        Self::NightlyJob,
        Self::Bursts,
        Self::Collector,
        Self::PageCache,
        Self::WarmUp,
        Self::Leak,
        Self::Levels,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Daily => "daily rhythm",
            Self::Weekly => "weekly rhythm",
            Self::NightlyJob => "nightly job",
            Self::Bursts => "bursts of seconds",
            Self::Collector => "garbage collector",
            Self::PageCache => "database with page cache",
            Self::WarmUp => "warm-up to a bound",
            Self::Leak => "leak",
            Self::Levels => "changing levels",
        }
    }
}

/// SplitMix64.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x9e37_79b9_7f4a_7c15)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Between two numbers.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Standard normal.
    pub fn normal(&mut self) -> f64 {
        let (one, two) = (self.between(1e-12, 1.0), self.between(0.0, std::f64::consts::TAU));
        (-2.0 * one.ln()).sqrt() * two.cos()
    }

    fn count(&mut self, low: u32, high: u32) -> u32 {
        self.between(f64::from(low), f64::from(high) + 1.0) as u32
    }
}

/// A rise that lasts seconds to hours, on top of the level.
#[derive(Clone, Copy, Debug)]
struct Event {
    start: f64,
    ramp: f64,
    end: f64,
    height: f64,
}

/// A trace in the making, in MiB.
struct Trace {
    level: Vec<f64>,
    /// Standard deviation of the readings around the level.
    noise: f64,
    events: Vec<Event>,
    /// Slots with a start, and its height.
    starts: Vec<(usize, f64)>,
    hot_cache: f64,
    cold_cache: f64,
    /// Memory that is allocated and collected all the time: its size, and its rate in a second.
    garbage: f64,
    garbage_rate: f64,
}

/// The trace of a seed: its shape, and its rows.
pub fn trace(seed: u64) -> (Shape, Vec<Row>) {
    let mut random = Random::new(seed);
    let shape = Shape::ALL[(seed % 10) as usize];
    let base = 64.0 * (random.between(0.0, (8192.0_f64 / 64.0).ln())).exp();
    let trace = made(shape, base, &mut random);
    (shape, rows(&trace, &mut random))
}

fn made(shape: Shape, base: f64, random: &mut Random) -> Trace {
    let mut trace = Trace {
        level: vec![base; SLOTS],
        noise: base * random.between(0.002, 0.015),
        events: Vec::new(),
        starts: Vec::new(),
        hot_cache: base * random.between(0.02, 0.1),
        cold_cache: base * random.between(0.2, 3.0),
        garbage: 0.0,
        garbage_rate: 0.0,
    };
    // The daemon sees the first start, and later ones; a start takes more or less than the rest.
    let start = base * random.between(0.6, 1.15);
    trace.starts.push((0, start));
    for _ in 0..random.count(0, 4) {
        let slot = random.count(0, SLOTS as u32 - 1) as usize;
        trace.starts.push((slot, start * (1.0 + 0.01 * random.normal())));
    }
    match shape {
        Shape::Steady => {}
        Shape::Daily => rhythm(&mut trace, base, 1.0, random),
        Shape::Weekly => {
            let weekend = random.between(0.3, 0.7);
            rhythm(&mut trace, base, weekend, random);
        }
        Shape::NightlyJob => jobs(&mut trace, base, random),
        Shape::Bursts => bursts(&mut trace, base, random),
        Shape::Collector => {
            rhythm(&mut trace, base * 0.1, 1.0, random);
            trace.level.iter_mut().for_each(|level| *level += base * 0.5);
            trace.garbage = base * random.between(0.3, 1.0);
            trace.garbage_rate = trace.garbage / random.between(5.0, 120.0);
        }
        Shape::PageCache => {
            rhythm(&mut trace, base, 1.0, random);
            trace.hot_cache = base * random.between(0.3, 1.5);
            trace.cold_cache = base * random.between(1.0, 6.0);
        }
        Shape::WarmUp => {
            let (bound, days) = (base * random.between(0.5, 3.0), random.between(0.5, 4.0));
            for (slot, level) in trace.level.iter_mut().enumerate() {
                *level += bound * (1.0 - (-(slot as f64) * SLOT / (days * DAY)).exp());
            }
        }
        Shape::Leak => {
            let rate = base * random.between(0.01, 0.1);
            let restarts = if random.between(0.0, 1.0) < 0.5 { random.between(5.0, 10.0) } else { f64::MAX };
            for (slot, level) in trace.level.iter_mut().enumerate() {
                *level += rate * (slot as f64 * SLOT / DAY % restarts);
            }
        }
        Shape::Levels => levels(&mut trace, base, random),
    }
    trace
}

/// More by day than by night, and less at weekends.
fn rhythm(trace: &mut Trace, base: f64, weekend: f64, random: &mut Random) {
    let (amplitude, jitter) = (random.between(0.2, 0.6), random.between(0.01, 0.08));
    // Load grows, by up to a tenth a month.
    let growth = random.between(0.0, 0.0035);
    let days: Vec<f64> = (0..=DAYS).map(|_| 1.0 + jitter * random.normal()).collect();
    for (slot, level) in trace.level.iter_mut().enumerate() {
        let day = slot / ROWS as usize;
        let hour = (slot % ROWS as usize) as f64 / f64::from(ROWS);
        // 1970 began on a Thursday.
        let is_weekend = matches!((FIRST as usize + day + 4) % 7, 0 | 6);
        let load = (1.0 - (hour * std::f64::consts::TAU).cos()) / 2.0;
        let load = load * days[day] * (1.0 + growth * day as f64) * if is_weekend { weekend } else { 1.0 };
        *level = base * (1.0 + amplitude * load);
    }
}

fn jobs(trace: &mut Trace, base: f64, random: &mut Random) {
    let (height, jitter) = (base * random.between(0.5, 2.0), random.between(0.01, 0.07));
    let (hour, length) = (random.between(0.5, 5.0), random.between(900.0, 5400.0));
    // Every other one has a larger job on one day of the week.
    let weekly = if random.between(0.0, 1.0) < 0.5 { random.between(1.1, 2.0) } else { 1.0 };
    for day in 0..DAYS {
        let start = f64::from(day) * DAY + hour * 3600.0 + 120.0 * random.normal().abs();
        let height = height * (1.0 + jitter * random.normal()) * if day % 7 == 3 { weekly } else { 1.0 };
        trace.events.push(Event { start, ramp: length / 4.0, end: start + length, height });
    }
}

fn bursts(trace: &mut Trace, base: f64, random: &mut Random) {
    let (height, spread) = (base * random.between(0.2, 0.8), random.between(0.05, 0.2));
    // From one a day to one each half hour.
    let mean = random.between(0.0, 4.0).exp();
    for day in 0..DAYS {
        let most = (mean * 2.0) as u32;
        for _ in 0..random.count(0, most) {
            let start = (f64::from(day) + random.between(0.0, 0.999)) * DAY;
            let (ramp, length) = (random.between(0.5, 8.0), random.between(0.3, 40.0));
            let height = height * (spread * random.normal()).exp();
            trace.events.push(Event { start, ramp, end: start + ramp + length, height });
        }
    }
}

/// Replicas come and go, so that this one serves a part of the load that changes a few times a day.
fn levels(trace: &mut Trace, base: f64, random: &mut Random) {
    let all: Vec<f64> = (0..random.count(3, 5)).map(|_| base * random.between(0.7, 1.6)).collect();
    let mut now = all[0];
    for level in &mut trace.level {
        if random.between(0.0, 1.0) < 4.0 / f64::from(ROWS) {
            now = all[random.count(0, all.len() as u32 - 1) as usize];
        }
        *level = now;
    }
}

fn rows(trace: &Trace, random: &mut Random) -> Vec<Row> {
    let mut events = trace.events.clone();
    events.sort_by(|one, other| one.start.total_cmp(&other.start));
    let longest = events.iter().map(|event| event.end - event.start).fold(0.0, f64::max);
    (0..SLOTS)
        .map(|slot| {
            let begin = slot as f64 * SLOT;
            let first = events.partition_point(|event| event.start < begin - longest);
            let last = events.partition_point(|event| event.start < begin + SLOT);
            row(trace, slot, &events[first..last], random)
        })
        .collect()
}

/// The height of events at a second.
fn height(events: &[Event], at: f64) -> f64 {
    let one = |event: &Event| {
        let risen = ((at - event.start) / event.ramp.max(0.01)).clamp(0.0, 1.0);
        if at >= event.start && at < event.end { event.height * risen } else { 0.0 }
    };
    events.iter().map(one).sum()
}

fn row(trace: &Trace, slot: usize, events: &[Event], random: &mut Random) -> Row {
    let begin = slot as f64 * SLOT;
    let level = trace.level[slot];
    // The highest of 300 readings with normal noise, and of the ten that a scraper takes.
    let highest = level + trace.noise * (2.8 + 0.35 * random.normal()).max(0.0);
    let of_ten = level + trace.noise * (1.5 + 0.6 * random.normal()).clamp(-1.0, 2.5);
    let garbage_seen = trace.garbage * random.between(0.85, 1.0);
    let tops: Vec<f64> = events
        .iter()
        .flat_map(|event| [event.start + event.ramp, event.end - 0.001, begin, begin + SLOT - 1.0])
        .filter(|at| (begin..begin + SLOT).contains(at))
        .map(|at| height(events, at))
        .collect();
    let top = tops.into_iter().fold(0.0, f64::max);
    let scraped = (0..10).map(|scrape| height(events, begin + f64::from(scrape) * 30.0)).fold(0.0, f64::max);
    let mut rises: Vec<f64> = events
        .iter()
        .filter(|event| event.start >= begin)
        .map(|event| event.height / event.ramp.max(1.0))
        .chain([trace.noise * 4.0, trace.noise * 3.8, trace.garbage_rate, trace.garbage_rate])
        .collect();
    rises.sort_by(|one, other| other.total_cmp(one));
    let hot = trace.hot_cache * (1.0 + 0.02 * random.normal());
    let peak = highest + trace.garbage + top;
    let start = trace.starts.iter().find(|(at, _)| *at == slot).map(|(_, height)| *height);
    Row {
        slot: FIRST * ROWS + slot as u32,
        readings: 300,
        high: mib(peak),
        crest: mib(peak),
        median: mib(level + trace.garbage / 2.0),
        low: mib(level - trace.noise * 2.8),
        start: start.and_then(mib),
        rise: rises.first().copied().and_then(mib),
        second_rise: rises.get(1).copied().and_then(mib),
        kinds: Kinds { active_file: mib(hot), file: mib(hot + trace.cold_cache), ..Kinds::default() },
        // A scraper's working set is the usage without inactive page cache.
        scraped: mib(of_ten + garbage_seen + scraped + hot),
        starts: u16::from(start.is_some()),
        ..Row::default()
    }
}

fn mib(mib: f64) -> Option<Bytes> {
    Some(Bytes((mib.max(0.0) * MIB) as u64))
}
