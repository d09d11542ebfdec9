//! The list of columns to sort by.

use ratatui::layout::Rect;

use super::paint::{Painter, row};
use crate::top::{
    app::{App, Menu},
    theme::Role,
};

/// Draws the menu over the table.
pub(super) fn menu(app: &App, menu: &Menu, painter: &mut Painter<'_>, area: Rect) {
    let Some(place) = app.place() else { return };
    let columns = place.by.columns();
    let widest = columns.iter().map(|column| column.title.len()).max().unwrap_or(0);
    let longest = columns.iter().map(|column| column.about.len()).max().unwrap_or(0);
    let width = (widest + longest + 6).min(usize::from(area.width)) as u16;
    let height = ((columns.len() + 2) as u16).min(area.height);
    let over = Rect { x: area.x + (area.width - width) / 2, y: area.y, width, height };
    painter.clear(over);
    let inside = painter.frame(over, " sort by ");
    let first = (menu.index + 1).saturating_sub(usize::from(inside.height));
    for (line, (index, column)) in (0..inside.height).zip(columns.iter().enumerate().skip(first)) {
        let area = row(inside, line);
        let title = format!("{:<widest$}", column.title);
        painter.put(area, area.x, &title, Role::Strong);
        painter.put(area, area.x + widest as u16 + 2, column.about, Role::Faint);
        if index == menu.index {
            painter.shade(area, Role::Selected);
        }
    }
}
