//! Draws a size over time as an area chart with a scale.

use ratatui::layout::Rect;

use super::{
    cell::stretches,
    paint::{Painter, row},
};
use crate::{
    text,
    top::{format, theme::Role},
    units::Bytes,
};

/// Width of the scale in columns.
const SCALE: u16 = 6;

/// Draws points in an area; the limit is a line if it is within the scale.
pub(super) fn chart(painter: &mut Painter<'_>, area: Rect, points: &[Option<Bytes>], limit: Option<Bytes>) {
    let height = area.height;
    if height == 0 || area.width <= SCALE + 4 {
        return;
    }
    let plot = Rect { x: area.x + SCALE, width: area.width - SCALE, ..area };
    let columns = stretches(points, usize::from(plot.width));
    let Some(high) = columns.iter().flatten().copied().max() else {
        painter.put(row(area, height / 2), plot.x, "no data yet", Role::Faint);
        return;
    };
    let low = columns.iter().flatten().copied().min().unwrap_or(0);
    let limit =
        limit.map(|Bytes(limit)| limit).filter(|limit| *limit >= high && *limit <= high.saturating_mul(2));
    let top = limit.unwrap_or(high).max(1);
    // The scale starts at 0, unless the chart would be nearly a full block.
    let base = if low > top / 2 { low - (low - top / 2) / 2 } else { 0 };
    let steps = f64::from(height) * 8.0;
    let scale = |bytes: u64| {
        (bytes.saturating_sub(base) as f64 / (top - base).max(1) as f64 * steps).round() as usize
    };
    for line in 0..height {
        let below = usize::from(height - 1 - line) * 8;
        let line_area = row(plot, line);
        for (x, column) in (plot.x..plot.right()).zip(&columns) {
            let Some(bytes) = column else { continue };
            let eighths = scale(*bytes).saturating_sub(below).min(8);
            // The lowest line always shows known points.
            let eighths = if below == 0 { eighths.max(1) } else { eighths };
            if eighths > 0 {
                painter.put(line_area, x, painter.theme.column(eighths), Role::Gauge);
            }
        }
    }
    if limit.is_some() {
        let line = row(plot, 0);
        let dash = painter.theme.either("╌", "-").repeat(usize::from(plot.width));
        painter.put(line, plot.x, &dash, Role::Alarm);
        painter.right(line, " limit", Role::Alarm);
    }
    for (line, bytes) in [(0, top), (height - 1, base)] {
        let label = format::bytes(Bytes(bytes));
        let x = area.x + (SCALE - 1).saturating_sub(text::width(&label) as u16);
        painter.put(row(area, line), x, &label, Role::Faint);
    }
}
