//! The theme: the sixteen colours that every terminal shows readably, and glyphs.
//!
//! Facts about the environment -> styles and characters. A state is never shown by colour alone, but also by a glyph or
//! a word, so that colour can be disabled.

use ratatui::style::{Color, Modifier, Style};

use super::rows::State;

/// The features that may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theme {
    /// Colours.
    pub has_color: bool,
    /// Characters beyond ASCII.
    pub has_unicode: bool,
}

/// The role of a piece of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Normal text.
    Plain,
    /// The most important text in its row.
    Strong,
    /// Explanatory text.
    Faint,
    /// Titles and labels.
    Title,
    /// The current view or column.
    Chosen,
    /// The selected row.
    Selected,
    /// A good state.
    Good,
    /// A warning.
    Warning,
    /// An alarm.
    Alarm,
    /// A bar or chart.
    Gauge,
    /// The product's name.
    Brand,
}

impl Theme {
    /// All features.
    pub const FULL: Self = Self { has_color: true, has_unicode: true };

    /// The style of a piece of text.
    pub fn style(self, role: Role) -> Style {
        let plain = Style::new();
        let colored = |color| if self.has_color { plain.fg(color) } else { plain };
        match role {
            Role::Plain => plain,
            Role::Strong => plain.add_modifier(Modifier::BOLD),
            Role::Faint => plain.add_modifier(Modifier::DIM),
            Role::Title => colored(Color::Cyan),
            Role::Chosen => colored(Color::Cyan).add_modifier(Modifier::BOLD | Modifier::REVERSED),
            Role::Selected => plain.add_modifier(Modifier::REVERSED),
            Role::Good => colored(Color::Green),
            Role::Warning => colored(Color::Yellow),
            Role::Alarm => colored(Color::Red).add_modifier(Modifier::BOLD),
            Role::Gauge => colored(Color::Blue),
            Role::Brand => colored(Color::Cyan).add_modifier(Modifier::BOLD),
        }
    }

    /// The role of a state.
    pub const fn role(state: State) -> Role {
        match state {
            State::Calm => Role::Good,
            State::Warning => Role::Warning,
            State::Alarm => Role::Alarm,
        }
    }

    /// The glyph of a state.
    pub const fn glyph(self, state: State) -> &'static str {
        match (state, self.has_unicode) {
            (State::Calm, _) => " ",
            (State::Warning, true) => "▲",
            (State::Warning, false) => "!",
            (State::Alarm, true) => "✖",
            (State::Alarm, false) => "X",
        }
    }

    /// The Unicode or the ASCII variant, depending on the terminal.
    pub const fn either<T: Copy>(self, unicode: T, ascii: T) -> T {
        if self.has_unicode { unicode } else { ascii }
    }

    /// The mark for text that was cut off.
    pub const fn gap(self) -> &'static str {
        self.either("…", "~")
    }

    /// A bar of `columns` columns, filled to `share`. Returns the filled and the empty part.
    pub fn bar(self, share: f64, columns: usize) -> (String, String) {
        const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
        let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
        let eighths = (share * columns as f64 * 8.0).round() as usize;
        // A share above 0 is always visible.
        let eighths = if share > 0.0 { eighths.max(1).min(columns * 8) } else { 0 };
        let (full, part) = (eighths / 8, eighths % 8);
        if !self.has_unicode {
            let full = (full + usize::from(part >= 4)).min(columns);
            return ("#".repeat(full), ".".repeat(columns - full));
        }
        let part = EIGHTHS.get(part).copied().unwrap_or_default();
        let rest = columns.saturating_sub(full + usize::from(!part.is_empty()));
        ("█".repeat(full) + part, " ".repeat(rest))
    }

    /// A column of a small chart, `eighths` eighths high.
    pub fn column(self, eighths: usize) -> &'static str {
        const UNICODE: [&str; 9] = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
        const ASCII: [&str; 9] = [" ", "_", "_", ".", "-", "-", "=", "=", "#"];
        self.either(UNICODE, ASCII).get(eighths.min(8)).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::Theme;
    use crate::text::width;

    #[test]
    fn a_bar_is_as_wide_as_it_should_be() {
        for has_unicode in [true, false] {
            let theme = Theme { has_color: false, has_unicode };
            for columns in 0..20 {
                for percent in -10..130 {
                    let (full, rest) = theme.bar(f64::from(percent) / 100.0, columns);
                    assert_eq!(
                        width(&full) + width(&rest),
                        columns,
                        "{percent} % of {columns}: {full}|{rest}|"
                    );
                }
            }
        }
        assert_eq!(Theme::FULL.bar(f64::NAN, 3).0, "");
    }
}
