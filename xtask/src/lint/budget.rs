//! The line budget.
//!
//! A file's name and text -> a problem when it is too long. Must not make exceptions: they would spread.

/// Lines of the longest Rust file that a reader is asked to hold in mind.
const MOST: usize = 400;

/// The problem with this file's length, if there is one.
pub(crate) fn check(name: &str, text: &str) -> Option<String> {
    let lines = text.lines().count();
    let is_too_long = name.ends_with(".rs") && lines > MOST;
    is_too_long.then(|| format!("{name}: {lines} lines, allowed are {MOST}: split it by topic"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_at_the_limit_passes_and_one_above_does_not() {
        assert_eq!(check("a.rs", &"x\n".repeat(MOST)), None);
        assert!(check("a.rs", &"x\n".repeat(MOST + 1)).unwrap().starts_with("a.rs: 401 lines"));
    }

    #[test]
    fn only_rust_has_a_budget() {
        assert_eq!(check("a.md", &"x\n".repeat(MOST + 1)), None);
    }
}
