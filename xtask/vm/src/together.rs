//! Several jobs at a time.
//!
//! Jobs -> what came of each, in their order. Must not start another after one has failed.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use anyhow::{Context as _, Result};

/// Does all of them, `at_once` at a time; the first that failed, in their order, is the error.
pub(crate) fn each<J: Sync, R: Send>(
    jobs: &[J],
    at_once: usize,
    work: impl Fn(&J) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let (next, has_failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let done: Mutex<Vec<(usize, Result<R>)>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..at_once.clamp(1, jobs.len().max(1)) {
            scope.spawn(|| {
                while !has_failed.load(Relaxed) {
                    let number = next.fetch_add(1, Relaxed);
                    let Some(job) = jobs.get(number) else { return };
                    let result = work(job);
                    if result.is_err() {
                        has_failed.store(true, Relaxed);
                    }
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((number, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(number, _)| *number);
    let results: Vec<R> = done.into_iter().map(|(_, result)| result).collect::<Result<_>>()?;
    (results.len() == jobs.len()).then_some(results).context("failed to do all of it")
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use anyhow::bail;

    use super::*;

    #[test]
    fn two_are_done_at_a_time_and_come_back_in_order() {
        // Nobody passes it alone.
        let pair = Barrier::new(2);
        let results = each(&[1, 2, 3, 4], 2, |job| {
            pair.wait();
            Ok(job * 10)
        });
        assert_eq!(results.unwrap(), [10, 20, 30, 40]);
    }

    #[test]
    fn nothing_is_started_after_a_failure() {
        let started = AtomicUsize::new(0);
        let results: Result<Vec<()>> = each(&[1, 2, 3], 1, |job| {
            started.fetch_add(1, Relaxed);
            if *job == 2 { bail!("no") } else { Ok(()) }
        });
        assert_eq!(results.unwrap_err().to_string(), "no");
        assert_eq!(started.into_inner(), 2);
        assert_eq!(each(&[] as &[u8], 2, |_| Ok(())).unwrap(), []);
    }
}
