//! The growth stacks as a flame graph.
//!
//! Stacks -> SVG: outermost callers at the bottom; the width of a frame is the memory touched by it and its callees.
//! The template escapes the names. A frame's name and bytes are its tooltip, so no script is needed.

use std::collections::BTreeMap;

use maud::{Markup, html};

use crate::{
    report::stack,
    snapshot::GrowthStack,
    text::{keep_start, printable, width},
    units::Bytes,
};

const WIDTH: f64 = 1080.0;
const FRAME: f64 = 18.0;
/// Width of a character in pixels; the style sheet has a monospaced font of 12 pixels.
const CHARACTER: f64 = 7.3;
/// Narrower frames are not drawn, because they would be invisible.
const LEAST: f64 = 0.2;
/// The longest name; names of C++ and Rust generics can be very long.
const NAME: usize = 120;
/// The most frames drawn in a stack; the record may have more.
const DEEPEST: usize = 127;
/// Shades of the style sheet, so that neighbours differ.
const SHADES: u32 = 5;

/// A function with a given caller, and its callees. The sum of bytes may exceed 64 bits.
#[derive(Default)]
struct Node {
    bytes: u128,
    called: BTreeMap<String, Node>,
}

/// Draws the graph; `None` without touched memory.
pub(super) fn graph(stacks: &[GrowthStack]) -> Option<Markup> {
    let mut root = Node::default();
    for stack in stacks {
        add(&mut root, stack);
    }
    if root.bytes == 0 {
        return None;
    }
    let mut frames = Vec::new();
    place(&root, 0, 0.0, root.bytes, &mut frames);
    let levels = frames.iter().map(|frame| frame.level).max()? + 1;
    let height = levels as f64 * FRAME;
    Some(html! {
        svg viewBox={ "0 0 " (WIDTH) " " (height) } role="img" aria-label="flame graph of new memory" {
            @for frame in &frames { (draw(frame, height)) }
        }
    })
}

fn add(root: &mut Node, stack: &GrowthStack) {
    let [.., Bytes(bytes)] = stack.bytes;
    if bytes == 0 || stack.frames.is_empty() {
        return;
    }
    let mut node = root;
    node.bytes += u128::from(bytes);
    for frame in stack.frames.iter().rev().take(DEEPEST) {
        node = node.called.entry(name(&stack::user_frame(frame))).or_default();
        node.bytes += u128::from(bytes);
    }
}

fn name(text: &str) -> String {
    let name: String = printable(text).chars().take(NAME).collect();
    if name.trim().is_empty() { "?".to_owned() } else { name }
}

/// A frame with its position.
struct Frame<'a> {
    name: &'a str,
    bytes: u128,
    whole: u128,
    level: usize,
    left: f64,
    width: f64,
}

fn place<'a>(node: &'a Node, level: usize, left: f64, whole: u128, frames: &mut Vec<Frame<'a>>) {
    let mut left = left;
    for (name, called) in &node.called {
        let width = WIDTH * called.bytes as f64 / whole as f64;
        if width >= LEAST {
            frames.push(Frame { name, bytes: called.bytes, whole, level, left, width });
            place(called, level + 1, left, whole, frames);
        }
        left += width;
    }
}

fn draw(frame: &Frame<'_>, height: f64) -> Markup {
    let Frame { name, bytes, whole, level, left, width } = *frame;
    let top = height - (level + 1) as f64 * FRAME;
    let room = ((width - 6.0) / CHARACTER).max(0.0) as usize;
    let share = 100.0 * bytes as f64 / whole as f64;
    let bytes = Bytes(u64::try_from(bytes).unwrap_or(u64::MAX));
    html! {
        g {
            title { (name) ": " (bytes) ", " (format!("{share:.1}")) " %" }
            rect.(shade(name)) x=(figure(left)) y=(figure(top)) width=(figure(width)) height=(figure(FRAME)) {}
            @if room >= 3 || room >= self::width(name) {
                text x=(figure(left + 3.0)) y=(figure(top + 12.5)) { (keep_start(name, room, "..")) }
            }
        }
    }
}

/// The shade of a function, the same in all places.
fn shade(name: &str) -> String {
    let hash =
        name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("f{}", (hash >> 16) % SHADES)
}

/// Rounds to a hundredth of a pixel.
pub(super) fn figure(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::graph;
    use crate::{
        mm::growth::WalkedBy,
        snapshot::{GrowthStack, UserFrame},
        store::fixture::full,
        units::Bytes,
    };

    fn frame(symbol: &str) -> UserFrame {
        let symbol = Some(symbol.to_owned()).filter(|symbol| !symbol.is_empty());
        UserFrame { address: "0x1".to_owned(), module: None, file_offset: None, symbol, inode: None }
    }

    fn stack(bytes: u64, symbols: &[&str]) -> GrowthStack {
        let frames = symbols.iter().map(|symbol| frame(symbol)).collect();
        GrowthStack { bytes: [Bytes(0), Bytes(0), Bytes(bytes)], walked_by: WalkedBy::default(), frames }
    }

    #[test]
    fn it_is_static_and_has_every_frame() {
        let memory = full::record().circumstances.victim_memory.unwrap();
        let svg = graph(&memory.growth_stacks).unwrap().into_string();
        for word in ["sdsMakeRoomFor", "dictAdd", "zslCreate"] {
            assert!(svg.contains(word), "{word}");
        }
        for word in ["<script", "onload", "<style", "http"] {
            assert!(!svg.contains(word), "{word}");
        }
        assert_eq!(svg.matches("<svg").count(), svg.matches("</svg>").count());
    }

    #[test]
    fn names_cannot_break_out_of_it() {
        let svg = graph(&[stack(4096, &["</svg><script>alert(1)</script>", "a;b 12 34", ""])]).unwrap();
        let svg = svg.into_string();
        assert!(!svg.contains("<script"), "{svg}");
        assert!(svg.contains("&lt;script&gt;"), "{svg}");
        assert!(graph(&[]).is_none());
    }

    #[test]
    fn callers_are_below_and_as_wide_as_all_that_they_called() {
        let svg =
            graph(&[stack(300, &["inner", "main"]), stack(100, &["other", "main"])]).unwrap().into_string();
        assert!(svg.contains("<title>main: 400 B, 100.0 %</title>"), "{svg}");
        assert!(svg.contains("<title>inner: 300 B, 75.0 %</title>"), "{svg}");
        assert!(svg.contains("x=\"0\" y=\"18\" width=\"1080\""), "{svg}");
        assert!(svg.contains("x=\"810\" y=\"0\" width=\"270\""), "{svg}");
    }

    /// A store may contain any values, so the sum of the bytes must not overflow.
    #[test]
    fn bytes_that_are_more_than_there_can_be_are_drawn() {
        let most = stack(u64::MAX, &["a"]);
        assert!(graph(&[most.clone(), most]).is_some());
    }
}
