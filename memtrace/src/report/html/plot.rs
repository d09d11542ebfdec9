//! The timeline as a drawing: the charge by kind and the limit, with the kill at the end.
//!
//! Points -> SVG. The style sheet has the colours, so one drawing works for light, dark and paper. It contains only
//! numbers and fixed words.

mod scale;

use maud::{Markup, html};

use self::scale::Scale;
use crate::{oom::record::circumstances::Point, report::block::peak_of, units::Bytes};

/// A kind: its class in the style sheet, its name, and its figure in a point.
type Layer = (&'static str, &'static str, fn(&Point) -> Option<Bytes>);
/// The layers, from bottom to top.
const LAYERS: [Layer; 4] = [
    ("kernel", "kernel memory", |point| point.kernel_bytes),
    ("shmem", "shared memory, tmpfs", |point| point.shmem_bytes),
    ("active", "files", |point| point.file_bytes),
    ("anon", "anonymous memory", |point| point.anon_bytes),
];
const LEGEND: [(&str, &str); 6] = [
    ("usage", "usage"),
    ("limit", "limit, and the kill"),
    ("anon", "anonymous memory"),
    ("active", "files"),
    ("shmem", "shared memory, tmpfs"),
    ("kernel", "kernel memory"),
];
/// The last seconds get a drawing of their own if the timeline is much longer; in seconds.
const CLOSE: f64 = 120.0;

/// The drawings; `None` without data.
pub(super) fn plots(points: &[Point]) -> Option<Markup> {
    let longest = points.iter().map(|point| point.seconds_before).fold(0.0, f64::max);
    let near: Vec<Point> = points.iter().filter(|point| point.seconds_before <= CLOSE).copied().collect();
    let drawings: Vec<Markup> = if longest > 2.0 * CLOSE && near.len() >= 5 {
        vec![plot(points, (640.0, 260.0))?, plot(&near, (430.0, 260.0))?]
    } else {
        vec![plot(points, (1080.0, 280.0))?]
    };
    Some(html! {
        figure {
            div.plots .two[drawings.len() > 1] { @for drawing in &drawings { (drawing) } }
            ul.legend { @for (key, name) in LEGEND { li { i.(key) {} (name) } } }
        }
    })
}

fn plot(points: &[Point], size: (f64, f64)) -> Option<Markup> {
    let longest = points.iter().map(|point| point.seconds_before).fold(1.0, f64::max);
    let scale = Scale::of(longest, peak_of(points)?, size);
    let last = points.last().and_then(|point| point.usage_bytes);
    Some(html! {
        svg viewBox={ "0 0 " (size.0) " " (size.1) } role="img" aria-label="usage and limit before the kill" {
            (axes(&scale))
            @for index in 0..LAYERS.len() { (layer(points, &scale, index)) }
            (line(points, &scale, ("usage", "usage"), |point| point.usage_bytes))
            (line(points, &scale, ("limit", "limit"), |point| point.limit_bytes))
            g {
                title { "the kill" @if let Some(usage) = last { ", at " (usage) } }
                (path("line limit", &[scale.at(0.0, 0.0), scale.at(0.0, f64::INFINITY)], false))
                @if let Some(usage) = last {
                    @let (x, y) = scale.at(0.0, usage.0 as f64);
                    circle.limit cx=(x) cy=(y) r="5" {}
                }
            }
        }
    })
}

/// The grid with its labels.
fn axes(scale: &Scale) -> Markup {
    let (left, right) = (scale.at(f64::INFINITY, 0.0), scale.at(0.0, 0.0));
    let (_, top) = scale.at(0.0, f64::INFINITY);
    html! {
        @for (bytes, label) in scale.sizes() {
            @let (_, y) = scale.at(0.0, bytes);
            (path("line grid", &[(left.0, y), (right.0, y)], false))
            text x=(left.0 - 8.0) y=(y + 4.0) text-anchor="end" { (label) }
        }
        (path("line axis", &[(left.0, top), left, right], false))
        @for (seconds, label) in scale.times() {
            @let (x, y) = scale.at(seconds, 0.0);
            (path("line axis", &[(x, y), (x, y + 5.0)], false))
            text x=(x) y=(y + 18.0) text-anchor=(if seconds > 0.0 { "middle" } else { "end" }) { (label) }
        }
    }
}

