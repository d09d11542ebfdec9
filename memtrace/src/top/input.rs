//! Key bindings.
//!
//! A key and the focus -> an [`Action`]. Pure.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// Which part receives keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Focus {
    /// The rows.
    Rows,
    /// The input line of the filter.
    Filter,
    /// The list of columns to sort by.
    Menu,
    /// Text: help, or a report.
    Text,
}

/// The action of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Quit.
    Quit,
    /// Suspend, like Ctrl-Z in a shell.
    Suspend,
    /// Redraw everything.
    Redraw,
    /// Up or down by rows.
    Move(isize),
    /// Up or down by half screens.
    Page(isize),
    /// To the first row.
    First,
    /// To the last row.
    Last,
    /// Open the row.
    Enter,
    /// Go back, or close what is open.
    Back,
    /// To the next or previous view.
    Tab(isize),
    /// To this view.
    TabAt(usize),
    /// Sort by a column further right or left.
    SortBy(isize),
    /// Reverse the order.
    Invert,
    /// Open the list of columns to sort by.
    Menu,
    /// Start typing a filter.
    Filter,
    /// Type a letter of the filter.
    Type(char),
    /// Delete the last letter.
    Erase,
    /// Delete all letters.
    EraseAll,
    /// Delete the last word.
    EraseWord,
    /// Accept the typed filter.
    Accept,
    /// Pause or resume.
    Pause,
    /// Group containers by pod, or not.
    Group,
    /// Show the report of a kill.
    Report,
    /// Copy the selected row.
    Copy,
    /// Show help.
    Help,
    /// Forward or back in time.
    Step(isize),
}

/// The pressed keys. No binding uses Alt: a terminal that sends Esc and the next key together (a slow line, a paste,
/// `tmux send-keys`) reports them as one key with Alt, so they are split again.
pub fn pressed(key: KeyEvent) -> impl Iterator<Item = KeyEvent> {
    let is_alt = key.modifiers.contains(KeyModifiers::ALT);
    let escape = is_alt.then_some(KeyEvent { code: KeyCode::Esc, modifiers: KeyModifiers::NONE, ..key });
    escape.into_iter().chain([KeyEvent { modifiers: key.modifiers - KeyModifiers::ALT, ..key }])
}

/// The action of a key.
pub fn action(key: KeyEvent, focus: Focus, is_in_the_past: bool) -> Option<Action> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return control(key.code, focus);
    }
    match focus {
        Focus::Filter => typing(key.code),
        Focus::Menu | Focus::Text => moving(key.code).or_else(|| closing(key.code)),
        Focus::Rows => moving(key.code).or_else(|| looking(key.code, is_in_the_past)),
    }
}

fn control(code: KeyCode, focus: Focus) -> Option<Action> {
    match (code, focus) {
        (KeyCode::Char('c'), _) => Some(Action::Quit),
        (KeyCode::Char('z'), _) => Some(Action::Suspend),
        (KeyCode::Char('l'), _) => Some(Action::Redraw),
        (KeyCode::Char('u'), Focus::Filter) => Some(Action::EraseAll),
        (KeyCode::Char('w' | 'h'), Focus::Filter) => Some(Action::EraseWord),
        (KeyCode::Char('d' | 'f'), _) => Some(Action::Page(1)),
        (KeyCode::Char('u' | 'b'), _) => Some(Action::Page(-1)),
        (KeyCode::Char('n'), _) => Some(Action::Move(1)),
        (KeyCode::Char('p'), _) => Some(Action::Move(-1)),
        _ => None,
    }
}

fn moving(code: KeyCode) -> Option<Action> {
    match code {
        KeyCode::Down | KeyCode::Char('j') => Some(Action::Move(1)),
        KeyCode::Up | KeyCode::Char('k') => Some(Action::Move(-1)),
        KeyCode::PageDown => Some(Action::Page(2)),
        KeyCode::PageUp => Some(Action::Page(-2)),
        KeyCode::Home | KeyCode::Char('g') => Some(Action::First),
        KeyCode::End | KeyCode::Char('G') => Some(Action::Last),
        KeyCode::Enter => Some(Action::Enter),
        KeyCode::Esc => Some(Action::Back),
        KeyCode::Char('y') => Some(Action::Copy),
        _ => None,
    }
}

fn closing(code: KeyCode) -> Option<Action> {
    match code {
        KeyCode::Char('q' | '?' | 's' | 'o' | 'h') | KeyCode::F(1) => Some(Action::Back),
        KeyCode::Char('r' | 'i') => Some(Action::Invert),
        _ => None,
    }
}

fn typing(code: KeyCode) -> Option<Action> {
    match code {
        KeyCode::Char(c) => Some(Action::Type(c)),
        KeyCode::Backspace => Some(Action::Erase),
        KeyCode::Enter => Some(Action::Accept),
        KeyCode::Esc => Some(Action::Back),
        KeyCode::Down => Some(Action::Move(1)),
        KeyCode::Up => Some(Action::Move(-1)),
        _ => None,
    }
}

