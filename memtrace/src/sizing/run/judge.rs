//! The exit code of `memtrace run`.
//!
//! Runs, a judged budget, the result of a search -> a code. The only place that decides it.

use super::{
    Run,
    budget::{Judged, is_broken},
    search::Found,
};

/// A budget was broken, or the OOM killer came.
pub const BROKEN: u8 = 5;
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

#[cfg(test)]
mod tests {
    use super::{
        super::{
            End,
            budget::{Judged, State},
            fixture::run,
        },
        *,
    };

    fn ended(end: End, oom_kills: u64) -> Run {
        Run { end, oom_kills: Some(oom_kills), ..run(1) }
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
