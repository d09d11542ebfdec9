//! The live view's loop: news, keys and signals in, frames out.
//!
//! Connects the state, the views, the feed and the terminal; contains no decisions itself. A frame is drawn only after
//! an event, and at most at the rate of a screen.

use std::{
    sync::mpsc::{Receiver, Sender, channel},
    time::Duration,
};

use anyhow::{Context as _, bail};
use ratatui::crossterm::event::{self, Event};
use tokio::sync::mpsc::UnboundedSender;

use super::{
    app::{App, News, Wish},
    feed::{self, Config, Question},
    input,
    term::{Asked, Screen, listen},
    theme::Theme,
    view::{self, Areas},
};

/// An event of the loop.
enum Happening {
    News(Box<News>),
    Key(Event),
    Asked(Asked),
    /// Reading the keyboard failed.
    Deaf(std::io::Error),
}

/// How long to wait for more events before a frame is drawn, so that simultaneous events need one frame.
const TOGETHER: Duration = Duration::from_millis(5);

/// Runs until the user quits.
///
/// # Errors
/// When the terminal cannot be used, or a thread failed.
pub fn run(mut app: App, theme: Theme, config: Config) -> anyhow::Result<()> {
    let (sender, happenings) = channel();
    let questions = {
        let sender = sender.clone();
        feed::start(config, move |news| sender.send(Happening::News(Box::new(news))).is_ok())?
    };
    let signals = sender.clone();
    listen(move |asked| signals.send(Happening::Asked(asked)).is_ok())?;
    let mut screen = Screen::take()?;
    read_keys(sender)?;
    let result = go(&mut app, theme, &mut screen, &happenings, &questions);
    drop(screen);
    result
}

fn read_keys(sender: Sender<Happening>) -> anyhow::Result<()> {
    let read = move || {
        loop {
            let happening = match event::read() {
                Ok(event) => Happening::Key(event),
                Err(error) => Happening::Deaf(error),
            };
            let is_deaf = matches!(happening, Happening::Deaf(_));
            if sender.send(happening).is_err() || is_deaf {
                return;
            }
        }
    };
    std::thread::Builder::new().name("keys".to_owned()).spawn(read).context("failed to start a thread")?;
    Ok(())
}

fn go(
    app: &mut App,
    theme: Theme,
    screen: &mut Screen,
    happenings: &Receiver<Happening>,
    questions: &UnboundedSender<Question>,
) -> anyhow::Result<()> {
    let mut names_of = None;
    draw(app, theme, screen)?;
    loop {
        let first = happenings.recv().context("failed to continue: all threads have ended")?;
        let mut next = Some(first);
        while let Some(happening) = next {
            if !take(app, screen, questions, happening)? {
                return Ok(());
            }
            next = happenings.recv_timeout(TOGETHER).ok();
        }
        if Screen::has_panicked() {
            bail!("a thread failed; its message is above");
        }
        let wanted = app.wants_names_of();
        if wanted != names_of {
            names_of = wanted;
            // The feed ends only after this loop.
            let _ = questions.send(Question::Names(wanted));
        }
        draw(app, theme, screen)?;
    }
}

/// Handles one event; false to end.
fn take(
    app: &mut App,
    screen: &mut Screen,
    questions: &UnboundedSender<Question>,
    happening: Happening,
) -> anyhow::Result<bool> {
    let wish = match happening {
        Happening::News(news) => {
            app.take(*news);
            None
        }
        Happening::Key(Event::Key(key)) => {
            for key in input::pressed(key) {
                // One after the other, because the meaning of a key depends on the focus.
                let action = input::action(key, app.focus(), app.is_in_the_past());
                let wish = action.and_then(|action| app.act(action));
                if !fulfil(app, screen, questions, wish)? {
                    return Ok(false);
                }
            }
            None
        }
        Happening::Key(Event::Paste(text)) => {
            for c in text.chars() {
                app.act(input::Action::Type(c));
            }
            None
        }
        // A resize needs no action besides drawing.
        Happening::Key(Event::Resize(..) | Event::FocusGained | Event::FocusLost | Event::Mouse(_)) => None,
        Happening::Asked(Asked::End) => Some(Wish::Quit),
        Happening::Asked(Asked::Stop) => Some(Wish::Suspend),
        Happening::Asked(Asked::GoOn) => {
            screen.go_on()?;
            None
        }
        Happening::Deaf(error) => return Err(error).context("failed to read the keyboard"),
    };
    fulfil(app, screen, questions, wish)
}

/// Fulfils a wish of the state; false to end.
fn fulfil(
    app: &mut App,
    screen: &mut Screen,
    questions: &UnboundedSender<Question>,
    wish: Option<Wish>,
) -> anyhow::Result<bool> {
    match wish {
        None => {}
        Some(Wish::Quit) => return Ok(false),
        Some(Wish::Suspend) => screen.stop()?,
        Some(Wish::Redraw) => screen.go_on()?,
        Some(Wish::Record(id)) => {
            app.say("reading the report".to_owned());
            let _ = questions.send(Question::Record(id));
        }
        Some(Wish::Copy(text)) => {
            screen.copy(&text).context("failed to write to the terminal")?;
            app.say(format!("copied: {}", text.lines().next().unwrap_or_default()));
        }
        Some(Wish::Step(by)) => {
            let _ = questions.send(Question::Step(by));
        }
    }
    Ok(true)
}

fn draw(app: &mut App, theme: Theme, screen: &mut Screen) -> anyhow::Result<()> {
    let drawn = screen.terminal().draw(|frame| {
        let area = frame.area();
        // Twice, because the visible rows may need additional lines, which leave less room for rows.
        for _ in 0..2 {
            app.set_screen_rows(Areas::of(app, area).rows());
        }
        view::draw(app, theme, frame.buffer_mut());
    });
    drawn.context("failed to draw")?;
    Ok(())
}
