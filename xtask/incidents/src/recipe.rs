//! Recipes: one file each, `incidents/NAME.toml`.
//!
//! TOML -> [`Recipe`], or what is wrong with it. Pure. Must not know what this machine has.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

/// An incident: a program, the limit that it runs into, and what is true about it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recipe {
    /// The name of its file.
    #[serde(skip)]
    pub(crate) name: String,
    /// One line for people.
    pub(crate) about: String,
    /// The kind of incident, by which recipes can be chosen.
    pub(crate) kind: String,
    /// Programs on PATH, files with an absolute path, or `debian-tree`: without one of them it is not run.
    #[serde(default)]
    pub(crate) needs: Vec<String>,
    /// Commands that make its program, in `{out}`.
    #[serde(default)]
    pub(crate) build: Vec<Vec<String>>,
    /// Its command line.
    pub(crate) run: Vec<String>,
    #[serde(default)]
    pub(crate) environment: BTreeMap<String, String>,
    /// What is drawn for each run.
    #[serde(default)]
    pub(crate) parameters: BTreeMap<String, Range>,
    /// MiB that its cgroup may have.
    pub(crate) limit_mib: String,
    /// How it ends.
    pub(crate) end: Ends,
    /// It is given up after this time.
    #[serde(default = "two_minutes")]
    pub(crate) seconds: u64,
    /// `--quick` leaves it out: a draw takes longer than half a minute.
    #[serde(default)]
    pub(crate) is_slow: bool,
    /// From its word that it is ready to the question.
    #[serde(default)]
    pub(crate) settle_seconds: u64,
    /// Once it is ready, its limit is lowered to so many MiB, and it is told to go on.
    pub(crate) lower_to_mib: Option<String>,
    /// Another program under the same limit.
    pub(crate) beside: Option<Beside>,
    /// Who is asked about, where nobody is killed.
    #[serde(default)]
    pub(crate) ask: Ask,
    pub(crate) truth: Truth,
    pub(crate) remedy: Remedy,
}

/// How a run ends.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ends {
    /// The kernel kills a process at the limit; the record is judged.
    Killed,
    /// The program prints `ready` and lives; `memtrace explain` is judged.
    Ready,
}

/// Who is asked about.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ask {
    /// The cgroup.
    #[default]
    Group,
    /// The process.
    Process,
    /// The process beside it.
    Beside,
}

/// A second program.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Beside {
    pub(crate) run: Vec<String>,
    /// Each of both has a cgroup of its own, below the one with the limit.
    #[serde(default)]
    pub(crate) is_apart: bool,
}

/// Where a parameter's value comes from.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(crate) enum Range {
    /// A whole number, both ends included.
    Number { from: i64, to: i64 },
    /// A part of another parameter.
    Share { of: String, from_percent: i64, to_percent: i64 },
    /// One of these words.
    Word { one_of: Vec<String> },
}

/// What is true.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Truth {
    /// Every headline that is right: the kind of a cause or of a finding; `none` where nothing is wrong.
    pub(crate) headline: Vec<String>,
    /// The allocator with most of the anonymous memory.
    pub(crate) owner: Option<String>,
    /// The largest kind of memory: `anon`, `file`, `shmem`, `kernel`.
    pub(crate) part: Option<String>,
    /// The function that takes the memory.
    pub(crate) function: Option<String>,
    /// Figures that the program writes down itself, to be compared.
    #[serde(default)]
    pub(crate) figures: Vec<String>,
    /// The largest error of these figures.
    #[serde(default = "two_percent")]
    pub(crate) error_percent: f64,
    /// After the question the program is killed, and the time until then was foretold.
    #[serde(default)]
    pub(crate) is_killed_later: bool,
}

/// How the advice is put to the test.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Remedy {
    pub(crate) how: How,
    /// Where there is nothing to try: why.
    pub(crate) why: Option<String>,
    /// What stands in place of `{setting}` before there is advice.
    #[serde(default)]
    pub(crate) setting: String,
    /// The function that the program is told to call, for `how = "calls"`.
    #[serde(default)]
    pub(crate) call: String,
}

