//! What a stage that failed has to say, short enough to stand at the end of a long log.
//!
//! The output of a stage -> the part that tells what failed. Must not read or print anything.

use xtask_base::process::tail;

/// Begins the part at the end of a run that this module made; a stage that runs stages passes on what it told there.
pub(super) const HEADING: &str = "=== What failed";

/// Most logs that are kept by others are cut to some ten thousand characters.
const MOST_CHARS: usize = 6_000;
/// Of each test: from where it panicked, the assertion and both values; what follows is mostly a backtrace.
const LINES_OF_A_PANIC: usize = 10;
/// What it printed last before that.
const LINES_BEFORE: usize = 4;
const LINES_OF_THE_REST: usize = 25;
const CHARS_OF_A_LINE: usize = 600;

/// The tests that failed with what they printed, or the last lines where no test harness reports.
pub(super) fn excerpt(output: &str) -> String {
    let told = output.rsplit_once(HEADING).map_or_else(|| tests_of(output), |(_, told)| told.to_owned());
    let told = if told.trim().is_empty() { tail(output, LINES_OF_THE_REST) } else { told };
    bounded(told.trim())
}

/// The sections `---- name stdout ----` of the test harness.
fn tests_of(output: &str) -> String {
    let mut sections: Vec<Vec<&str>> = Vec::new();
    let mut is_inside = false;
    for line in output.lines().filter(|line| !line.is_empty()) {
        if line.starts_with("---- ") && line.ends_with(" ----") {
            is_inside = true;
            sections.push(Vec::new());
        } else if line == "failures:" || line.starts_with("test result:") {
            is_inside = false;
        }
        if let Some(section) = sections.last_mut().filter(|_| is_inside) {
            section.push(line);
        }
    }
    sections.iter().flat_map(|section| of_test(section)).collect::<Vec<_>>().join("\n")
}

/// Its name, and the lines around its panic.
fn of_test<'a>(section: &[&'a str]) -> Vec<&'a str> {
    let panic = section.iter().position(|line| line.contains("panicked at"));
    let panic = panic.unwrap_or_else(|| section.len().saturating_sub(LINES_OF_A_PANIC)).max(1);
    let from = panic.saturating_sub(LINES_BEFORE).max(1);
    let shown = section.iter().skip(from).take(panic - from + LINES_OF_A_PANIC);
    section.iter().take(1).chain(shown).copied().collect()
}

fn bounded(text: &str) -> String {
    let short = |line: &str| line.chars().take(CHARS_OF_A_LINE).collect::<String>();
    let text = text.lines().map(short).collect::<Vec<_>>().join("\n");
    let more = text.chars().count().saturating_sub(MOST_CHARS);
    if more == 0 {
        return text;
    }
    let kept: String = text.chars().take(MOST_CHARS).collect();
    format!("{kept}\n({more} more characters)")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HARNESS: &str = "running 2 tests\ntest a ... ok\ntest b ... FAILED\n\nfailures:\n\n---- b stdout ----\n\nthread 'b' panicked at x.rs:1:\nassertion failed: `left`\n\n\nfailures:\n    b\n\ntest result: FAILED. 1 passed; 1 failed\nerror: test failed\n";

    #[test]
    fn a_test_that_failed_is_told_with_its_assertion() {
        let told = "---- b stdout ----\nthread 'b' panicked at x.rs:1:\nassertion failed: `left`";
        assert_eq!(excerpt(HARNESS), told);
    }

    #[test]
    fn what_it_printed_does_not_hide_its_panic() {
        let said: String = (1..=50).map(|n| format!("said {n}\n")).collect();
        let told = excerpt(&HARNESS.replace("\n\nthread", &format!("\n\n{said}thread")));
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines[..2], ["---- b stdout ----", "said 47"]);
        assert_eq!(lines[5..], ["thread 'b' panicked at x.rs:1:", "assertion failed: `left`"]);
    }

    #[test]
    fn without_a_harness_the_last_lines_are_told() {
        let output: String = (1..=100).map(|n| format!("line {n}\n")).collect();
        let told = excerpt(&output);
        assert_eq!(told.lines().next(), Some("line 76"));
        assert_eq!(told.lines().last(), Some("line 100"));
    }

    #[test]
    fn a_stage_of_stages_passes_on_what_it_told() {
        let output = format!("{HARNESS}\n{HEADING}\n--- root\nwhy\n");
        assert_eq!(excerpt(&output), "--- root\nwhy");
    }

    #[test]
    fn a_flood_is_cut_and_says_so() {
        let told = excerpt(&format!("---- b stdout ----\n{}", "ä".repeat(10_000).as_str()));
        assert_eq!(told.chars().count(), "---- b stdout ----\n".len() + CHARS_OF_A_LINE);
        let many: String =
            (0..1_000).map(|n| format!("---- test {n} stdout ----\n{}\n", "x".repeat(50))).collect();
        let told = excerpt(&many);
        assert!(told.ends_with("more characters)"), "{told}");
        assert!(told.chars().count() < MOST_CHARS + 40);
    }
}
