//! What a guest said.
//!
//! Text of its second serial line -> sections. Must not know what any of them means.

/// Sections in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Transcript {
    sections: Vec<(String, String)>,
}

const MARK: &str = "=== ";
const END: &str = "end";

/// The unit that a line is the first of a section of: `doctor` of `=== doctor/exit`.
pub(crate) fn unit(line: &str) -> Option<&str> {
    line.strip_prefix(MARK)?.trim_end().split('/').next()
}

impl Transcript {
    /// `=== NAME`, and the lines below it.
    pub(crate) fn parse(text: &str) -> Self {
        let mut sections: Vec<(String, String)> = Vec::new();
        for line in text.lines() {
            if let Some(name) = line.strip_prefix(MARK) {
                sections.push((name.trim_end().to_owned(), String::new()));
            } else if let Some((_, body)) = sections.last_mut() {
                body.push_str(line.trim_end_matches('\r'));
                body.push('\n');
            }
        }
        Self { sections }
    }

    /// True when the guest came to the end of its plan.
    pub(crate) fn is_whole(&self) -> bool {
        self.sections.last().is_some_and(|(name, _)| name == END)
    }

    /// The first section of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Every section of this name.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.sections.iter().filter(move |(known, _)| known == name).map(|(_, body)| body.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_told_apart_by_name() {
        let said =
            Transcript::parse("noise\n=== a/log\none\ntwo\n=== a/record\n{}\n=== a/record\n[]\n=== end\n");
        assert_eq!(said.get("a/log"), Some("one\ntwo\n"));
        assert_eq!(said.all("a/record").collect::<Vec<_>>(), ["{}\n", "[]\n"]);
        assert_eq!(said.get("b"), None);
        assert!(said.is_whole());
    }

    #[test]
    fn a_guest_that_died_has_no_end() {
        assert!(!Transcript::parse("=== a/log\none\n").is_whole());
        assert!(!Transcript::parse("").is_whole());
    }
}
