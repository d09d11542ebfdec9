//! The panel above the rows, about the current container or process.

mod container;
mod process;
mod stack;

use ratatui::layout::Rect;

use super::paint::{self, Painter};
use crate::top::{
    app::App,
    rows::{By, Scope},
};

/// Draws the panel.
pub(super) fn panel(app: &App, painter: &mut Painter<'_>, area: Rect) {
    let (Some(data), Some(place)) = (app.data(), app.place()) else { return };
    if area.height < 3 {
        return;
    }
    match &place.scope {
        Scope::Container(cgroup) => container::panel(data, cgroup, painter, area),
        Scope::Process(id) => {
            let Some(row) = data.snapshot.processes.iter().find(|row| id.is(row)) else {
                let inside = painter.frame(area, " process ");
                painter.put(inside, inside.x, "the process has ended", crate::top::theme::Role::Warning);
                return;
            };
            match place.by {
                By::Stack => stack::panel(data, row, place.selected.as_ref(), painter, area),
                By::Pod | By::Container | By::Process | By::Arena | By::Kill | By::Probe => {
                    process::panel(row, data.snapshot.time, painter, area);
                }
            }
        }
        Scope::Node | Scope::Pod(_) => {}
    }
}

/// Two areas side by side, or one if there is no room for two.
fn halves(area: Rect) -> (Rect, Option<Rect>) {
    if area.width < 96 {
        return (area, None);
    }
    let left = area.width / 2;
    (Rect { width: left - 1, ..area }, Some(Rect { x: area.x + left, width: area.width - left, ..area }))
}
