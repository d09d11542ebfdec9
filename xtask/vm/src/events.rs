//! The events themselves, on this kernel: memtrace's own root tests, run in the guest.
//!
//! What the test program printed -> one value for each test. Must not know the tests: one that is gone, or new, is a
//! surprise of the table.

use super::{results::Results, transcript::Transcript};
use xtask_base::process;

/// The unit that all of them are of.
pub(crate) const UNIT: &str = "events";
const PASSED: &str = "ok";
/// Lines that are shown of a run with a failure.
const TAIL: usize = 40;

/// One value for each test; what failed says why.
pub(crate) fn measure(said: &Transcript) -> Results {
    let mut results = Results::default();
    let (Some(printed), Some(exit)) = (said.get("events/printed"), said.get("events/exit")) else {
        results.missing(UNIT, "the tests did not end");
        return results;
    };
    let tests: Vec<(&str, &str)> = printed.lines().filter_map(test).collect();
    for (name, outcome) in &tests {
        results.note(format!("{UNIT}.{}", name.replace("::", ".")), outcome);
    }
    let failed = tests.iter().any(|(_, outcome)| *outcome != PASSED);
    let ended = exit.trim() == "0" && !failed && !tests.is_empty();
    results.holds(&format!("{UNIT}.exit"), ended, || {
        ("0, and every test passed".to_owned(), format!("{}:\n{}", exit.trim(), process::tail(printed, TAIL)))
    });
    results
}

/// `test events::faults_are_sampled ... ok`
fn test(line: &str) -> Option<(&str, &str)> {
    let (name, outcome) = line.strip_prefix("test ")?.split_once(" ... ")?;
    Some((name, outcome.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(printed: &str, exit: &str) -> Results {
        measure(&Transcript::parse(&format!("=== events/printed\n{printed}\n=== events/exit\n{exit}\n")))
    }

    #[test]
    fn each_test_is_a_value() {
        let Results { table, wrong, remarks: _ } =
            measured("\ntest events::a ... ok\n\ntest result: ok. 1 passed", "0");
        assert_eq!(wrong, []);
        assert_eq!(table["events.events.a"], "ok");
    }

    #[test]
    fn a_test_that_failed_and_a_run_without_tests_are_wrong() {
        assert!(measured("test events::a ... FAILED\nleft: 1", "101").wrong[0].found.contains("left: 1"));
        assert_eq!(measured("test result: ok. 0 passed", "0").wrong.len(), 1);
        assert_eq!(measure(&Transcript::default()).wrong.len(), 1);
    }
}
