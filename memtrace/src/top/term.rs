//! Sets up the terminal for the live view, and restores it in any case.
//!
//! Raw mode and the alternate screen are left at the end, on a panic, on SIGTERM, SIGINT and SIGHUP, and while the
//! process is stopped.

use std::{
    io::{self, Write as _},
    panic,
    sync::{
        Once,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::Context as _;
use ratatui::{
    Terminal,
    backend::CrosstermBackend,
    crossterm::{
        cursor, execute,
        terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
    },
};
use rustix::process::{Signal, getpid, kill_process};
use tokio::signal::unix::{SignalKind, signal};

/// True while the terminal is set up.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);
/// True after a thread has panicked.
static HAS_PANICKED: AtomicBool = AtomicBool::new(false);
static HOOK: Once = Once::new();

/// A request by a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Terminate.
    End,
    /// Stop until SIGCONT.
    Stop,
    /// Continued by SIGCONT; another program had the terminal.
    GoOn,
}

/// The terminal while it is set up.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<io::Stdout>>,
}

impl Screen {
    /// Sets up the terminal.
    ///
    /// # Errors
    /// When it cannot be set up.
    pub fn take() -> anyhow::Result<Self> {
        HOOK.call_once(|| {
            let report = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                HAS_PANICKED.store(true, Ordering::Relaxed);
                give_back();
                report(info);
            }));
        });
        enter()?;
        let terminal = Terminal::new(CrosstermBackend::new(io::stdout()));
        let terminal = terminal.inspect_err(|_| give_back()).context("failed to open the terminal")?;
        Ok(Self { terminal })
    }

    /// The terminal to draw on.
    pub fn terminal(&mut self) -> &mut Terminal<CrosstermBackend<io::Stdout>> {
        &mut self.terminal
    }

    /// Restores the terminal, stops the process, and sets the terminal up again when it continues.
    ///
    /// # Errors
    /// When the process cannot be stopped, or the terminal cannot be set up again.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        give_back();
        // Not SIGTSTP, which this program handles.
        kill_process(getpid(), Signal::STOP).context("failed to stop")?;
        self.go_on()
    }

    /// Sets up the terminal again after another program used it.
    ///
    /// # Errors
    /// When it cannot be set up.
    pub fn go_on(&mut self) -> anyhow::Result<()> {
        enter()?;
        self.terminal.clear().context("failed to clear the terminal")
    }

    /// Copies text to the clipboard of the terminal (OSC 52).
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn copy(&mut self, text: &str) -> io::Result<()> {
        let mut out = io::stdout();
        write!(out, "\x1b]52;c;{}\x07", base64(text.as_bytes()))?;
        out.flush()
    }

    /// True after a thread has panicked: its message is on the terminal and must not be overdrawn.
    pub fn has_panicked() -> bool {
        HAS_PANICKED.load(Ordering::Relaxed)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn enter() -> anyhow::Result<()> {
    enable_raw_mode().context("failed to set up the terminal")?;
    IS_TAKEN.store(true, Ordering::Relaxed);
    execute!(io::stdout(), EnterAlternateScreen, cursor::Hide)
        .inspect_err(|_| give_back())
        .context("failed to set up the terminal")
}

/// Restores the terminal; errors are ignored, because the terminal may be gone.
fn give_back() {
    if IS_TAKEN.swap(false, Ordering::Relaxed) {
        let _ = execute!(io::stdout(), LeaveAlternateScreen, cursor::Show);
        let _ = disable_raw_mode();
    }
}

/// Passes signals to `ask`, in a thread of its own, until it returns false.
///
/// # Errors
/// When the signal handlers cannot be installed.
pub fn listen(ask: impl Fn(Asked) -> bool + Send + 'static) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime for signals")?;
    let mut signals = {
        let _inside = runtime.enter();
        [
            (SignalKind::terminate(), Asked::End),
            (SignalKind::interrupt(), Asked::End),
            (SignalKind::hangup(), Asked::End),
            (SignalKind::from_raw(Signal::TSTP.as_raw()), Asked::Stop),
            (SignalKind::from_raw(Signal::CONT.as_raw()), Asked::GoOn),
        ]
        .map(|(kind, asked)| signal(kind).map(|signal| (signal, asked)))
        .into_iter()
        .collect::<io::Result<Vec<_>>>()
        .context("failed to listen for signals")?
    };
    let wait = move || {
        runtime.block_on(async {
            loop {
                let next = std::future::poll_fn(|context| {
                    let came = signals.iter_mut().find_map(|(signal, asked)| {
                        matches!(signal.poll_recv(context), std::task::Poll::Ready(Some(())))
                            .then_some(*asked)
                    });
                    came.map_or(std::task::Poll::Pending, std::task::Poll::Ready)
                });
                if !ask(next.await) {
                    return;
                }
            }
        });
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(wait).context("failed to start a thread")?;
    Ok(())
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let index = (word >> (18 - 6 * digit)) as usize & 63;
            let is_there = digit <= chunk.len();
            out.push(DIGITS.get(index).filter(|_| is_there).map_or('=', |digit| char::from(*digit)));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::base64;

    /// The examples of RFC 4648, section 10.
    #[test]
    fn base64_is_that_of_the_rfc() {
        for (text, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(text.as_bytes()), coded);
        }
    }
}