/// The kinds of tests.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum How {
    /// With the advised limit the same load gets ready.
    Limit,
    /// With the advised setting the same load gets ready.
    Setting,
    /// With the advised setting it takes less, by as much as was told.
    Frees,
    /// The first advice is to call a function: with it, it takes less by as much as was told.
    Calls,
    /// It was said that a higher limit only delays the next kill: with one and a half times the limit it is killed again.
    Delays,
    /// There is nothing that could be tried.
    None,
}

fn two_minutes() -> u64 {
    120
}

fn two_percent() -> f64 {
    2.0
}

impl Recipe {
    /// Reads one; `name` is that of its file, without the extension.
    pub(crate) fn parse(name: &str, text: &str) -> Result<Self> {
        let recipe: Self =
            basic_toml::from_str(text).with_context(|| format!("failed to read incidents/{name}.toml"))?;
        let recipe = Self { name: name.to_owned(), ..recipe };
        recipe.check().with_context(|| format!("incidents/{name}.toml"))?;
        Ok(recipe)
    }

    /// Whether it is chosen by any of these words; by none of them all are.
    pub(crate) fn is_chosen(&self, words: &[String]) -> bool {
        words.is_empty() || words.iter().any(|word| *word == self.name || *word == self.kind)
    }

    fn check(&self) -> Result<()> {
        if self.run.is_empty() || self.truth.headline.is_empty() {
            bail!("`run` and `truth.headline` must not be empty");
        }
        if self.remedy.how == How::None && self.remedy.why.is_none() {
            bail!("`remedy.why` must say why no remedy is tried");
        }
        if (self.remedy.how == How::Calls) == self.remedy.call.is_empty() {
            bail!("`remedy.call` is the function for `how = \"calls\"`, and for nothing else");
        }
        for (name, range) in &self.parameters {
            match range {
                Range::Number { from, to } if from > to => bail!("{name}: {from} is above {to}"),
                Range::Share { of, .. } if !matches!(self.parameters.get(of), Some(Range::Number { .. })) => {
                    bail!("{name} is a part of {of}, which is not a number that is drawn")
                }
                Range::Share { from_percent, to_percent, .. } if from_percent > to_percent => {
                    bail!("{name}: {from_percent} % is above {to_percent} %")
                }
                Range::Word { one_of } if one_of.is_empty() => bail!("{name}: one_of is empty"),
                _ => {}
            }
        }
        if self.ask == Ask::Beside && self.beside.is_none() {
            bail!("nobody is beside it who could be asked about");
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const LEAK: &str = r#"
about = "a server that remembers every session"
kind = "leak"
needs = ["g++"]
run = ["{out}/leak", "{block}"]
limit_mib = "{limit}"
end = "killed"

[parameters]
limit = { from = 64, to = 128 }
block = { from = 500, to = 8000 }
base = { of = "limit", from_percent = 10, to_percent = 20 }

[truth]
headline = ["leak"]
owner = "glibc"
function = "remember_session"
figures = ["allocated"]

[remedy]
how = "delays"
"#;

    pub(crate) fn leak() -> Recipe {
        Recipe::parse("leak-cpp", LEAK).unwrap()
    }

    #[test]
    fn a_recipe_is_chosen_by_its_name_and_by_its_kind() {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        assert!(leak().is_chosen(&[]));
        assert!(leak().is_chosen(&words(&["leak-cpp"])) && leak().is_chosen(&words(&["burst", "leak"])));
        assert!(!leak().is_chosen(&words(&["burst"])));
    }

    #[test]
    fn a_recipe_that_cannot_be_drawn_is_refused_with_its_name() {
        let wrong =
            |from: &str, to: &str| format!("{:#}", Recipe::parse("x", &LEAK.replace(from, to)).unwrap_err());
        let error = wrong("of = \"limit\"", "of = \"size\"");
        assert!(error.contains("incidents/x.toml") && error.contains("base is a part of size"), "{error}");
        assert!(wrong("from = 64", "from = 640").contains("640 is above 128"));
        assert!(wrong("owner", "ovner").contains("ovner"), "an unknown field");
        assert!(wrong("how = \"delays\"", "how = \"none\"").contains("remedy.why"));
        assert!(wrong("how = \"delays\"", "how = \"calls\"").contains("remedy.call"));
    }
}
