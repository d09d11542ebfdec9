//! The sides of a comparison by name: baselines, files, spans and versions of a workload's history, what runs now.
//!
//! A word and where things are -> [`Side`]. Must not write anything. docs/diff.md has the syntax.

mod history;

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::Args;
use jiff::Timestamp;

use super::{
    Failure,
    args::SocketArgs,
    explain::{Looks, explanations},
};
use crate::{
    sizing::{diff::side::Side, saved},
    store::baselines::{BaselineError, Baselines},
};

/// Where sides are looked for.
#[derive(Debug, Args)]
pub struct SideArgs {
    /// Do not ask the daemon for what runs now; read this machine once, as root.
    #[arg(long, global = true)]
    pub alone: bool,
    /// Unix socket of the daemon [default: /run/memtrace/memtrace.sock].
    #[arg(long, global = true, value_name = "PATH", env = "MEMTRACE_SOCKET")]
    pub socket: Option<PathBuf>,
    /// State directory, with the history and the baselines.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "MEMTRACE_STATE_DIR",
        default_value = "/var/lib/memtrace"
    )]
    pub state_dir: PathBuf,
}

/// What a word names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named<'a> {
    Baseline(&'a str),
    File(&'a str),
    History(&'a str),
    Live(&'a str),
    /// The first of these that there is.
    Any(&'a str),
}

impl<'a> Named<'a> {
    fn of(word: &'a str) -> Self {
        match word.split_once(':') {
            Some(("baseline", name)) => Self::Baseline(name),
            Some(("file", path)) => Self::File(path),
            Some(("history", part)) => Self::History(part),
            Some(("live" | "pid", target)) => Self::Live(target),
            _ => Self::Any(word),
        }
    }
}

impl SideArgs {
    /// The side that a word names.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn side(&self, word: &str) -> Result<Side, Failure> {
        match Named::of(word) {
            Named::Baseline(name) => self.baseline(name),
            Named::File(path) => file(Path::new(path)),
            Named::History(word) => {
                let found = history::side(&self.state_dir, word, Timestamp::now())?;
                found.ok_or_else(|| Failure::Failed(history::unknown(&self.state_dir, word)))
            }
            Named::Live(target) => self.live(word, target),
            Named::Any(word) => self.any(word),
        }
    }

    fn baseline(&self, name: &str) -> Result<Side, Failure> {
        let name = saved::name(name).map_err(|error| Failure::Usage(anyhow!(error)))?;
        Ok(Baselines::of(&self.state_dir).load(&name)?.side())
    }

    fn any(&self, word: &str) -> Result<Side, Failure> {
        let is_path = word.contains('/') || Path::new(word).extension().is_some_and(|end| end == "json");
        if is_path && Path::new(word).is_file() {
            return file(Path::new(word));
        }
        if let Ok(name) = saved::name(word) {
            match Baselines::of(&self.state_dir).load(&name) {
                Err(BaselineError::Missing { .. }) => {}
                found => return Ok(found?.side()),
            }
        }
        if let Some(side) = history::side(&self.state_dir, word, Timestamp::now())? {
            return Ok(side);
        }
        // Whoever meant something else should read what there is.
        let nothing_else = |error: anyhow::Error| {
            anyhow!(
                "{word:?} is no baseline, no file, and no workload of the history in {}; as something that runs now: \
                 {error:#}. `memtrace baseline list`, `memtrace advise` and `memtrace top` list what there is",
                self.state_dir.display()
            )
        };
        self.live(word, word).map_err(|failure| match failure {
            Failure::Usage(error) => Failure::Usage(nothing_else(error)),
            Failure::NotPermitted(error) => Failure::NotPermitted(nothing_else(error)),
            failure => failure,
        })
    }

    fn live(&self, word: &str, target: &str) -> Result<Side, Failure> {
        let all =
            explanations(&SocketArgs { socket: self.socket.clone() }, self.alone, &[target], Looks::None)?;
        let explanation =
            all.first().ok_or_else(|| Failure::Failed(anyhow!("nothing was read of {target}")))?;
        Ok(Side::of_look(word, explanation))
    }
}

fn file(path: &Path) -> Result<Side, Failure> {
    let mut side = Baselines::read(path)?.side();
    side.name = path.display().to_string();
    Ok(side)
}

#[cfg(test)]
mod tests {
    use super::Named;

    #[test]
    fn a_prefix_says_what_is_meant() {
        assert_eq!(Named::of("pid:12"), Named::Live("12"));
        assert_eq!(Named::of("history:getty@tty1.service"), Named::History("getty@tty1.service"));
        assert_eq!(Named::of("shop/cart/redis@1d.."), Named::Any("shop/cart/redis@1d.."));
    }
}
