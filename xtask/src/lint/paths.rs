//! Paths of one machine have no place in the project.
//!
//! A file's text and this machine's own places -> the lines that name one.
//! Must not judge paths that every Linux machine has.

use std::{env, path::Path};

/// Where this checkout and its user live.
pub(crate) fn places(root: &Path) -> Vec<String> {
    let home = env::home_dir();
    let places = [Some(root), home.as_deref()].into_iter().flatten();
    places.filter(|place| place.parent().is_some()).map(|place| place.display().to_string()).collect()
}

/// One problem a line that names such a place.
pub(crate) fn check(name: &str, text: &str, places: &[String]) -> Vec<String> {
    let lines = (1..).zip(text.lines());
    let named = lines.filter_map(|(line, text)| {
        let place = places.iter().find(|place| names(text, place))?;
        Some(format!("{name}:{line}: contains {place}, a path of this machine: use a relative path"))
    });
    named.collect()
}

/// True where a path below the place starts: for `/me`, in `/me/x`, but not in `/api/me/x` or `/mean/x`.
fn names(text: &str, place: &str) -> bool {
    text.match_indices(place).any(|(at, _)| {
        let before = text.get(..at).and_then(|text| text.chars().next_back());
        let after = text.get(at + place.len()..).and_then(|text| text.chars().next());
        !before.is_some_and(is_part_of_a_name) && after == Some('/')
    })
}

fn is_part_of_a_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '}' | ')')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(text: &str) -> usize {
        check("a.md", text, &["/builds/memtrace".to_owned(), "/me".to_owned()]).len()
    }

    #[test]
    fn a_path_below_a_place_is_a_problem_on_its_line() {
        let found = check("a.md", "x\nsee `/me/.cargo`\n", &["/me".to_owned()]);
        assert_eq!(found, ["a.md:2: contains /me, a path of this machine: use a relative path"]);
        assert_eq!(lines_of("cd /builds/memtrace/xtask"), 1);
    }

    #[test]
    fn a_name_that_only_looks_like_a_place_is_none() {
        assert_eq!(lines_of("tests/me/main.rs, /mean/x, {}/me/x, /me"), 0);
    }
}
