//! The timeline drawn: what was charged, by kind, against the limit, with the kill at its end.
//!
//! Points -> SVG by plotters. Colours are place-holders that the style sheet replaces, so that one drawing serves light,
//! dark and paper. Only numbers and fixed words get into it.

use maud::{Markup, PreEscaped, html};
use plotters::prelude::*;

use crate::{oom::record::circumstances::Point, report::block::peak_of, units::Bytes};

const TEXT: RGBColor = RGBColor(1, 1, 1);
const GRID: RGBColor = RGBColor(2, 2, 2);
const LIMIT: RGBColor = RGBColor(3, 3, 3);
const USAGE: RGBColor = RGBColor(4, 4, 4);
/// A kind: its colour, and its figure in a point.
type Layer = (RGBColor, fn(&Point) -> Option<Bytes>);
/// From the bottom up.
const LAYERS: [Layer; 4] = [
    (RGBColor(8, 8, 8), |point| point.kernel_bytes),
    (RGBColor(7, 7, 7), |point| point.shmem_bytes),
    (RGBColor(6, 6, 6), |point| point.file_bytes),
    (RGBColor(5, 5, 5), |point| point.anon_bytes),
];
const LEGEND: [(&str, &str); 6] = [
    ("usage", "usage"),
    ("limit", "limit, and the kill"),
    ("anon", "anonymous memory"),
    ("active", "files"),
    ("shmem", "shared memory, tmpfs"),
    ("kernel", "kernel memory"),
];
/// The last stretch has a drawing of its own where the whole is much longer.
const CLOSE: f64 = 120.0;

/// The drawings; `None` where nothing is known.
pub(super) fn plots(points: &[Point]) -> Option<Markup> {
    let longest = points.iter().map(|point| point.seconds_before).fold(0.0, f64::max);
    let near: Vec<Point> = points.iter().filter(|point| point.seconds_before <= CLOSE).copied().collect();
    let drawings: Vec<String> = if longest > 2.0 * CLOSE && near.len() >= 5 {
        vec![plot(points, (640, 260))?, plot(&near, (430, 260))?]
    } else {
        vec![plot(points, (1080, 280))?]
    };
    Some(html! {
        figure {
            div.plots .two[drawings.len() > 1] { @for drawing in &drawings { (PreEscaped(drawing)) } }
            ul.legend { @for (key, name) in LEGEND { li { i.(key) {} (name) } } }
        }
    })
}

fn plot(points: &[Point], (width, height): (u32, u32)) -> Option<String> {
    let mut svg = String::new();
    draw(points, &mut svg, (width, height))?;
    // The page decides how large it is; `viewBox` keeps its shape.
    let fixed = format!("<svg width=\"{width}\" height=\"{height}\" ");
    let named = "<svg role=\"img\" aria-label=\"usage and limit before the kill\" ";
    Some(svg.replacen(&fixed, named, 1).replacen(" xmlns=\"http://www.w3.org/2000/svg\"", "", 1))
}

/// Seconds and bytes with the units that the axes are in.
struct Scale {
    seconds: f64,
    time: &'static str,
    bytes: f64,
    size: &'static str,
    /// The ends of the axes. Nothing is drawn beyond them: the drawing counts pixels in 32 bits.
    left: f64,
    top: f64,
}

impl Scale {
    fn of(longest: f64, peak: Bytes) -> Self {
        let (seconds, time) = match longest {
            0.0..300.0 => (1.0, "s"),
            300.0..7_200.0 => (60.0, "min"),
            _ => (3_600.0, "h"),
        };
        let (bytes, size) = match peak.0 {
            0..0x20_0000 => (1024.0, "KiB"),
            0x20_0000..0x8000_0000 => (1024.0 * 1024.0, "MiB"),
            _ => (1024.0 * 1024.0 * 1024.0, "GiB"),
        };
        let top = (peak.0 as f64 / bytes).max(1.0) * 1.12;
        Self { seconds, time, bytes, size, left: -longest / seconds, top }
    }

    fn x(&self, point: &Point) -> f64 {
        (-point.seconds_before / self.seconds).clamp(self.left, 0.0)
    }

    fn y(&self, bytes: Bytes) -> f64 {
        (bytes.0 as f64 / self.bytes).min(self.top)
    }
}