fn looking(code: KeyCode, is_in_the_past: bool) -> Option<Action> {
    match code {
        KeyCode::Char('q') => Some(Action::Quit),
        KeyCode::Char('?' | 'h') | KeyCode::F(1) => Some(Action::Help),
        KeyCode::Tab => Some(Action::Tab(1)),
        KeyCode::BackTab => Some(Action::Tab(-1)),
        KeyCode::Char(digit @ '1'..='5') => Some(Action::TabAt(digit as usize - '1' as usize)),
        KeyCode::Right if is_in_the_past => Some(Action::Step(1)),
        KeyCode::Left if is_in_the_past => Some(Action::Step(-1)),
        KeyCode::Char('>' | '.') | KeyCode::Right => Some(Action::SortBy(1)),
        KeyCode::Char('<' | ',') | KeyCode::Left => Some(Action::SortBy(-1)),
        KeyCode::Char('r' | 'i') => Some(Action::Invert),
        KeyCode::Char('s') | KeyCode::F(6) => Some(Action::Menu),
        KeyCode::Char('/' | 'f') | KeyCode::F(4) => Some(Action::Filter),
        KeyCode::Char(' ') => Some(Action::Pause),
        KeyCode::Char('t') | KeyCode::F(5) => Some(Action::Group),
        KeyCode::Char('o') => Some(Action::Report),
        KeyCode::Char('l') => Some(Action::Enter),
        KeyCode::Backspace => Some(Action::Back),
        _ => None,
    }
}

/// The keys, for help: key, meaning.
pub const KEYS: &[(&str, &str)] = &[
    ("up down  j k", "move to another row"),
    ("PgUp PgDn  ^U ^D", "move by a screen"),
    ("g G  Home End", "first and last row"),
    ("Enter", "open: pod, container, process, arena, growth stacks"),
    ("Esc", "back; clear the filter"),
    ("Tab  1-5", "change the view"),
    ("t", "switch between pods and containers"),
    ("< >  left right", "sort by another column"),
    ("s", "choose the column to sort by"),
    ("r", "reverse the order"),
    ("/", "filter"),
    ("Space", "pause the display; tracing continues"),
    ("o", "show the report of a kill"),
    ("y", "copy the row's name, or the report"),
    ("^L ^Z", "redraw; suspend to the shell"),
    ("q ^C", "quit"),
];

#[cfg(test)]
mod tests {
    use super::{Action, Focus, KeyCode, KeyEvent, KeyModifiers, action, pressed};

    fn press(code: KeyCode, focus: Focus) -> Option<Action> {
        action(KeyEvent::new(code, KeyModifiers::NONE), focus, false)
    }

    #[test]
    fn letters_are_typed_into_a_filter_and_mean_something_elsewhere() {
        assert_eq!(press(KeyCode::Char('q'), Focus::Rows), Some(Action::Quit));
        assert_eq!(press(KeyCode::Char('q'), Focus::Filter), Some(Action::Type('q')));
        assert_eq!(press(KeyCode::Char('q'), Focus::Text), Some(Action::Back));
        assert_eq!(press(KeyCode::Char(' '), Focus::Rows), Some(Action::Pause));
        assert_eq!(press(KeyCode::Char(' '), Focus::Filter), Some(Action::Type(' ')));
    }

    #[test]
    fn escape_and_the_next_key_at_once_are_both_pressed() {
        let keys = |key: char, modifiers| pressed(KeyEvent::new(KeyCode::Char(key), modifiers));
        let plain = |code| KeyEvent::new(code, KeyModifiers::NONE);
        let both: Vec<_> = keys('/', KeyModifiers::ALT).collect();
        assert_eq!(both, [plain(KeyCode::Esc), plain(KeyCode::Char('/'))]);
        assert_eq!(keys('/', KeyModifiers::NONE).collect::<Vec<_>>(), [plain(KeyCode::Char('/'))]);
        let control = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        let all = KeyModifiers::ALT | KeyModifiers::CONTROL;
        assert_eq!(keys('c', all).collect::<Vec<_>>(), [plain(KeyCode::Esc), control]);
    }

    #[test]
    fn control_c_ends_it_wherever_one_is() {
        let key = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        for focus in [Focus::Rows, Focus::Filter, Focus::Menu, Focus::Text] {
            assert_eq!(action(key, focus, false), Some(Action::Quit));
        }
    }

    #[test]
    fn arrows_go_through_time_where_there_is_a_past() {
        let key = KeyEvent::new(KeyCode::Left, KeyModifiers::NONE);
        assert_eq!(action(key, Focus::Rows, false), Some(Action::SortBy(-1)));
        assert_eq!(action(key, Focus::Rows, true), Some(Action::Step(-1)));
    }
}
