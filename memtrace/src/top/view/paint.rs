//! The only way to put text on the screen: it is escaped, and clipped to its area.

use ratatui::{buffer::Buffer, layout::Rect, style::Style};

use crate::{
    text,
    top::theme::{Role, Theme},
};

/// A buffer with drawing operations.
pub struct Painter<'a> {
    buffer: &'a mut Buffer,
    /// The theme.
    pub theme: Theme,
}

impl<'a> Painter<'a> {
    /// A painter for a buffer.
    pub fn new(buffer: &'a mut Buffer, theme: Theme) -> Self {
        Self { buffer, theme }
    }

    /// Puts text at a column of an area's first line. Returns the column after it.
    pub fn put(&mut self, area: Rect, x: u16, text: &str, role: Role) -> u16 {
        self.styled(area, x, text, self.theme.style(role))
    }

    /// The same with an explicit style.
    pub fn styled(&mut self, area: Rect, x: u16, text: &str, style: Style) -> u16 {
        let area = area.intersection(self.buffer.area);
        if area.is_empty() || x < area.x || x >= area.right() {
            return x;
        }
        let text = text::printable_start(text);
        let room = usize::from(area.right() - x);
        let ascii;
        let text = if self.theme.has_unicode {
            text.as_str()
        } else {
            ascii = text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect::<String>();
            ascii.as_str()
        };
        self.buffer.set_stringn(x, area.y, text, room, style).0
    }

    /// Puts several pieces one after the other.
    pub fn pieces(&mut self, area: Rect, x: u16, pieces: &[(&str, Role)]) -> u16 {
        pieces.iter().fold(x, |x, (text, role)| self.put(area, x, text, *role))
    }

    /// Puts text right-aligned on an area's first line.
    pub fn right(&mut self, area: Rect, text: &str, role: Role) {
        let width = text::width(text) as u16;
        self.put(area, area.right().saturating_sub(width).max(area.x), text, role);
    }

    /// Draws a bar of `columns` columns.
    pub fn bar(&mut self, area: Rect, x: u16, columns: u16, share: f64, role: Role) -> u16 {
        let (full, rest) = self.theme.bar(share, usize::from(columns));
        let filled = self.put(area, x, &full, role);
        let rest = if self.theme.has_unicode { "·".repeat(text::width(&rest)) } else { rest };
        self.put(area, filled, &rest, Role::Faint)
    }

    /// Applies a style to an area without changing its text.
    pub fn shade(&mut self, area: Rect, role: Role) {
        let style = self.theme.style(role);
        self.buffer.set_style(area.intersection(self.buffer.area), style);
    }

    /// Clears an area.
    pub fn clear(&mut self, area: Rect) {
        let area = area.intersection(self.buffer.area);
        for position in area.positions() {
            if let Some(cell) = self.buffer.cell_mut(position) {
                cell.reset();
            }
        }
    }

    /// Draws a frame with a title around an area. Returns the inner area.
    pub fn frame(&mut self, area: Rect, title: &str) -> Rect {
        let area = area.intersection(self.buffer.area);
        if area.width < 4 || area.height < 2 {
            return Rect { width: 0, height: 0, ..area };
        }
        let [top_left, top_right, bottom_left, bottom_right, across, down] =
            self.theme.either(["╭", "╮", "╰", "╯", "─", "│"], ["+", "+", "+", "+", "-", "|"]);
        let line =
            |left: &str, right: &str| format!("{left}{}{right}", across.repeat(usize::from(area.width) - 2));
        self.put(row(area, 0), area.x, &line(top_left, top_right), Role::Faint);
        for y in 1..area.height - 1 {
            self.put(row(area, y), area.x, down, Role::Faint);
            self.put(row(area, y), area.right() - 1, down, Role::Faint);
        }
        self.put(row(area, area.height - 1), area.x, &line(bottom_left, bottom_right), Role::Faint);
        let title_area = Rect { width: area.width - 2, ..row(area, 0) };
        self.put(title_area, area.x + 2, title, Role::Title);
        Rect { x: area.x + 2, y: area.y + 1, width: area.width.saturating_sub(4), height: area.height - 2 }
    }
}

/// A line of an area, counted from its top; empty if it does not exist.
pub fn row(area: Rect, line: u16) -> Rect {
    let height = u16::from(line < area.height);
    Rect { y: area.y.saturating_add(line), height, ..area }
}
