//! The screen: its layout and drawing.
//!
//! [`App`] -> a buffer of cells. Must not change the state. Works with any screen size, with less detail on smaller
//! ones. Untrusted text reaches the terminal only through `paint::Painter`.

mod cell;
mod chart;
mod footer;
mod header;
pub mod help;
mod menu;
mod paint;
mod panel;
pub mod svg;
mod table;

use ratatui::{buffer::Buffer, layout::Rect};

use super::{
    app::{App, Overlay},
    rows::Scope,
    theme::Theme,
};
use paint::Painter;

/// The areas of the screen; an unused part is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Areas {
    title: Rect,
    node: Rect,
    tracer: Rect,
    banner: Rect,
    tabs: Rect,
    crumbs: Rect,
    panel: Rect,
    table: Rect,
    details: Rect,
    footer: Rect,
}

impl Areas {
    /// The areas for a state and a screen.
    pub fn of(app: &App, screen: Rect) -> Self {
        let height = screen.height;
        let has = |least: u16, lines: u16| if height >= least { lines } else { 0 };
        let is_inside = app.places().len() > 1;
        let has_filter =
            app.typing().is_some() || app.place().is_some_and(|place| !place.filter_text.is_empty());
        let panel = match app.place().map(|place| &place.scope) {
            Some(Scope::Container(_) | Scope::Process(_)) => has(20, (height / 3).clamp(7, 14)),
            Some(Scope::Node | Scope::Pod(_)) | None => 0,
        };
        let details = if panel > 0 { 0 } else { has(18, 1) + has(30, 2) };
        let lines = [
            has(4, 1),
            has(9, 1),
            has(12, 1),
            if header::banner(app).is_some() { has(7, 1) } else { 0 },
            has(8, 1),
            if is_inside || has_filter { has(3, 1) } else { 0 },
            panel,
        ];
        let below = [details, has(6, 1)];
        let fixed: u16 = lines.iter().chain(&below).sum();
        let rest = height.saturating_sub(fixed);
        let mut next = screen.y;
        let mut take = |lines: u16| {
            let lines = lines.min(screen.bottom().saturating_sub(next));
            let area = Rect { y: next, height: lines, ..screen };
            next += lines;
            area
        };
        let [title, node, tracer, banner, tabs, crumbs, panel] = lines.map(&mut take);
        let table = take(rest);
        let [details, footer] = below.map(&mut take);
        Self { title, node, tracer, banner, tabs, crumbs, panel, table, details, footer }
    }

    /// Number of rows that the table shows.
    pub fn rows(&self) -> usize {
        usize::from(self.table.height.saturating_sub(1))
    }
}

/// Draws the screen.
pub fn draw(app: &App, theme: Theme, buffer: &mut Buffer) {
    let screen = buffer.area;
    let areas = Areas::of(app, screen);
    let mut painter = Painter::new(buffer, theme);
    header::title(app, &mut painter, areas.title);
    header::node(app, &mut painter, areas.node);
    header::tracer(app, &mut painter, areas.tracer);
    header::banner_line(app, &mut painter, areas.banner);
    header::tabs(app, &mut painter, areas.tabs);
    header::crumbs(app, &mut painter, areas.crumbs);
    match app.overlay() {
        Some(Overlay::Help { scroll }) => {
            let area = Rect {
                y: areas.tabs.bottom(),
                height: areas.footer.y.saturating_sub(areas.tabs.bottom()),
                ..screen
            };
            help::help(app, &mut painter, area, *scroll);
        }
        Some(Overlay::Report { lines, scroll }) => {
            let area = Rect {
                y: areas.tabs.bottom(),
                height: areas.footer.y.saturating_sub(areas.tabs.bottom()),
                ..screen
            };
            help::report(lines, &mut painter, area, *scroll);
        }
        Some(Overlay::Menu(menu)) => {
            panel::panel(app, &mut painter, areas.panel);
            table::table(app, &mut painter, areas.table);
            menu::menu(app, menu, &mut painter, areas.table);
        }
        None => {
            panel::panel(app, &mut painter, areas.panel);
            table::table(app, &mut painter, areas.table);
            footer::details(app, &mut painter, areas.details);
        }
    }
    footer::footer(app, &mut painter, areas.footer);
}

#[cfg(test)]
pub mod tests;
