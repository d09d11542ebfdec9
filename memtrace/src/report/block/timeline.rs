//! The usage of the limit's owner before the kill, as a line of small bars.
//!
//! Points -> a block; the HTML form draws the same points.

use crate::{
    oom::record::{OomRecord, circumstances::Point},
    report::{
        describe::{percent, span},
        document::{Block, Figure},
    },
    units::Bytes,
};

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// An unknown point.
const GAP: char = '·';
/// Bars on a line.
const WIDTH: usize = 72;

/// The highest usage or limit of the points.
pub(in crate::report) fn peak_of(points: &[Point]) -> Option<Bytes> {
    points.iter().flat_map(|point| [point.usage_bytes, point.limit_bytes]).flatten().max()
}

pub(super) fn timeline(record: &OomRecord) -> Option<Block> {
    let points = &record.circumstances.timeline;
    let (first, peak) = (points.first()?, peak_of(points)?);
    let mut block = Block::drawn("Usage of the cgroup whose limit was hit, up to the kill", Figure::Timeline);
    for (title, from) in [("whole time", f64::MAX), ("last 2 minutes", 120.0)] {
        let part: Vec<&Point> = points.iter().filter(|point| point.seconds_before <= from).collect();
        if from < f64::MAX && (part.len() < 8 || part.len() == points.len()) {
            continue;
        }
        block.lines(title, vec![bars(&part, peak)]);
    }
    block.field("from", format!("{} before the kill", span(first.seconds_before)));
    let known = || points.iter().filter_map(|point| point.usage_bytes);
    if let (Some(low), Some(high)) = (known().min(), known().max()) {
        block.field("usage", format!("minimum {low}, maximum {high}"));
    }
    block.field("full bar", peak.to_string());
    Some(block)
}

/// Bars over time; where several points share one, the highest is shown.
fn bars(points: &[&Point], full: Bytes) -> String {
    let oldest = points.iter().map(|point| point.seconds_before).fold(0.0, f64::max);
    let newest = points.iter().map(|point| point.seconds_before).fold(oldest, f64::min);
    let columns = points.len().clamp(1, WIDTH);
    let mut highest: Vec<Option<Bytes>> = vec![None; columns];
    for point in points {
        let share = (oldest - point.seconds_before) / (oldest - newest).max(f64::MIN_POSITIVE);
        let column = (share * (columns - 1) as f64).round().clamp(0.0, (columns - 1) as f64) as usize;
        if let Some(slot) = highest.get_mut(column) {
            *slot = (*slot).max(point.usage_bytes);
        }
    }
    let bar = |usage: Option<Bytes>| {
        let share = percent(usage?, full)?;
        BARS.get((share * BARS.len() as u128 / 101).min(7) as usize).copied()
    };
    // A bar without a point repeats the one before.
    let mut last = GAP;
    highest
        .into_iter()
        .map(|usage| {
            last = bar(usage).unwrap_or(last);
            last
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Point, bars};

    #[test]
    fn bars_keep_the_peak_and_say_what_is_not_known() {
        let point = |seconds_before: f64, usage: Option<u64>| Point {
            seconds_before,
            usage_bytes: usage.map(Bytes),
            ..Point::default()
        };
        let points = [point(3.0, None), point(2.0, Some(10)), point(1.0, Some(100)), point(0.0, Some(50))];
        assert_eq!(bars(&points.each_ref(), Bytes(100)), "·▁█▄");
        let many: Vec<Point> =
            (0..1000).map(|n| point(f64::from(1000 - n), Some(if n == 500 { 100 } else { 1 }))).collect();
        let line = bars(&many.iter().collect::<Vec<_>>(), Bytes(100));
        assert_eq!((line.chars().count(), line.matches('█').count()), (72, 1));
    }
}
