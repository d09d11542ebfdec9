//! The curve of a search for the least limit: limit against time, as a drawing.
//!
//! [`Found`] -> SVG with its own colours, for a file of its own or inside a page. Contains only numbers and fixed words.

use maud::{Markup, html};

use crate::sizing::run::{
    Page,
    search::{Found, Try},
};

const SIZE: (f64, f64) = (640.0, 260.0);
/// Margins in pixels: left, right, top, bottom.
const MARGINS: (f64, f64, f64, f64) = (64.0, 20.0, 14.0, 34.0);
/// Space at the ends of the axis of limits, and above the slowest run.
const SPACE: f64 = 0.05;

/// The drawing as a file; `None` when nothing was searched.
pub fn svg(page: &Page) -> Option<String> {
    Some(drawing(page.search.as_ref()?)?.into_string())
}

/// The drawing; `None` without tries.
pub(super) fn drawing(found: &Found) -> Option<Markup> {
    let limits = || found.tries.iter().map(|one| one.limit_bytes.0 as f64);
    let (least, most) = limits().fold(None, |ends: Option<(f64, f64)>, limit| {
        let (least, most) = ends.unwrap_or((limit, limit));
        Some((least.min(limit), most.max(limit)))
    })?;
    let room = ((most - least) * SPACE).max(1.0);
    let (least, most) = (least - room, most + room);
    let slowest = found.tries.iter().map(|one| one.seconds).fold(f64::MIN_POSITIVE, f64::max) * (1.0 + SPACE);
    let (left, right, top, bottom) = MARGINS;
    let at = |limit: f64, seconds: f64| {
        let x = left + (SIZE.0 - left - right) * ((limit - least) / (most - least)).clamp(0.0, 1.0);
        let y = SIZE.1 - bottom - (SIZE.1 - top - bottom) * (seconds / slowest).clamp(0.0, 1.0);
        ((x * 10.0).round() / 10.0, (y * 10.0).round() / 10.0)
    };
    let mut lived: Vec<&Try> = found.tries.iter().filter(|one| one.lived).collect();
    lived.sort_by_key(|one| one.limit_bytes);
    let way: Vec<String> = lived
        .iter()
        .map(|one| at(one.limit_bytes.0 as f64, one.seconds))
        .map(|(x, y)| format!("{x},{y}"))
        .collect();
    let (origin, end) = (at(least, 0.0), at(most, 0.0));
    Some(html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (SIZE.0) " " (SIZE.1) } role="img"
            aria-label="time by memory limit" font-family="sans-serif" font-size="12" {
            rect width=(SIZE.0) height=(SIZE.1) fill="#ffffff" {}
            line x1=(origin.0) y1=(origin.1) x2=(end.0) y2=(end.1) stroke="#888888" {}
            line x1=(origin.0) y1=(origin.1) x2=(origin.0) y2=(top) stroke="#888888" {}
            text x=(origin.0 - 6.0) y=(top + 10.0) text-anchor="end" fill="#333333" { (format!("{slowest:.2} s")) }
            text x=(origin.0 - 6.0) y=(origin.1) text-anchor="end" fill="#333333" { "0 s" }
            polyline points=(way.join(" ")) fill="none" stroke="#1f77b4" stroke-width="1.5" {}
            @for one in &found.tries {
                @let (x, y) = at(one.limit_bytes.0 as f64, one.seconds);
                @if one.lived {
                    circle cx=(x) cy=(y) r="4" fill="#1f77b4" {
                        title { (one.limit_bytes) ", " (format!("{:.2} s", one.seconds)) ", enough" }
                    }
                } @else {
                    path d=(format!("M{} {}l8 8m0 -8l-8 8", x - 4.0, y - 4.0)) stroke="#c0392b" stroke-width="2" {
                        title { (one.limit_bytes) ", failed" }
                    }
                }
            }
            @if let Some(limit) = found.limit_bytes {
                @let (x, _) = at(limit.0 as f64, 0.0);
                line x1=(x) y1=(top) x2=(x) y2=(origin.1) stroke="#1f77b4" stroke-dasharray="4 3" {}
                text x=(x) y=(origin.1 + 18.0) text-anchor="middle" fill="#333333" { (limit) }
            }
        }
    })
}
