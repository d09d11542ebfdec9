//! The screen as an SVG picture, for a ticket or the README.
//!
//! A buffer of cells -> SVG that only needs a monospaced font. Blocks are drawn as rectangles, so that bars have no
//! gaps.

use std::fmt::Write as _;

use ratatui::{
    buffer::{Buffer, Cell},
    layout::Rect,
    style::{Color, Modifier},
};

use super::{Areas, draw};
use crate::{
    text,
    top::{app::App, theme::Theme},
};

/// Size of a cell in pixels.
const CELL: (f64, f64) = (8.4, 18.0);
/// Margin around the screen in pixels.
const MARGIN: f64 = 12.0;
const BACKGROUND: &str = "#11151c";
const FOREGROUND: &str = "#d5dbe5";

/// Draws the state on a screen of this size.
pub fn picture(app: &mut App, theme: Theme, columns: u16, rows: u16) -> String {
    let screen = Rect::new(0, 0, columns, rows);
    for _ in 0..2 {
        app.set_screen_rows(Areas::of(app, screen).rows());
    }
    let mut buffer = Buffer::empty(screen);
    draw(app, theme, &mut buffer);
    svg(&buffer)
}

/// A buffer as SVG.
pub fn svg(buffer: &Buffer) -> String {
    let Rect { width, height, .. } = buffer.area;
    let (wide, high) = (f64::from(width) * CELL.0 + 2.0 * MARGIN, f64::from(height) * CELL.1 + 2.0 * MARGIN);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {wide:.1} {high:.1}\" font-size=\"14\" \
         font-family=\"ui-monospace,'DejaVu Sans Mono','Liberation Mono',Menlo,Consolas,monospace\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{BACKGROUND}\"/>\n"
    );
    for y in 0..height {
        line(&mut out, buffer, y);
    }
    out.push_str("</svg>\n");
    out
}

fn line(out: &mut String, buffer: &Buffer, y: u16) {
    let mut x = 0;
    while x < buffer.area.width {
        let Some(first) = buffer.cell((x, y)) else { return };
        let mut run = String::new();
        let start = x;
        while let Some(cell) = buffer.cell((x, y)).filter(|cell| x == start || is_alike(cell, first)) {
            run.push_str(cell.symbol());
            x += (text::width(cell.symbol()) as u16).max(1);
        }
        piece(out, first, &run, start, x - start, y);
    }
}

/// Whether two cells are drawn as one piece of text; each block is a separate piece.
fn is_alike(a: &Cell, b: &Cell) -> bool {
    let is_block = |cell: &Cell| block(cell.symbol()).is_some();
    (a.fg, a.modifier) == (b.fg, b.modifier) && !is_block(a) && !is_block(b)
}

fn piece(out: &mut String, cell: &Cell, run: &str, x: u16, columns: u16, y: u16) {
    let (left, top) = (MARGIN + f64::from(x) * CELL.0, MARGIN + f64::from(y) * CELL.1);
    let width = f64::from(columns) * CELL.0;
    let mut color = hue(cell.fg);
    if cell.modifier.contains(Modifier::REVERSED) {
        rectangle(out, left, top, width, CELL.1, color);
        color = BACKGROUND;
    }
    if let Some((wide, high)) = block(run) {
        let (wide, high) = (wide * CELL.0, high * CELL.1);
        return rectangle(out, left, top + CELL.1 - high, wide, high, color);
    }
    if run.trim().is_empty() {
        return;
    }
    let bold = if cell.modifier.contains(Modifier::BOLD) { " font-weight=\"bold\"" } else { "" };
    let faint = if cell.modifier.contains(Modifier::DIM) { " opacity=\"0.6\"" } else { "" };
    let mut escaped = String::new();
    for c in run.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '&' => escaped.push_str("&amp;"),
            c => escaped.push(c),
        }
    }
    let base = top + CELL.1 * 0.75;
    let _ = writeln!(
        out,
        "<text x=\"{left:.1}\" y=\"{base:.1}\" fill=\"{color}\" textLength=\"{width:.1}\" xml:space=\"preserve\"{bold}{faint}>{escaped}</text>"
    );
}

fn rectangle(out: &mut String, x: f64, y: f64, width: f64, height: f64, color: &str) {
    let _ = writeln!(
        out,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{color}\"/>"
    );
}

/// The part of a cell that a block character fills: of its width from the left, of its height from the bottom.
fn block(symbol: &str) -> Option<(f64, f64)> {
    let mut chars = symbol.chars();
    let (c, None) = (chars.next()?, chars.next()) else { return None };
    match c {
        // One eighth to all of it, from below.
        '▁'..='█' => Some((1.0, f64::from(u32::from(c) - 0x2580) / 8.0)),
        // Seven eighths to one, from the left.
        '▉'..='▏' => Some((f64::from(0x2590 - u32::from(c)) / 8.0, 1.0)),
        _ => None,
    }
}

fn hue(color: Color) -> &'static str {
    match color {
        Color::Red => "#f47067",
        Color::Green => "#7fc97a",
        Color::Yellow => "#e3b341",
        Color::Blue => "#6cb6ff",
        Color::Cyan => "#56d4dd",
        _ => FOREGROUND,
    }
}

#[cfg(test)]
mod tests {
    use super::block;

    #[test]
    fn blocks_fill_what_their_names_say() {
        assert_eq!(block("█"), Some((1.0, 1.0)));
        assert_eq!(block("▁"), Some((1.0, 0.125)));
        assert_eq!(block("▏"), Some((0.125, 1.0)));
        assert_eq!(block("▉"), Some((0.875, 1.0)));
        assert_eq!(block("a"), None);
    }
}
