//! Bounded waiting that ctrl-c ends.
//!
//! A probe and a deadline -> what the probe found. Must not wait without a bound.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

const STEP: Duration = Duration::from_millis(100);

/// Waits until something happens, the time is over, or somebody wants us to stop.
#[derive(Debug)]
pub(crate) struct Patience {
    is_interrupted: Arc<AtomicBool>,
}

impl Patience {
    /// From here on a signal ends the next wait instead of the process, so that guards are dropped.
    pub(crate) fn until_interrupted() -> Result<Self> {
        let is_interrupted = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&is_interrupted))
                .with_context(|| format!("failed to listen for signal {signal}"))?;
        }
        Ok(Self { is_interrupted })
    }

    /// Asks `probe` until it has an answer; `what` completes "failed to".
    pub(crate) fn wait<T>(
        &self,
        what: &str,
        limit: Duration,
        mut probe: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let start = Instant::now();
        loop {
            if self.is_interrupted.load(Ordering::Relaxed) {
                bail!("interrupted");
            }
            if let Some(answer) = probe()? {
                return Ok(answer);
            }
            if start.elapsed() > limit {
                bail!("failed to {what} within {} s", limit.as_secs());
            }
            thread::sleep(STEP);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patience(is_interrupted: bool) -> Patience {
        Patience { is_interrupted: Arc::new(AtomicBool::new(is_interrupted)) }
    }

    #[test]
    fn a_wait_ends_with_the_answer() {
        assert_eq!(patience(false).wait("see", Duration::ZERO, || Ok(Some(1))).unwrap(), 1);
    }

    #[test]
    fn a_wait_ends_when_its_time_is_over() {
        let error = patience(false).wait("see", Duration::ZERO, || Ok(None::<()>)).unwrap_err();
        assert_eq!(error.to_string(), "failed to see within 0 s");
    }

    #[test]
    fn an_interrupted_wait_does_not_ask() {
        let error = patience(true).wait("see", Duration::MAX, || Ok(Some(1))).unwrap_err();
        assert_eq!(error.to_string(), "interrupted");
    }
}
