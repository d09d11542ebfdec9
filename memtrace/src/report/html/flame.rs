//! The growth stacks as a flame graph.
//!
//! Stacks -> SVG by inferno, of which only the frames are kept: its script, its style and its search box are left out,
//! so that the page stays static. inferno escapes the names.

use inferno::flamegraph::{
    self, Options,
    color::{BasicPalette, Palette},
};

use crate::{
    report::stack,
    snapshot::GrowthStack,
    text::printable,
    units::Bytes,
};

const WIDTH: usize = 1080;
const FRAME: usize = 18;
/// Names longer than this are cut: C++ and Rust generics have no end.
const NAME: usize = 120;

/// Draws it; `None` where nothing was touched.
pub(super) fn graph(stacks: &[GrowthStack]) -> Option<String> {
    // inferno adds them up, and what is in a store may be anything.
    let most = u64::MAX.checked_div(stacks.len() as u64)?;
    let lines: Vec<String> = stacks.iter().filter_map(|stack| folded(stack, most)).collect();
    let depth = stacks.iter().map(|stack| stack.frames.len()).max()?;
    let mut options = Options::default();
    options.title = String::new();
    options.image_width = Some(WIDTH);
    options.frame_height = FRAME;
    options.font_size = 12;
    options.min_width = 0.2;
    options.count_name = "bytes".to_owned();
    options.colors = Palette::Basic(BasicPalette::Mem);
    options.deterministic = true;
    options.no_javascript = true;
    let mut svg = Vec::new();
    flamegraph::from_lines(&mut options, lines.iter().map(String::as_str), &mut svg).ok()?;
    let svg = String::from_utf8(svg).ok()?;
    let start = svg.find("<svg id=\"frames\"")?;
    let end = svg.rfind("</svg>")?;
    let frames = svg.get(start..end).filter(|frames| frames.trim_end().ends_with("</svg>"))?;
    let height = height_of(&svg)?;
    // inferno leaves room for its title above and its search box below.
    let top = height.saturating_sub((depth + 1) * FRAME + 44);
    let shown = height.saturating_sub(top).saturating_sub(30);
    Some(format!(
        "<svg viewBox=\"0 {top} {WIDTH} {shown}\" role=\"img\" aria-label=\"flame graph of new memory\">{frames}</svg>"
    ))
}

fn height_of(svg: &str) -> Option<usize> {
    let (_, rest) = svg.split_once("viewBox=\"0 0 ")?;
    rest.split(['"', ' ']).nth(1)?.parse().ok()
}

/// `outer;inner 4096`, as inferno takes it.
fn folded(stack: &GrowthStack, most: u64) -> Option<String> {
    let [.., Bytes(bytes)] = stack.bytes;
    let names: Vec<String> = stack.frames.iter().rev().map(|frame| name(&stack::user_frame(frame))).collect();
    (bytes > 0 && !names.is_empty()).then(|| format!("{} {}", names.join(";"), bytes.min(most)))
}

/// Without what has a meaning in a folded line.
fn name(text: &str) -> String {
    let name: String = printable(text)
        .chars()
        .take(NAME)
        .map(|c| match c {
            ';' => ':',
            ' ' => '\u{a0}',
            c => c,
        })
        .collect();
    if name.is_empty() { "?".to_owned() } else { name }
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

    #[test]
    fn it_is_static_and_has_every_frame() {
        let memory = full::record().circumstances.victim_memory.unwrap();
        let svg = graph(&memory.growth_stacks).unwrap();
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
        let frame = |symbol: &str| UserFrame {
            address: "0x1".to_owned(),
            module: None,
            file_offset: None,
            symbol: Some(symbol.to_owned()),
        };
        let stack = GrowthStack {
            bytes: [Bytes(0), Bytes(0), Bytes(4096)],
            walked_by: WalkedBy::default(),
            frames: vec![frame("</svg><script>alert(1)</script>"), frame("a;b 12 34"), frame("")],
        };
        let svg = graph(&[stack]).unwrap();
        assert!(!svg.contains("<script"), "{svg}");
        assert!(svg.contains("&lt;script&gt;"), "{svg}");
        assert_eq!(graph(&[]), None);
    }

    /// What a store holds may be of anybody: inferno adds the bytes up, and would overflow.
    #[test]
    fn bytes_that_are_more_than_there_can_be_are_drawn() {
        let frame = UserFrame { address: "0x1".to_owned(), module: None, file_offset: None, symbol: None };
        let stack =
            GrowthStack { bytes: [Bytes(u64::MAX); 3], walked_by: WalkedBy::default(), frames: vec![frame] };
        assert!(graph(&[stack.clone(), stack]).is_some());
    }
}
