//! Text overlays: the keys, the filter language and the columns, or a report.

use ratatui::layout::Rect;

use super::paint::{Painter, row};
use crate::{
    text,
    top::{app::App, column::Column, filter, input, rows::By, theme::Role},
};

/// A line: the term, its meaning, and its role.
type Line = (String, String, Role);

fn lines(by: By) -> Vec<Line> {
    let title = |text: &str| (text.to_owned(), String::new(), Role::Title);
    let pair = |key: &str, what: &str| (key.to_owned(), what.to_owned(), Role::Strong);
    let empty = || (String::new(), String::new(), Role::Plain);
    let mut lines = vec![title("Keys")];
    lines.extend(input::KEYS.iter().map(|(key, what)| pair(key, what)));
    lines.extend([empty(), title("Filter: all terms must match")]);
    lines.extend(filter::HELP.iter().map(|(term, what)| pair(term, what)));
    lines
        .extend([empty(), title(&format!("Columns of {}; the name in a filter is in brackets", by.title()))]);
    for Column { title, about, .. } in by.columns().into_iter().copied() {
        let name = by.columns().into_iter().find(|column| column.title == title).map_or("", |c| c.shortest());
        lines.push(pair(title, &format!("{about} [{name}]")));
    }
    lines.extend([
        empty(),
        title("Figures"),
        pair("K M G T", "1024 bytes, 1024 K and so on"),
        pair("-", "unknown or none; JSON output tells which"),
        pair("! X", "row marks: warning; about to be killed (a triangle and a cross outside ASCII mode)"),
    ]);
    lines
}

/// Draws help.
pub(super) fn help(app: &App, painter: &mut Painter<'_>, area: Rect, scroll: usize) {
    let by = app.place().map_or(By::Container, |place| place.by);
    painter.clear(area);
    let inside = painter.frame(area, " help ");
    let lines = lines(by);
    let left =
        lines.iter().map(|(key, ..)| text::width(key)).filter(|width| *width < 30).max().unwrap_or(0) as u16;
    let scroll = scroll.min(lines.len().saturating_sub(usize::from(inside.height)));
    for (line, (key, what, role)) in (0..inside.height).zip(lines.iter().skip(scroll)) {
        let area = row(inside, line);
        let x = painter.put(area, area.x, key, *role);
        painter.put(area, (area.x + left + 2).max(x + 1), what, Role::Plain);
    }
}

/// Draws a report.
pub(super) fn report(lines: &[String], painter: &mut Painter<'_>, area: Rect, scroll: usize) {
    painter.clear(area);
    let inside = painter.frame(area, " report ");
    let wrapped: Vec<(String, bool)> = lines
        .iter()
        .flat_map(|line| {
            let is_heading = line.starts_with(|c: char| c.is_uppercase()) && text::width(line) < 60;
            let is_fitting = text::width(line) <= usize::from(inside.width);
            let parts =
                if is_fitting { vec![line.clone()] } else { text::wrap(line, usize::from(inside.width)) };
            parts.into_iter().map(move |part| (part, is_heading))
        })
        .collect();
    let last = wrapped.len().saturating_sub(usize::from(inside.height));
    for (line, (text, is_heading)) in (0..inside.height).zip(wrapped.iter().skip(scroll.min(last))) {
        painter.put(row(inside, line), inside.x, text, if *is_heading { Role::Title } else { Role::Plain });
    }
}
