//! The panel of a container: its charge by kind, its usage over time, and its findings.

use ratatui::layout::Rect;

use super::{super::chart, Painter, halves, paint::row};
use crate::{
    snapshot::ContainerRow,
    text,
    top::{
        format,
        rows::{Data, label},
        theme::Role,
    },
    units::Bytes,
};

/// Width of a bar in columns.
const BAR: u16 = 20;

pub(super) fn panel(data: &Data, cgroup: &str, painter: &mut Painter<'_>, area: Rect) {
    let Some(container) = data.snapshot.containers.iter().find(|row| row.cgroup == cgroup) else {
        let inside = painter.frame(area, " container ");
        painter.put(inside, inside.x, "the container is gone or has no processes", Role::Warning);
        return;
    };
    let insight = data.insights.get(cgroup);
    let (left, right) = halves(area);
    let title =
        text::keep_end(&label(container), usize::from(left.width.saturating_sub(8)), painter.theme.gap());
    let inside = painter.frame(left, &format!(" {title} "));
    let mut used = composition(container, painter, inside);
    let advised = insight.and_then(|of| of.advised_limit_bytes.zip(of.advised_request_bytes));
    if let Some((limit, request)) = advised.filter(|_| used < inside.height) {
        let text = format!("advised: limit {}, request {}", format::bytes(limit), format::bytes(request));
        painter.put(row(inside, used), inside.x, &text, Role::Plain);
        used += 1;
    }
    let findings = insight.map_or(&[][..], |insight| &insight.findings);
    let mut lines = findings.iter().flat_map(|finding| {
        let mut lines = text::wrap(&finding.sentence, usize::from(inside.width));
        lines.extend(finding.remedies.first().map(|remedy| format!("  try: {}", remedy.text)));
        lines
    });
    let below = match right {
        None => inside,
        Some(right) => {
            let title = match insight.and_then(|insight| insight.seconds_to_limit) {
                Some(eta) => format!(" usage, 2 minutes: at its limit in {} ", format::duration(eta)),
                None => " usage, 2 minutes ".to_owned(),
            };
            let plot = painter.frame(right, &title);
            let points = insight.map_or(&[][..], |insight| &insight.trend_bytes);
            chart::chart(painter, plot, points, container.limit.as_ref().map(|limit| limit.bytes));
            inside
        }
    };
    for line in used..below.height {
        let Some(text) = lines.next() else { break };
        painter.put(row(below, line), below.x, &text, Role::Warning);
    }
}

/// Draws the kinds of the charge with their shares, and the remainder. Returns the number of lines.
fn composition(container: &ContainerRow, painter: &mut Painter<'_>, area: Rect) -> u16 {
    let ContainerRow { usage_bytes, limit, charge, processes, rss_bytes, .. } = container;
    let size = |bytes: Option<Bytes>| bytes.map_or_else(|| "-".to_owned(), format::bytes);
    let limit_text = limit.as_ref().map_or_else(|| "no limit".to_owned(), |limit| format::bytes(limit.bytes));
    let peak = charge.as_ref().and_then(|charge| charge.peak_bytes);
    painter.pieces(
        row(area, 0),
        area.x,
        &[
            (&size(*usage_bytes), Role::Strong),
            (" of ", Role::Faint),
            (&limit_text, Role::Plain),
            ("   peak ", Role::Faint),
            (&size(peak), Role::Plain),
            ("   swap ", Role::Faint),
            (&size(charge.as_ref().and_then(|charge| charge.swap_bytes)), Role::Plain),
            ("   rss ", Role::Faint),
            (&format::bytes(*rss_bytes), Role::Plain),
            (&format!(" of {processes} processes"), Role::Faint),
        ],
    );
    let Some(charge) = charge else {
        painter.put(row(area, 1), area.x, "failed to read its memory by kind", Role::Faint);
        return 2;
    };
    let parts = [
        ("anon", charge.anon_bytes, "heaps, stacks"),
        ("file", crate::top::rows::file(container), "page cache: reclaimed under pressure"),
        ("shmem", charge.shmem_bytes, "shared memory, tmpfs"),
        ("kernel", charge.kernel(), "slab, stacks, page tables, sockets"),
        ("other", charge.remainder(), "charged, of no known kind"),
    ];
    let whole = usage_bytes.unwrap_or_default().0.max(1) as f64;
    for (line, (name, bytes, about)) in (1..area.height).zip(parts) {
        let line = row(area, line);
        painter.put(line, area.x, name, Role::Plain);
        let Some(Bytes(bytes)) = bytes else {
            painter.put(line, area.x + 7, "-", Role::Faint);
            continue;
        };
        let share = bytes as f64 / whole;
        let x = painter.bar(line, area.x + 7, BAR.min(area.width / 3), share, Role::Gauge);
        let figures = format!(" {:>5} {:>5}  ", format::bytes(Bytes(bytes)), format::percent(share));
        let x = painter.put(line, x, &figures, Role::Strong);
        painter.put(line, x, about, Role::Faint);
    }
    6
}
