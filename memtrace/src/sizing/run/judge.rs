//! The exit code of `memtrace run`.
//!
//! Runs, a judged budget, the result of a search -> a code. The only place that decides it.

use super::{
    End, Run,
    budget::{Judged, is_broken},
    search::Found,
};

/// A budget was broken, or the OOM killer came.
pub const BROKEN: u8 = 5;
/// Codes from here on are those of signals, or of a command that chose one.
const SIGNALS: u8 = 128;
/// A search that found no limit.
const NOT_FOUND: u8 = 1;

/// The code. Of several runs the first that failed counts. The kills of a search are wanted, and count for nothing.
pub fn exit_code(runs: &[Run], judged: &[Judged], search: Option<&Found>) -> u8 {
    if is_broken(judged) || runs.iter().any(Run::was_killed) {
        return BROKEN;
    }
    if let Some(failed) = runs.iter().map(|run| run.end.code()).find(|code| *code != 0) {
        return failed;
    }
    match search {
        Some(found) if found.limit_bytes.is_none() => NOT_FOUND,
        _ => 0,
    }
}

/// The code of a page that was compared. A regression is a broken budget; what was cut short by a signal ends by it, and
/// is no whole page.
pub fn against(code: u8, runs: &[Run], is_regression: bool) -> u8 {
    let is_whole = code < SIGNALS || runs.iter().any(|run| run.end == End::Exited(code));
    if is_regression && is_whole { BROKEN } else { code }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            budget::{Judged, State},
            fixture::run,
        },
        *,
    };

    fn ended(end: End, oom_kills: u64) -> Run {
        Run { end, oom_kills: Some(oom_kills), ..run(1) }
    }

    #[test]
    fn a_regression_ends_with_five_unless_a_signal_ended_the_run() {
        use End::{Exited, Signalled};
        for (wanted, code, end, is_regression) in [
            (BROKEN, 0, Exited(0), true),
            (BROKEN, 7, Exited(7), true),
            (BROKEN, 200, Exited(200), true),
            (BROKEN, BROKEN, Exited(0), false),
            (143, 143, Signalled(15), true),
            // Ended by Ctrl-C between two runs.
            (130, 130, Exited(0), true),
            (0, 0, Exited(0), false),
            (7, 7, Exited(7), false),
        ] {
            assert_eq!(
                against(code, &[ended(end, 0)], is_regression),
                wanted,
                "{code} {end:?} {is_regression}"
            );
        }
    }

    #[test]
    fn exit_codes() {
        use End::{Exited, Signalled};
        let judged =
            |state| Judged { what: "peak".to_owned(), allowed: String::new(), seen: None, state, why: None };
        for (code, end, kills, state) in [
            (0, Exited(0), 0, State::Kept),
            (7, Exited(7), 0, State::Kept),
            (143, Signalled(15), 0, State::Kept),
            // Killed by somebody, and not for memory.
            (137, Signalled(9), 0, State::Kept),
            (BROKEN, Signalled(9), 1, State::Kept),
            // It lives on after its child was killed.
            (BROKEN, Exited(0), 1, State::Kept),
            (BROKEN, Exited(0), 0, State::Broken),
            (BROKEN, Exited(7), 0, State::Broken),
            (0, Exited(0), 0, State::Unknown),
            (3, Exited(3), 0, State::Unknown),
        ] {
            assert_eq!(
                exit_code(&[ended(end, kills)], &[judged(state)], None),
                code,
                "{end:?} {kills} {state:?}"
            );
        }
        let series = [Exited(0), Exited(4), Exited(5)].map(|end| ended(end, 0));
        assert_eq!(exit_code(&series, &[], None), 4);
        assert_eq!(exit_code(&[], &[], None), 0);
    }
}
