//! What came of the checks of one boot.
//!
//! Checks -> values for the expected table, and what is wrong whatever the table says. Must not decide what to check.

use std::{collections::BTreeMap, fmt};

use super::verifier;

/// Values by check, as a table has them.
pub(crate) type Table = BTreeMap<String, String>;

/// Something that is not as it must be, or not as the table says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Surprise {
    pub(crate) check: String,
    pub(crate) expected: String,
    pub(crate) found: String,
}

impl Surprise {
    /// The unit that the check is of.
    pub(crate) fn unit(&self) -> &str {
        unit_of(&self.check)
    }
}

/// `own-limit.kernel.kills` is of own-limit.
pub(crate) fn unit_of(check: &str) -> &str {
    check.split('.').next().unwrap_or(check)
}

impl fmt::Display for Surprise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { check, expected, found } = self;
        write!(f, "{check}\n      expected  {expected}\n      found     {found}")
    }
}

/// The results of one boot, or of one unit of it.
#[derive(Debug, Default)]
pub(crate) struct Results {
    /// To be compared with the table.
    pub(crate) table: Table,
    /// Wrong on every kernel: no table may say otherwise.
    pub(crate) wrong: Vec<Surprise>,
    /// Figures that are worth a look and differ from run to run.
    pub(crate) remarks: Vec<String>,
}

impl Results {
    /// A value for the table, on one line.
    pub(crate) fn note(&mut self, check: String, value: &str) {
        self.table.insert(check, value.split_whitespace().collect::<Vec<_>>().join(" "));
    }

    /// Two things that must be equal.
    pub(crate) fn equal<T: PartialEq + fmt::Debug>(&mut self, check: &str, expected: &T, found: &T) {
        self.holds(check, expected == found, || (format!("{expected:?}"), format!("{found:?}")));
    }

    /// Something that must hold; `tell` says what was expected and what was found.
    pub(crate) fn holds(&mut self, check: &str, holds: bool, tell: impl FnOnce() -> (String, String)) {
        if !holds {
            let (expected, found) = tell();
            self.wrong.push(Surprise { check: check.to_owned(), expected, found });
        }
    }

    /// Something that cannot even be looked at.
    pub(crate) fn missing(&mut self, check: &str, why: &str) {
        self.holds(check, false, || ("a result".to_owned(), format!("none: {why}")));
    }

    /// Adds those of another.
    pub(crate) fn extend(&mut self, other: Self) {
        let Self { table, wrong, remarks } = other;
        for (check, value) in table {
            let kept =
                self.table.get(&check).filter(|known| verifier::is_above(&check, known, &value)).cloned();
            self.table.insert(check, kept.unwrap_or(value));
        }
        self.wrong.extend(wrong);
        self.remarks.extend(remarks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_the_table_has_one_line() {
        let mut results = Results::default();
        results.note("doctor.mmap".to_owned(), "refused:\n  invalid");
        assert_eq!(results.table["doctor.mmap"], "refused: invalid");
    }

    #[test]
    fn what_differs_is_wrong_and_what_is_equal_is_not() {
        let mut results = Results::default();
        results.equal("own-limit.pid", &Some(3), &Some(3));
        results.equal("own-limit.tid", &Some(3), &None);
        assert_eq!(results.wrong.len(), 1);
        assert_eq!(
            results.wrong[0].to_string(),
            "own-limit.tid\n      expected  Some(3)\n      found     None"
        );
    }
}
