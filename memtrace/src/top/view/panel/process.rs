//! The panel of a process: how well its memory is known, allocator counters, and growth stacks.

use jiff::Timestamp;
use ratatui::layout::Rect;

use super::{Painter, halves, paint::row};
use crate::{
    allocator::counters::Counters,
    snapshot::{Memory, ProcessRow, age},
    text,
    top::{format, rows::frame, theme::Role},
    units::Bytes,
};

pub(super) fn panel(process: &ProcessRow, now: Timestamp, painter: &mut Painter<'_>, area: Rect) {
    let (left, right) = halves(area);
    let inside = painter.frame(left, &format!(" {} {} ", process.comm, process.pid));
    let size = |bytes: Option<Bytes>| bytes.map_or_else(|| "-".to_owned(), format::bytes);
    let growth = process.growth_bytes_per_second.map_or_else(|| "-".to_owned(), format::change);
    painter.pieces(
        row(inside, 0),
        inside.x,
        &[
            ("rss ", Role::Faint),
            (&size(process.rss_bytes), Role::Strong),
            ("   growth/s ", Role::Faint),
            (&growth, Role::Plain),
            ("   limit ", Role::Faint),
            (&size(process.limit.as_ref().map(|limit| limit.bytes)), Role::Plain),
        ],
    );
    let Some(memory) = &process.memory else {
        let (text, role) = match (process.totals_only, &process.not_read) {
            (Some(totals_only), _) => (totals_only.to_string(), Role::Warning),
            (None, Some(why)) => (format!("page tables not read: {why}"), Role::Faint),
            (None, None) => ("page tables not read yet".to_owned(), Role::Faint),
        };
        painter.put(row(inside, 1), inside.x, &text, role);
        return;
    };
    let known = well_known(memory, now);
    painter.put(
        row(inside, 1),
        inside.x,
        &known,
        if memory.stale.is_some() { Role::Warning } else { Role::Faint },
    );
    counters(memory, painter, inside);
    if let Some(right) = right {
        let inside = painter.frame(right, " growth by call stack, sampled: 1 minute, 10 minutes ");
        let width = usize::from(inside.width);
        for (line, stack) in (0..inside.height).zip(&memory.growth_stacks) {
            let [_, minute, ten] = stack.bytes;
            let figures = format!("+{:<6} +{:<6} ", format::bytes(minute), format::bytes(ten));
            let frames: Vec<_> = stack.frames.iter().map(frame).collect();
            let text = text::keep_start(&frames.join(" < "), width.saturating_sub(16), painter.theme.gap());
            let x = painter.put(row(inside, line), inside.x, &figures, Role::Strong);
            painter.put(row(inside, line), x, &text, Role::Plain);
        }
        if memory.growth_stacks.is_empty() {
            painter.put(inside, inside.x, "none in the last 10 minutes", Role::Faint);
        }
    }
}

fn well_known(memory: &Memory, now: Timestamp) -> String {
    let ago = memory.scanned.map(|at| age(now, at)).map_or_else(|| "?".to_owned(), format::duration);
    let mut text = format!("page tables read {ago} ago");
    for (bytes, what) in [(memory.unaccounted_bytes, "in no arena yet"), (memory.excess_bytes, "gone since")]
    {
        if bytes.0 > 0 {
            text.push_str(&format!("   {} {what}", format::bytes(bytes)));
        }
    }
    if let Some(reason) = &memory.stale {
        text.push_str(&format!("   out of date: {reason}"));
    }
    text
}

/// Draws the allocators' own counters.
fn counters(memory: &Memory, painter: &mut Painter<'_>, area: Rect) {
    let header =
        format!("{:<14} {:>9} {:>7} {:>7} {:>8} {:>5}", "", "allocated", "free", "lazy", "retained", "meta");
    let mut line = 2;
    if !memory.counters.is_empty() {
        painter.put(row(area, line), area.x, &header, Role::Faint);
        line += 1;
    }
    let size = |bytes: Option<Bytes>| bytes.map_or_else(|| "-".to_owned(), format::bytes);
    for of in &memory.counters {
        let Counters { allocator, version, .. } = of;
        let name =
            version.as_ref().map_or_else(|| allocator.clone(), |version| format!("{allocator} {version}"));
        let figures = format!(
            " {:>9} {:>7} {:>7} {:>8} {:>5}",
            size(of.allocated_bytes),
            size(of.free_resident_bytes),
            size(of.lazily_freed_bytes),
            size(of.retained_bytes),
            size(of.metadata_bytes),
        );
        let name = text::keep_start(&name, 14, painter.theme.gap());
        painter.put(row(area, line), area.x, &format!("{name:<14}"), Role::Strong);
        painter.put(row(area, line), area.x + 14, &figures, Role::Plain);
        line += 1;
    }
    for absent in &memory.without_counters {
        let text = text::keep_start(
            &format!("no counters of {absent}"),
            usize::from(area.width),
            painter.theme.gap(),
        );
        painter.put(row(area, line), area.x, &text, Role::Faint);
        line += 1;
    }
}
