//! The effect of each action on the state.

use super::{App, Menu, Overlay, Wish, kill_of};
use crate::top::{
    filter::Filter,
    input::Action,
    page::{Place, Tab},
    rows::{By, RowId, Scope, sort::Sort},
};

/// A distance beyond any end.
const FAR: isize = isize::MAX / 2;

impl App {
    /// Performs an action.
    pub fn act(&mut self, action: Action) -> Option<Wish> {
        self.message = None;
        let half = (self.screen_rows / 2).max(1) as isize;
        match action {
            Action::Quit => return Some(Wish::Quit),
            Action::Suspend => return Some(Wish::Suspend),
            Action::Redraw => return Some(Wish::Redraw),
            Action::Step(by) => return Some(Wish::Step(by)),
            Action::Move(by) => self.go(by),
            Action::Page(halves) => self.go(halves.saturating_mul(half)),
            Action::First => self.go(-FAR),
            Action::Last => self.go(FAR),
            Action::Enter => return self.enter(),
            Action::Back => self.back(),
            Action::Tab(by) => {
                let count = Tab::ALL.len() as isize;
                self.tab = (self.tab as isize + by).rem_euclid(count) as usize;
            }
            Action::TabAt(tab) => self.tab = tab.min(Tab::ALL.len() - 1),
            Action::SortBy(by) => self.sort_by(by),
            Action::Invert => {
                if let Some(place) = self.place_mut() {
                    place.sort.is_descending = !place.sort.is_descending;
                }
            }
            Action::Menu => self.open_menu(),
            Action::Filter => {
                self.typing = Some(self.place().map(|place| place.filter_text.clone()).unwrap_or_default());
            }
            Action::Type(c) if !c.is_control() => self.type_into(|text| text.push(c)),
            Action::Type(_) => {}
            Action::Erase => {
                self.type_into(|text| text.truncate(text.char_indices().last().map_or(0, |(at, _)| at)))
            }
            Action::EraseAll => self.type_into(String::clear),
            Action::EraseWord => self.type_into(|text| {
                let kept = text.trim_end().rfind(' ').map_or(0, |space| space + 1);
                text.truncate(kept);
            }),
            Action::Accept => self.typing = None,
            Action::Pause => {
                self.held = match self.held.take() {
                    Some(_) => None,
                    None => self.latest.clone().map(Box::new),
                };
            }
            Action::Group => self.group(),
            Action::Report => return self.report(),
            Action::Copy => return self.copy(),
            Action::Help => self.overlay = Some(Overlay::Help { scroll: 0 }),
        }
        self.lay_out();
        None
    }

    fn go(&mut self, by: isize) {
        if let Some(overlay) = &mut self.overlay {
            return overlay.go(by);
        }
        let last = self.table.rows.len().saturating_sub(1);
        let Some(place) = self.place_mut() else { return };
        place.index = place.index.saturating_add_signed(by).min(last);
        let index = place.index;
        let selected = self.table.rows.get(index).map(|row| row.id.clone());
        if let Some(place) = self.place_mut() {
            place.selected = selected;
        }
    }

    fn enter(&mut self) -> Option<Wish> {
        if let Some(overlay) = self.overlay.take() {
            if let Overlay::Menu(Menu { index, .. }) = overlay {
                self.choose(index);
            }
            self.lay_out();
            return None;
        }
        let row = self.selected()?.id.clone();
        if let RowId::Kill(id) = row {
            return Some(Wish::Record(id));
        }
        let inside = self.place()?.inside(&row)?;
        self.tabs.get_mut(self.tab)?.push(inside);
        self.lay_out();
        None
    }

    /// Closes one thing: the typing, the overlay, the filter, or the place.
    fn back(&mut self) {
        if self.typing.take().is_some() {
            // Drop the text typed so far.
            self.set_filter("");
        } else if self.overlay.take().is_some() {
        } else if self.place().is_some_and(|place| !place.filter_text.is_empty()) {
            self.set_filter("");
        } else if let Some(places) = self.tabs.get_mut(self.tab)
            && places.len() > 1
        {
            places.pop();
        }
    }

    /// Moves the sort to another column, hidden ones included.
    fn sort_by(&mut self, by: isize) {
        let Some(place) = self.place() else { return };
        let columns = place.by.columns();
        let now = columns.iter().position(|column| column.field == place.sort.field).unwrap_or(0);
        let shown = columns.iter().filter(|column| column.rank != crate::top::column::Column::HIDDEN).count();
        let next = (now as isize + by).rem_euclid(shown.max(1) as isize) as usize;
        self.choose(next);
    }

    fn choose(&mut self, index: usize) {
        let Some(place) = self.place_mut() else { return };
        let Some(column) = place.by.columns().get(index).copied() else { return };
        place.sort = match column.field == place.sort.field {
            // Choosing the same column again reverses the order.
            true => Sort { is_descending: !place.sort.is_descending, ..place.sort.clone() },
            false => Sort { field: column.field.to_owned(), is_descending: column.is_descending() },
        };
    }

    fn open_menu(&mut self) {
        let Some(place) = self.place() else { return };
        let columns = place.by.columns();
        let index = columns.iter().position(|column| column.field == place.sort.field).unwrap_or(0);
        self.overlay = Some(Overlay::Menu(Menu { index, count: columns.len() }));
    }

    fn type_into(&mut self, edit: impl FnOnce(&mut String)) {
        let Some(mut text) = self.typing.take() else { return };
        edit(&mut text);
        self.set_filter(&text);
        self.typing = Some(text);
    }

    /// Applies the valid part of a filter, and shows what is wrong with the rest.
    fn set_filter(&mut self, text: &str) {
        let Some(place) = self.place_mut() else { return };
        match Filter::parse(text, place.by) {
            Ok(filter) => {
                (place.filter, place.filter_text) = (filter, text.to_owned());
            }
            Err(why) => {
                // The last word may be unfinished; apply the words before it.
                let before = text.trim_end().rsplit_once(' ').map_or("", |(before, _)| before);
                if let Ok(filter) = Filter::parse(before, place.by) {
                    place.filter = filter;
                }
                place.filter_text = text.to_owned();
                self.message = Some(why);
            }
        }
    }

    /// Switches between pods and containers, at the root of the view.
    fn group(&mut self) {
        let Some(places) = self.tabs.first_mut() else { return };
        let by = match places.first() {
            Some(place) if place.by == By::Pod => By::Container,
            Some(_) | None => By::Pod,
        };
        *places = vec![Place::new(by, Scope::Node)];
        self.tab = 0;
    }

    fn report(&mut self) -> Option<Wish> {
        let row = self.selected()?.id.clone();
        match kill_of(self.kills.as_deref(), &row) {
            Some(id) => Some(Wish::Record(id)),
            None => {
                self.message = Some("no recorded OOM kill belongs to this row".to_owned());
                None
            }
        }
    }

    fn copy(&mut self) -> Option<Wish> {
        if let Some(Overlay::Report { lines, .. }) = &self.overlay {
            return Some(Wish::Copy(lines.join("\n")));
        }
        let text = match &self.selected()?.id {
            RowId::Pod(name) | RowId::Container(name) | RowId::Kill(name) | RowId::Probe(name) => {
                name.clone()
            }
            RowId::Process(id) => id.pid.to_string(),
            RowId::Arena(id, allocator, kind) => format!("{} {allocator} {kind}", id.pid),
            RowId::Stack(_, frames) => frames.join("\n"),
        };
        Some(Wish::Copy(text))
    }
}
