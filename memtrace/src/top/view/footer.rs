//! The lines below the rows: details of the selected row, and the keys.

use ratatui::layout::Rect;

use super::paint::{Painter, row};
use crate::{
    text,
    top::{
        app::App,
        input::Focus,
        rows::{By, RowId, Scope, State},
        theme::{Role, Theme},
    },
};

/// Details of the selected row: its full name, and its findings.
pub(super) fn details(app: &App, painter: &mut Painter<'_>, area: Rect) {
    let (Some(data), Some(selected)) = (app.data(), app.selected()) else { return };
    let gap = painter.theme.gap();
    let width = usize::from(area.width);
    let mut lines: Vec<(String, Role)> = Vec::new();
    match &selected.id {
        RowId::Container(cgroup) => {
            let owner = data.snapshot.containers.iter().find(|row| row.cgroup == *cgroup);
            let owner = owner.and_then(|row| row.limit.as_ref()).filter(|limit| limit.owner != *cgroup);
            let owner = owner.map(|limit| format!("   limit of {}", limit.owner)).unwrap_or_default();
            lines.push((text::keep_start(&format!("{cgroup}{owner}"), width, gap), Role::Faint));
            for finding in data.insights.get(cgroup).iter().flat_map(|insight| &insight.findings) {
                lines.push((text::keep_start(&finding.sentence, width, gap), Role::Plain));
            }
        }
        RowId::Pod(key) => lines.push((text::keep_end(key, width, gap), Role::Faint)),
        RowId::Process(_) | RowId::Arena(..) | RowId::Stack(..) | RowId::Kill(_) | RowId::Probe(_) => {
            let columns = app.table().columns.iter().zip(&selected.values);
            let all: Vec<_> = columns
                .filter(|(_, value)| !value.is_unknown())
                .map(|(column, value)| format!("{} {}", column.title.to_lowercase(), value.short()))
                .collect();
            let all = text::wrap(&all.join("   "), width);
            lines.extend(all.into_iter().map(|line| (line, Role::Faint)));
        }
    }
    for (line, (text, role)) in (0..area.height).zip(lines) {
        painter.put(row(area, line), area.x, &text, role);
    }
}

/// The current message, else the keys.
pub(super) fn footer(app: &App, painter: &mut Painter<'_>, area: Rect) {
    if let Some(message) = app.message() {
        let line = format!("{} {message}", painter.theme.glyph(State::Warning));
        painter.put(area, area.x, &line, Theme::role(State::Warning));
        return;
    }
    let keys: &[(&str, &str)] = match app.focus() {
        Focus::Filter => {
            &[("Enter", "keep"), ("Esc", "clear"), ("^U", "erase"), ("?", "ns= mem>512m !text /regex/")]
        }
        Focus::Menu => &[("Enter", "sort by it"), ("Esc", "close")],
        Focus::Text => &[("up down", "scroll"), ("y", "copy"), ("Esc", "close")],
        Focus::Rows => match app.place() {
            Some(place) if place.by == By::Kill => &[
                ("Enter", "report"),
                ("/", "filter"),
                ("s", "sort"),
                ("y", "copy id"),
                ("Tab", "view"),
                ("?", "help"),
                ("q", "quit"),
            ],
            Some(place) if place.scope == Scope::Node => &[
                ("Enter", "into"),
                ("/", "filter"),
                ("s", "sort"),
                ("t", "pods"),
                ("o", "report"),
                ("Space", "pause"),
                ("Tab", "view"),
                ("?", "help"),
                ("q", "quit"),
            ],
            Some(_) | None => &[
                ("Esc", "back"),
                ("Enter", "into"),
                ("/", "filter"),
                ("s", "sort"),
                ("Space", "pause"),
                ("?", "help"),
                ("q", "quit"),
            ],
        },
    };
    let mut x = area.x;
    for (key, what) in keys {
        let width = (key.len() + what.len() + 3) as u16;
        if x + width > area.right() + 2 {
            break;
        }
        x = painter.put(area, x, key, Role::Strong);
        x = painter.put(area, x + 1, what, Role::Faint) + 2;
    }
}