/// One kind, stacked on those below it.
fn layer(points: &[Point], scale: &Scale, index: usize) -> Markup {
    let sum = |point: &Point, count: usize| {
        let known = LAYERS.iter().take(count).filter_map(|(.., figure)| figure(point));
        known.fold(0, |sum: u64, bytes| sum.saturating_add(bytes.0)) as f64
    };
    let Some((class, name, figure)) = LAYERS.get(index) else { return html! {} };
    let last = points.last().and_then(figure);
    html! {
        g {
            title { (name) @if let Some(bytes) = last { ": " (bytes) " at the kill" } }
            @for run in runs(points, |point| figure(point).is_some()) {
                @let upper = run.iter().map(|point| scale.at(point.seconds_before, sum(point, index + 1)));
                @let lower = run.iter().rev().map(|point| scale.at(point.seconds_before, sum(point, index)));
                @let outline = upper.chain(lower).collect::<Vec<_>>();
                (path(&format!("layer {class}"), &outline, true))
            }
        }
    }
}

fn line(
    points: &[Point],
    scale: &Scale,
    (class, name): (&str, &str),
    figure: fn(&Point) -> Option<Bytes>,
) -> Markup {
    let at = |point: &&Point| figure(point).map(|bytes| scale.at(point.seconds_before, bytes.0 as f64));
    html! {
        g {
            title { (name) }
            @for run in runs(points, |point| figure(point).is_some()) {
                (path(&format!("line {class}"), &run.iter().filter_map(at).collect::<Vec<_>>(), false))
            }
        }
    }
}

fn path(class: &str, points: &[(f64, f64)], is_closed: bool) -> Markup {
    let mut way = String::new();
    for (index, (x, y)) in points.iter().enumerate() {
        way.push_str(&format!("{}{x} {y}", if index == 0 { 'M' } else { 'L' }));
    }
    if is_closed {
        way.push('Z');
    }
    html! { path.(class) d=(way) {} }
}

/// Runs of points without a gap, because no line is drawn across unknown points.
fn runs(points: &[Point], is_known: impl Fn(&Point) -> bool) -> Vec<Vec<&Point>> {
    let stretches = points.chunk_by(|a, b| is_known(a) == is_known(b));
    let known = stretches.filter(|run| run.len() > 1 && run.first().is_some_and(&is_known));
    known.map(|run| run.iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::{Point, plots, runs};
    use crate::{store::fixture::full, units::Bytes};

    #[test]
    fn no_line_is_drawn_over_a_gap() {
        let point = |usage: Option<u64>| Point { usage_bytes: usage.map(Bytes), ..Point::default() };
        let points = [Some(1), Some(2), None, None, Some(3), Some(4), Some(5)].map(point);
        let found = runs(&points, |point| point.usage_bytes.is_some());
        assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [2, 3]);
    }

    #[test]
    fn a_long_timeline_has_its_end_drawn_by_itself() {
        let points = full::record().circumstances.timeline;
        let markup = plots(&points).unwrap().into_string();
        assert_eq!(markup.matches("<svg").count(), 2);
        assert!(markup.contains(">kill<") || markup.contains("kill\n"), "{markup}");
        assert!(!markup.contains("width=\"640\" height=\"260\" viewBox"));
        assert!(plots(&[]).is_none());
    }

    /// A store may contain any values.
    #[test]
    fn figures_that_cannot_be_stay_in_the_drawing() {
        let all = Some(Bytes(u64::MAX));
        let point = |seconds_before: f64| Point {
            seconds_before,
            usage_bytes: all,
            limit_bytes: Some(Bytes(1)),
            anon_bytes: all,
            file_bytes: all,
            ..Point::default()
        };
        for seconds in [f64::NAN, f64::INFINITY, -1e300, 1e300, 1.0] {
            let markup = plots(&[point(seconds), point(0.0), point(-5.0)]).unwrap().into_string();
            assert!(!markup.contains("NaN") && !markup.contains("inf"), "{markup}");
        }
    }
}
