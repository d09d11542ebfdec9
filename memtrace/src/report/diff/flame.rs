//! The difference by call stack as a flame graph.
//!
//! The split by stack -> SVG: outermost callers at the bottom. The width of a frame is the larger of its two sides, so that
//! what is gone can be seen too; red is more in B, blue is less, grey the same. The template escapes the names.

use std::collections::BTreeMap;

use maud::{Markup, html};

use crate::{
    sizing::diff::{
        Diff,
        split::{By, Moved},
    },
    text::{keep_start, printable, width},
    units::Bytes,
};

const WIDTH: f64 = 1080.0;
const FRAME: f64 = 18.0;
/// Width of a character of the font, in pixels.
const CHARACTER: f64 = 7.3;
/// Narrower frames would not be seen.
const LEAST: f64 = 0.2;
/// The longest name.
const NAME: usize = 120;

/// A function with a given caller, and its callees.
#[derive(Default)]
struct Node {
    a: u128,
    b: u128,
    /// The sum of the larger sides of its stacks.
    room: u128,
    called: BTreeMap<String, Node>,
}

/// A frame with its position.
struct Frame<'a> {
    name: &'a str,
    node: &'a Node,
    level: usize,
    left: f64,
    width: f64,
}

/// The graph as a file; `None` without call stacks.
pub fn svg(diff: &Diff) -> Option<String> {
    Some(drawing(diff)?.into_string())
}

/// The graph; `None` without call stacks.
pub(super) fn drawing(diff: &Diff) -> Option<Markup> {
    let split = diff.splits.iter().find(|split| split.by == By::Stack)?;
    let mut root = Node::default();
    split.parts.iter().for_each(|moved| root.add(moved));
    if root.room == 0 {
        return None;
    }
    let mut frames = Vec::new();
    place(&root, 0, 0.0, root.room, &mut frames);
    let height = (frames.iter().map(|frame| frame.level).max()? + 1) as f64 * FRAME;
    Some(html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (WIDTH) " " (height) } role="img"
            aria-label="flame graph of the difference" font-family="monospace" font-size="12" {
            @for frame in &frames { (draw(frame, height)) }
        }
    })
}

impl Node {
    fn add(&mut self, moved: &Moved) {
        let of = |bytes: Option<Bytes>| u128::from(bytes.unwrap_or_default().0);
        let (a, b) = (of(moved.a_bytes), of(moved.b_bytes));
        let mut node = self;
        node.take(a, b);
        for name in moved.what.iter().rev() {
            let name: String = printable(name).chars().take(NAME).collect();
            node = node.called.entry(name).or_default();
            node.take(a, b);
        }
    }

    fn take(&mut self, a: u128, b: u128) {
        self.a += a;
        self.b += b;
        self.room += a.max(b);
    }

    /// From white to red for more in B, to blue for less.
    fn colour(&self) -> String {
        let share = (self.b as f64 - self.a as f64) / (self.room as f64).max(1.0);
        let pale = (225.0 - 135.0 * share.abs().min(1.0)) as u8;
        match share {
            share if share > 0.01 => format!("#e8{pale:02x}{pale:02x}"),
            share if share < -0.01 => format!("#{pale:02x}{pale:02x}e8"),
            _ => "#d5d5d5".to_owned(),
        }
    }
}

fn place<'a>(node: &'a Node, level: usize, left: f64, whole: u128, frames: &mut Vec<Frame<'a>>) {
    let mut left = left;
    for (name, called) in &node.called {
        let width = WIDTH * called.room as f64 / whole as f64;
        if width >= LEAST {
            frames.push(Frame { name, node: called, level, left, width });
            place(called, level + 1, left, whole, frames);
        }
        left += width;
    }
}

fn draw(frame: &Frame<'_>, height: f64) -> Markup {
    let Frame { name, node, level, left, width } = *frame;
    let top = height - (level + 1) as f64 * FRAME;
    let room = ((width - 6.0) / CHARACTER).max(0.0) as usize;
    let bytes = |bytes: u128| Bytes(u64::try_from(bytes).unwrap_or(u64::MAX));
    html! {
        g {
            title { (name) ": A " (bytes(node.a)) ", B " (bytes(node.b)) }
            rect x=(pixel(left)) y=(pixel(top)) width=(pixel(width)) height=(FRAME) fill=(node.colour()) stroke="#ffffff" {}
            @if room >= 3 || room >= self::width(name) {
                text x=(pixel(left + 3.0)) y=(pixel(top + 12.5)) fill="#1d2126" { (keep_start(name, room, "..")) }
            }
        }
    }
}

/// Rounded to a hundredth of a pixel.
fn pixel(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}
