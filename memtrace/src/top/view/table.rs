//! The table: selects the columns that fit, sets their widths, and draws the visible rows.

use ratatui::layout::Rect;

use super::{
    cell,
    paint::{Painter, row},
};
use crate::{
    text,
    top::{
        app::{App, Link},
        column::{Column, Kind},
        page::Place,
        rows::{By, Scope, Table},
        theme::{Role, Theme},
    },
};

/// Spaces between two columns of the table.
const BETWEEN: u16 = 1;
/// Width of the state glyph.
const GLYPH: u16 = 2;

/// A visible column: its index in the row, its definition, and its width.
pub(super) type Shown = (usize, &'static Column, u16);

/// Whether the current place already shows this column's value.
fn is_said(scope: &Scope, column: &Column) -> bool {
    match scope {
        Scope::Node | Scope::Pod(_) => false,
        Scope::Container(_) => column.field == "container",
        Scope::Process(_) => matches!(column.field, "pid" | "comm" | "container"),
    }
}

/// The columns that fit: those of low rank, and the sort column.
fn fit(place: &Place, visible: &Table, width: u16) -> Vec<Shown> {
    let sorted = &place.sort.field;
    let is_sorted = |column: &Column| column.field == sorted;
    let mut by_rank: Vec<(usize, &'static Column)> = visible
        .columns
        .iter()
        .copied()
        .enumerate()
        .filter(|(_, column)| column.rank != Column::HIDDEN || is_sorted(column))
        .filter(|(_, column)| !is_said(&place.scope, column) || is_sorted(column))
        .collect();
    by_rank.sort_by_key(|(_, column)| if is_sorted(column) { column.rank.min(1) } else { column.rank });
    let mut left = width;
    let mut shown: Vec<Shown> = Vec::new();
    for (at, column) in by_rank {
        let (least, _) = column.widths();
        let least = match column.kind {
            // A wider name is more useful than another figure.
            Kind::Name => least.max(longest(visible, at).min(width / 4)),
            _ if is_sorted(column) => least.max(column.title.len() as u16 + 1),
            _ => least,
        };
        if shown.is_empty() {
            shown.push((at, column, least.min(left)));
            left -= least.min(left);
        } else if let Some(rest) = left.checked_sub(least + BETWEEN) {
            shown.push((at, column, least));
            left = rest;
        } else if column.rank > 2 {
            // After a column that does not fit, stop, so that columns do not appear and disappear.
            break;
        }
    }
    shown.sort_by_key(|(at, ..)| *at);
    widen(&mut shown, visible, left);
    shown
}

/// The width of the longest value of a column.
fn longest(table: &Table, at: usize) -> u16 {
    let cells = table.rows.iter().filter_map(|row| row.values.get(at));
    cells.map(|value| text::width(&value.short())).max().unwrap_or(0) as u16
}

/// Distributes the remaining width to columns with longer values, names first.
fn widen(shown: &mut [Shown], table: &Table, mut left: u16) {
    let order = [
        |kind: Kind| kind == Kind::Name,
        |kind: Kind| kind == Kind::Sentence,
        |kind: Kind| matches!(kind, Kind::Bar | Kind::Trend),
    ];
    for takes in order {
        for (at, column, width) in shown.iter_mut().filter(|(_, column, _)| takes(column.kind)) {
            let (_, most) = column.widths();
            let useful = match column.kind {
                Kind::Name | Kind::Sentence => longest(table, *at).min(most),
                _ => most,
            };
            let more = useful.saturating_sub(*width).min(left);
            *width += more;
            left -= more;
        }
    }
}

/// Draws the titles and the rows.
pub(super) fn table(app: &App, painter: &mut Painter<'_>, area: Rect) {
    let Some(place) = app.place() else { return };
    let table = app.table();
    let cells = Rect { x: area.x + GLYPH.min(area.width), width: area.width.saturating_sub(GLYPH), ..area };
    let visible = Table {
        columns: table.columns.clone(),
        rows: table.rows.iter().skip(place.offset).take(usize::from(area.height)).cloned().collect(),
    };
    let shown = fit(place, &visible, cells.width);
    titles(painter, row(cells, 0), &shown, &place.sort.field, place.sort.is_descending);
    if table.rows.is_empty() {
        let line = row(area, 2.min(area.height.saturating_sub(1)));
        painter.put(line, area.x + GLYPH, &nothing(app), Role::Faint);
    }
    for (line, of) in (1..area.height).zip(&visible.rows) {
        let line_area = row(cells, line);
        let is_selected = place.selected.as_ref() == Some(&of.id);
        painter.put(row(area, line), area.x, painter.theme.glyph(of.state), Theme::role(of.state));
        let mut x = cells.x;
        for (at, column, width) in &shown {
            let cell_area = Rect { x, width: *width, ..line_area };
            if let Some(value) = of.values.get(*at) {
                cell::cell(painter, cell_area, column, value, of.state);
            }
            x += width + BETWEEN;
        }
        if is_selected {
            painter.shade(row(area, line), Role::Selected);
        }
    }
}

fn titles(painter: &mut Painter<'_>, area: Rect, shown: &[Shown], sorted: &str, is_descending: bool) {
    let mut x = area.x;
    let arrow = match is_descending {
        true => painter.theme.either("▼", "v"),
        false => painter.theme.either("▲", "^"),
    };
    for (_, column, width) in shown {
        let is_sorted = column.field == sorted;
        let room = usize::from(*width);
        let mut title = text::keep_start(column.title, room, "");
        if is_sorted {
            title = text::keep_start(&title, room.saturating_sub(1), "");
            title = if column.is_right() { format!("{arrow}{title}") } else { format!("{title}{arrow}") };
        }
        let missing = room.saturating_sub(text::width(&title)) as u16;
        let start = if column.is_right() { x + missing } else { x };
        painter.put(area, start, &title, if is_sorted { Role::Brand } else { Role::Faint });
        x += width + BETWEEN;
    }
}

/// Why there are no rows.
fn nothing(app: &App) -> String {
    let Some(place) = app.place() else { return String::new() };
    let what = place.by.title();
    if app.data().is_none() {
        return match app.link() {
            Link::Lost(why) | Link::Proc(why) => why.clone(),
            Link::Connecting | Link::Daemon | Link::Own | Link::Past => "waiting for data".to_owned(),
        };
    }
    if app.unfiltered() > 0 {
        return format!("none of {} {what} matches the filter; Esc clears it", app.unfiltered());
    }
    if app.is_in_the_past() && !matches!(place.by, By::Pod | By::Container | By::Kill) {
        return format!("history has only containers and kills, no {what}");
    }
    match place.by {
        By::Arena => "no page tables read yet; small processes wait for their turn".to_owned(),
        By::Stack => "no sampled growth in the last ten minutes".to_owned(),
        By::Kill if app.data().is_some_and(|data| data.kills.is_none()) => {
            "this view needs a daemon; see `memtrace report`".to_owned()
        }
        By::Kill => "no OOM kill recorded".to_owned(),
        By::Probe => "no daemon, no probes".to_owned(),
        By::Pod | By::Container | By::Process => format!("no {what} here"),
    }
}