fn draw(points: &[Point], svg: &mut String, size: (u32, u32)) -> Option<()> {
    let longest = points.iter().map(|point| point.seconds_before).fold(1.0, f64::max);
    let scale = Scale::of(longest, peak_of(points)?);
    let top = scale.top;
    let root = SVGBackend::with_string(svg, size).into_drawing_area();
    let mut chart = ChartBuilder::on(&root)
        .margin_top(8)
        .margin_right(14)
        .x_label_area_size(26)
        .y_label_area_size(64)
        .build_cartesian_2d(scale.left..0.0, 0.0..top)
        .ok()?;
    let text = ("sans-serif", 12).into_font().color(&TEXT);
    chart
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(TEXT)
        .label_style(text)
        .x_labels(6)
        .y_labels(6)
        .x_label_formatter(&|x| if *x > -1e-9 { "kill".to_owned() } else { format!("{x:.0} {}", scale.time) })
        .y_label_formatter(&|y| format!("{} {}", (y * 100.0).round() / 100.0, scale.size))
        .draw()
        .ok()?;
    layers(&mut chart, points, &scale)?;
    for run in runs(points, |point| point.usage_bytes.map(|bytes| scale.y(bytes))) {
        let line = run.into_iter().map(|(point, y)| (scale.x(point), y));
        chart.draw_series(LineSeries::new(line, USAGE.stroke_width(2))).ok()?;
    }
    for run in runs(points, |point| point.limit_bytes.map(|bytes| scale.y(bytes))) {
        let line = run.into_iter().map(|(point, y)| (scale.x(point), y));
        chart.draw_series(LineSeries::new(line, LIMIT.stroke_width(2))).ok()?;
    }
    chart.draw_series([PathElement::new([(0.0, 0.0), (0.0, top)], LIMIT.stroke_width(2))]).ok()?;
    let last = points.last().and_then(|point| point.usage_bytes).map(|bytes| scale.y(bytes));
    chart.draw_series(last.map(|y| Circle::new((0.0, y), 5, LIMIT.filled()))).ok()?;
    root.present().ok()
}

type Chart<'a, 'b> = ChartContext<
    'a,
    SVGBackend<'b>,
    Cartesian2d<plotters::coord::types::RangedCoordf64, plotters::coord::types::RangedCoordf64>,
>;

/// The kinds one above the other.
fn layers(chart: &mut Chart<'_, '_>, points: &[Point], scale: &Scale) -> Option<()> {
    for (index, (color, _)) in LAYERS.iter().enumerate() {
        let sum = |point: &Point, count: usize| {
            let known: Vec<u64> = LAYERS
                .iter()
                .take(count)
                .filter_map(|(_, figure)| figure(point))
                .map(|bytes| bytes.0)
                .collect();
            Bytes(known.into_iter().fold(0, u64::saturating_add))
        };
        let is_known = |point: &Point| LAYERS.get(index).and_then(|(_, figure)| figure(point));
        for run in runs(points, |point| is_known(point).map(|_| scale.y(sum(point, index + 1)))) {
            let upper = run.iter().map(|(point, y)| (scale.x(point), *y));
            let lower = run.iter().rev().map(|(point, _)| (scale.x(point), scale.y(sum(point, index))));
            let outline: Vec<(f64, f64)> = upper.chain(lower).collect();
            chart.draw_series([Polygon::new(outline, color.mix(0.85).filled())]).ok()?;
        }
    }
    Some(())
}

/// Stretches without a gap: a line is never drawn over what is not known.
fn runs(points: &[Point], value: impl Fn(&Point) -> Option<f64>) -> Vec<Vec<(&Point, f64)>> {
    let mut runs = vec![Vec::new()];
    for point in points {
        match (value(point), runs.last_mut()) {
            (Some(y), Some(run)) => run.push((point, y)),
            (None, Some(run)) if !run.is_empty() => runs.push(Vec::new()),
            (None | Some(_), _) => {}
        }
    }
    runs.retain(|run| run.len() > 1);
    runs
}

#[cfg(test)]
mod tests {
    use super::{Point, plots, runs};
    use crate::{store::fixture::full, units::Bytes};

    #[test]
    fn no_line_is_drawn_over_a_gap() {
        let point = |usage: Option<u64>| Point { usage_bytes: usage.map(Bytes), ..Point::default() };
        let points = [Some(1), Some(2), None, None, Some(3), Some(4), Some(5)].map(point);
        let found = runs(&points, |point| point.usage_bytes.map(|bytes| bytes.0 as f64));
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
}
