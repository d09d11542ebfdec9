//! Frames compared with files, and arbitrary states on arbitrary screens.
//!
//! `UPDATE_GOLDEN=1 cargo test -p memtrace --lib top::view` writes the files anew.

use std::{env, fs, path::Path, sync::Arc};

use proptest::prelude::*;
use ratatui::{
    buffer::Buffer,
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
    layout::Rect,
};

use super::{Areas, draw};
use crate::{
    api::v1::Update,
    store::fixture,
    top::{
        app::{App, Link, News},
        input,
        rows::{Data, tests::data},
        theme::Theme,
    },
};

/// A state after some updates.
pub fn app(data: &Data) -> App {
    let mut app = App::of("node-7");
    let [second, last] = [1, 0].map(|ago| {
        let mut snapshot = (*data.snapshot).clone();
        snapshot.time -= jiff::SignedDuration::from_secs(ago);
        if let Some(tracer) = &mut snapshot.tracer {
            tracer.events -= 12_345 * ago as u64;
            tracer.scans.seconds -= 0.031 * ago as f64;
        }
        Update { snapshot: Arc::new(snapshot), insights: Arc::clone(&data.insights) }
    });
    app.take(News::Link(Link::Daemon));
    app.take(News::Update(second));
    app.take(News::Probes(data.probes.clone().unwrap()));
    app.take(News::Kills(data.kills.clone()));
    app.take(News::Update(last));
    app
}

/// Presses keys, `\n` is Enter, `\x1b` Esc, `\t` Tab.
pub fn press(app: &mut App, keys: &str) {
    for key in keys.chars() {
        let code = match key {
            '\n' => KeyCode::Enter,
            '\x1b' => KeyCode::Esc,
            '\t' => KeyCode::Tab,
            c => KeyCode::Char(c),
        };
        if let Some(action) = input::action(KeyEvent::new(code, KeyModifiers::NONE), app.focus(), false) {
            app.act(action);
        }
    }
}

/// The text on the screen.
pub fn frame(app: &mut App, theme: Theme, width: u16, height: u16) -> String {
    let screen = Rect::new(0, 0, width, height);
    for _ in 0..2 {
        app.set_screen_rows(Areas::of(app, screen).rows());
    }
    let mut buffer = Buffer::empty(screen);
    draw(app, theme, &mut buffer);
    let line = |y: u16| {
        let mut line = String::new();
        let mut x = 0;
        while x < width {
            let symbol = buffer[(x, y)].symbol();
            line.push_str(symbol);
            x += (crate::text::width(symbol) as u16).max(1);
        }
        line.trim_end().to_owned() + "\n"
    };
    (0..height).map(line).collect()
}

fn golden(name: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/top/golden").join(name);
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, actual).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(actual == expected, "{name} differs; expected:\n{expected}\nactual:\n{actual}");
}

#[test]
fn every_view_at_every_size() {
    for (width, height) in [(80, 24), (120, 40), (200, 60)] {
        for (view, keys) in [
            ("containers", ""),
            ("pods", "t"),
            ("processes", "2"),
            ("arenas", "3"),
            ("kills", "4"),
            ("probes", "5"),
            ("container", "\n"),
            ("process", "\n\n"),
            ("stacks", "\n\n\n"),
        ] {
            let mut app = app(&data());
            press(&mut app, keys);
            golden(&format!("{view}-{width}x{height}.txt"), &frame(&mut app, Theme::FULL, width, height));
        }
    }
}

#[test]
fn what_lies_over_the_rows() {
    for (name, keys) in [("filter", "/mem>90m ns=shop"), ("menu", "s"), ("help", "?"), ("paused", " ")] {
        let mut app = app(&data());
        press(&mut app, keys);
        golden(&format!("{name}.txt"), &frame(&mut app, Theme::FULL, 100, 30));
    }
    let mut app = app(&data());
    app.take(News::Report(Ok(Box::new(fixture::record(0)))));
    golden("report.txt", &frame(&mut app, Theme::FULL, 110, 30));
    let ascii = Theme { has_color: false, has_unicode: false };
    let mut app = self::app(&data());
    let text = frame(&mut app, ascii, 120, 30);
    assert!(text.is_ascii(), "{text}");
    golden("ascii.txt", &text);
}

#[test]
fn a_daemon_that_is_gone_is_said_and_its_last_figures_stay() {
    let mut app = app(&data());
    app.take(News::Link(Link::Lost("no daemon answers at /run/memtrace/memtrace.sock".into())));
    let text = frame(&mut app, Theme::FULL, 120, 30);
    assert!(text.contains("RECONNECTING"), "{text}");
    assert!(text.contains("the daemon is gone, reconnecting: no daemon answers at"), "{text}");
    assert!(text.contains("shop/cart-0/redis"), "{text}");
}

#[test]
fn names_cannot_drive_the_terminal() {
    let mut data = data();
    let snapshot = Arc::make_mut(&mut data.snapshot);
    let evil = format!("\x1b[2J\x07\u{202e}{}", "x".repeat(4096));
    for process in &mut snapshot.processes {
        Arc::make_mut(process).comm = evil.clone();
    }
    for container in &mut snapshot.containers {
        (container.name, container.cgroup) = (None, evil.clone());
    }
    for keys in ["", "t", "2", "3", "4", "5", "\n", "?"] {
        let mut app = app(&data);
        press(&mut app, keys);
        let text = frame(&mut app, Theme::FULL, 120, 40);
        let bad = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
        assert!(!text.contains(bad), "{text:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any keys on any screen, with size changes in between.
    #[test]
    fn nothing_panics(
        sizes in prop::collection::vec((1_u16..220, 1_u16..70), 1..4),
        keys in "[\n\x1b\tjkgGtsr/ioyh? <>1-5a=m~!\"]{0,40}",
        has_unicode: bool,
        is_empty: bool,
    ) {
        let theme = Theme { has_color: true, has_unicode };
        let mut app = if is_empty { App::of("") } else { app(&data()) };
        for (width, height) in sizes {
            press(&mut app, &keys);
            frame(&mut app, theme, width, height);
        }
    }
}
