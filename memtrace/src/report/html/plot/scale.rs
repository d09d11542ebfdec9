//! Positions of times and sizes on a drawing, and the labels of its axes.
//!
//! The ends of the axes and a size -> pixels, and round figures with their units. Every position is inside.

use crate::{report::html::flame::figure, units::Bytes};

/// Margins of the field in pixels: top, right, bottom, left.
const MARGINS: (f64, f64, f64, f64) = (8.0, 14.0, 26.0, 76.0);
/// The approximate number of grid lines.
const LINES: f64 = 5.0;
/// Factor of the space above the highest figure.
const ABOVE: f64 = 1.12;

/// The field between the axes.
pub(super) struct Scale {
    /// Seconds before the kill at its left end.
    longest: f64,
    /// Bytes at its top.
    most: f64,
    size: (f64, f64),
}

impl Scale {
    pub(super) fn of(longest: f64, peak: Bytes, size: (f64, f64)) -> Self {
        // At most a year, so that impossible times are drawn too.
        Self { longest: longest.min(3.2e7), most: (peak.0 as f64).max(1024.0) * ABOVE, size }
    }

    /// Pixels from the left and from the top; positions outside are clamped to the edge.
    pub(super) fn at(&self, seconds: f64, bytes: f64) -> (f64, f64) {
        let (top, right, below, left) = MARGINS;
        let (width, height) = (self.size.0 - left - right, self.size.1 - top - below);
        let share = |part: f64, whole: f64| if part > 0.0 { (part / whole).min(1.0) } else { 0.0 };
        let x = left + width * (1.0 - share(seconds, self.longest));
        let y = top + height * (1.0 - share(bytes, self.most));
        (figure(x), figure(y))
    }

    /// Round numbers of bytes.
    pub(super) fn sizes(&self) -> Vec<(f64, String)> {
        let (unit, name) = match self.most / ABOVE {
            ..2_097_152.0 => (1024.0, "KiB"),
            ..2_147_483_648.0 => (1024.0 * 1024.0, "MiB"),
            _ => (1024.0 * 1024.0 * 1024.0, "GiB"),
        };
        steps(self.most / unit).map(|count| (count * unit, format!("{} {name}", figure(count)))).collect()
    }

    /// Round times before the kill, and the kill itself.
    pub(super) fn times(&self) -> Vec<(f64, String)> {
        let (unit, name) = match self.longest {
            ..300.0 => (1.0, "s"),
            ..7_200.0 => (60.0, "min"),
            _ => (3_600.0, "h"),
        };
        let label =
            |count: f64| if count > 0.0 { format!("-{} {name}", figure(count)) } else { "kill".to_owned() };
        steps(self.longest / unit).map(|count| (count * unit, label(count))).collect()
    }
}

/// 0 and the multiples of 1, 2 or 5 times a power of ten, up to the end.
fn steps(end: f64) -> impl Iterator<Item = f64> {
    let rough = end / LINES;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0].into_iter().map(|times| times * power).find(|step| *step >= rough);
    let step = step.unwrap_or(10.0 * power);
    (0..=(end / step) as u32).map(move |count| f64::from(count) * step)
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Scale};

    fn words(labels: Vec<(f64, String)>) -> Vec<String> {
        labels.into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn axes_have_round_figures() {
        let scale = Scale::of(600.0, Bytes(64 << 20), (640.0, 260.0));
        assert_eq!(words(scale.sizes()), ["0 MiB", "20 MiB", "40 MiB", "60 MiB"]);
        assert_eq!(words(scale.times()), ["kill", "-2 min", "-4 min", "-6 min", "-8 min", "-10 min"]);
        let scale = Scale::of(1.0, Bytes(1), (640.0, 260.0));
        assert_eq!(words(scale.times()).last().unwrap(), "-1 s");
        assert_eq!(words(scale.sizes()), ["0 KiB", "0.5 KiB", "1 KiB"]);
    }

    #[test]
    fn nothing_is_placed_outside() {
        let scale = Scale::of(60.0, Bytes(1 << 20), (640.0, 260.0));
        assert_eq!(scale.at(0.0, 0.0), (626.0, 234.0));
        assert_eq!(scale.at(1e9, f64::INFINITY), (76.0, 8.0));
        assert_eq!(scale.at(-3.0, f64::NAN), (626.0, 234.0));
    }
}
