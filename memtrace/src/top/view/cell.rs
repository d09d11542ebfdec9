//! Draws one cell of the table.

use ratatui::layout::Rect;

use super::paint::Painter;
use crate::{
    text,
    top::{
        column::{Column, Kind},
        format,
        rows::State,
        theme::{Role, Theme},
        value::Value,
    },
    units::Bytes,
};

/// Draws a value. A selected row keeps its own style, so the roles are left out there.
pub(super) fn cell(painter: &mut Painter<'_>, area: Rect, column: &Column, value: &Value, state: State) {
    let width = usize::from(area.width);
    let gap = painter.theme.gap();
    match (value, column.kind) {
        (Value::Share(share), Kind::Bar) => {
            let bar = area.width.saturating_sub(5);
            let role = Theme::role(share_state(*share));
            let x = painter.bar(area, area.x, bar, *share, role);
            painter.put(area, x, &format!("{:>5}", format::percent(*share)), role);
        }
        (Value::Trend(points), _) => {
            let line = sparkline(painter.theme, points, width);
            painter.put(area, area.x, &line, Role::Gauge);
        }
        (value, Kind::Name) => {
            let text = text::keep_end(&value.short(), width, gap);
            let role = match state {
                State::Calm => Role::Strong,
                State::Warning | State::Alarm => Theme::role(state),
            };
            painter.put(area, area.x, &text, role);
        }
        (value, _) if column.is_right() => {
            let text = value.short();
            let text = format!("{text:>width$}");
            painter.put(area, area.x, &text::keep_start(&text, width, gap), role(column, value));
        }
        (value, _) => {
            painter.put(area, area.x, &text::keep_start(&value.short(), width, gap), role(column, value));
        }
    }
}

fn share_state(share: f64) -> State {
    match share {
        share if share >= 0.95 => State::Alarm,
        share if share >= 0.8 => State::Warning,
        _ => State::Calm,
    }
}

/// The role of a figure: growth and approaching limits are highlighted.
fn role(column: &Column, value: &Value) -> Role {
    match value {
        Value::Unknown => Role::Faint,
        Value::Change(by) if *by > 0.0 => Role::Warning,
        Value::Change(by) if *by < 0.0 => Role::Good,
        Value::Change(_) => Role::Faint,
        Value::Seconds(left) if column.field == "seconds_to_limit" && *left <= 300.0 => Role::Alarm,
        Value::Seconds(_) if column.field == "seconds_to_limit" => Role::Warning,
        Value::Count(count) if column.field == "kills" && *count > 0 => Role::Alarm,
        Value::Count(0) | Value::Bytes(Bytes(0)) => Role::Faint,
        Value::Share(share) if *share >= 0.1 && column.kind == Kind::Share => Role::Warning,
        Value::Share(_) => Role::Faint,
        Value::Text(word) if matches!(word.as_str(), "LOST" | "MISSING") => Role::Alarm,
        Value::Text(word) if word == "ok" => Role::Good,
        Value::Text(words) if column.field == "verdict" => {
            if words.starts_with("leak") {
                Role::Alarm
            } else {
                Role::Plain
            }
        }
        Value::Text(_)
        | Value::Bytes(_)
        | Value::Count(_)
        | Value::Number(_)
        | Value::Seconds(_)
        | Value::Time(_)
        | Value::Trend(_) => match column.kind {
            Kind::Bytes if matches!(column.rank, 1 | 2) => Role::Strong,
            _ => Role::Plain,
        },
    }
}

/// A size over time in one line, with the highest value of each interval. Small changes look level.
pub(super) fn sparkline(theme: Theme, points: &[Option<Bytes>], columns: usize) -> String {
    let stretches = stretches(points, columns);
    let known = || stretches.iter().flatten().copied();
    let (Some(low), Some(high)) = (known().min(), known().max()) else { return String::new() };
    let range = (high - low).max(high / 10).max(1) as f64;
    // A nearly constant value is put in the middle of a step, because noise at a border between steps would look like
    // waves.
    let base = low as f64 - (range - (high - low) as f64) * 3.0 / 7.0;
    stretches
        .iter()
        .map(|point| match point {
            Some(point) => theme.column(1 + ((*point as f64 - base) / range * 7.0).round() as usize),
            None => " ",
        })
        .collect()
}

/// The highest value in each of `columns` intervals; fewer points are right-aligned.
pub(super) fn stretches(points: &[Option<Bytes>], columns: usize) -> Vec<Option<u64>> {
    if points.len() <= columns {
        let empty = std::iter::repeat_n(None, columns - points.len());
        return empty.chain(points.iter().map(|point| point.map(|Bytes(bytes)| bytes))).collect();
    }
    (0..columns)
        .map(|column| {
            let (from, to) = (column * points.len() / columns, (column + 1) * points.len() / columns);
            let stretch = points.get(from..to).unwrap_or_default();
            stretch.iter().flatten().map(|Bytes(bytes)| *bytes).max()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Theme, sparkline};

    fn line(points: &[u64], columns: usize) -> String {
        let points: Vec<_> = points.iter().map(|bytes| Some(Bytes(*bytes))).collect();
        sparkline(Theme::FULL, &points, columns)
    }

    #[test]
    fn a_trend_shows_its_shape_and_noise_is_level() {
        assert_eq!(line(&[0, 10, 20, 30, 40, 50, 60, 70], 8), "▁▂▃▄▅▆▇█");
        assert_eq!(line(&[1000, 1001, 1000, 999], 4), "▄▄▄▄");
        assert_eq!(line(&[1, 9, 1, 1], 2), "█▁");
        assert_eq!(line(&[5, 5], 4), "  ▄▄");
        assert_eq!(line(&[], 4), "");
    }
}
