//! The judge.
//!
//! What is true, what memtrace said, what the program wrote down -> a [`Judgement`]. Pure. Must not soften anything: a
//! recipe's truth is what it is, and a miss is a result.

use serde::Serialize;

use super::{
    answer::{self, Answer, Confidence},
    recipe::Truth,
    remedy::Remedied,
    truth::{Compared, Told},
};

/// A function is named when it is among so many frames.
const FRAMES: usize = 3;
/// The time to a kill is foretold within so many percent.
const TIME_PERCENT: f64 = 15.0;
/// The least part of the anonymous memory that must have an owner.
const OWNED: f64 = 0.98;

/// The headline.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Headline {
    Right,
    Wrong,
    /// Wrong, and called sure.
    WrongAndSure,
}

/// `None` where the recipe asks for no such thing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Judgement {
    pub(crate) headline: Headline,
    /// The right one is named as another cause or a later finding.
    pub(crate) is_named_besides: bool,
    pub(crate) owner: Option<bool>,
    pub(crate) part: Option<bool>,
    pub(crate) function: Option<bool>,
    /// `None` without anonymous memory that was read.
    pub(crate) owned: Option<bool>,
    pub(crate) figures: Vec<Compared>,
    /// In what `explain --alone` differs; `None` where it was not asked.
    pub(crate) alone: Option<Vec<String>>,
    pub(crate) remedy: Remedied,
}

/// What the first run showed.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) answer: Answer,
    /// The same without the daemon, of a program at rest.
    pub(crate) alone: Option<Answer>,
    pub(crate) told: Told,
    /// Bytes of the cgroup.
    pub(crate) usage: Option<u64>,
    /// Seconds from the question to the kill, where the recipe waits for it.
    pub(crate) killed_after: Option<f64>,
}

/// Judges an answer.
pub(crate) fn judge(truth: &Truth, seen: &Seen, remedy: Remedied) -> Judgement {
    let answer = &seen.answer;
    let is = |wanted: &Option<String>, said: &Option<String>| wanted.as_ref().map(|_| wanted == said);
    let foretold = seen.killed_after.map(|seconds| Compared {
        name: "seconds_to_limit".to_owned(),
        truth: seconds,
        said: answer.figures.get("seconds_to_limit").copied(),
        allowed_percent: TIME_PERCENT,
    });
    Judgement {
        headline: headline(truth, answer),
        is_named_besides: answer.besides.iter().any(|kind| truth.headline.contains(kind)),
        owner: is(&truth.owner, &answer.owner),
        part: is(&truth.part, &answer.part),
        function: truth
            .function
            .as_ref()
            .map(|wanted| answer.functions.iter().take(FRAMES).any(|name| has_word(name, wanted))),
        owned: answer.owned.map(|owned| owned >= OWNED),
        figures: figures(truth, answer, &seen.told).into_iter().chain(foretold).collect(),
        alone: seen.alone.as_ref().map(|alone| answer::differences(answer, alone)),
        remedy,
    }
}

fn headline(truth: &Truth, answer: &Answer) -> Headline {
    if truth.headline.contains(&answer.headline) {
        Headline::Right
    } else if answer.confidence == Some(Confidence::High) {
        Headline::WrongAndSure
    } else {
        Headline::Wrong
    }
}

/// A figure that the program did not write down is not compared: that is a fault of the recipe, and is said as a figure
/// whose truth is not a number.
fn figures(truth: &Truth, answer: &Answer, told: &Told) -> Vec<Compared> {
    let read_at = |name: &String| match answer::OF_CHARGE.contains(&name.as_str()) {
        true => answer.charge_at,
        false => answer.figures_at,
    };
    let compare = |name: &String| Compared {
        name: name.clone(),
        truth: told.at(name, read_at(name)).unwrap_or(f64::NAN),
        said: answer.figures.get(name).copied(),
        allowed_percent: truth.error_percent,
    };
    truth.figures.iter().map(compare).collect()
}

/// Whether a name has this word as a whole: `app::remember(long)` has `remember`, `remember_all` has not.
fn has_word(name: &str, word: &str) -> bool {
    name.split(|c: char| !c.is_alphanumeric() && c != '_').any(|part| part == word)
}

impl Judgement {
    /// What is wrong with the answer, in words; empty for one that is right.
    pub(crate) fn misses(&self, truth: &Truth, answer: &Answer) -> Vec<String> {
        let mut misses = Vec::new();
        if self.headline != Headline::Right {
            let sure = if self.headline == Headline::WrongAndSure { ", and called sure" } else { "" };
            let besides = if self.is_named_besides { "; the right one is named besides" } else { "" };
            let wanted = truth.headline.join(" or ");
            misses.push(format!("headline {:?}, not {wanted}{sure}{besides}", answer.headline));
        }
        let unknown = || "none".to_owned();
        let named = [
            ("owner", self.owner, &truth.owner, answer.owner.clone()),
            ("largest part", self.part, &truth.part, answer.part.clone()),
            (
                "function",
                self.function,
                &truth.function,
                Some(answer.functions.join(" < ")).filter(|all| !all.is_empty()),
            ),
        ];
        for (what, is_right, wanted, said) in named {
            if is_right == Some(false) {
                let wanted = wanted.as_deref().unwrap_or_default();
                misses.push(format!("{what} {}, not {wanted}", said.unwrap_or_else(unknown)));
            }
        }
        if self.owned == Some(false) {
            let owned = answer.owned.unwrap_or_default() * 100.0;
            misses.push(format!("{owned:.1} % of the anonymous memory has an owner"));
        }
        for figure in self.figures.iter().filter(|figure| !figure.is_right()) {
            let said = figure.said.map_or_else(unknown, |said| format!("{said:.0}"));
            let error = figure.error_percent().map(|error| format!(", {error:.1} % off")).unwrap_or_default();
            misses.push(format!("{} {said}, not {:.0}{error}", figure.name, figure.truth));
        }
        if let Some(differences) = self.alone.as_ref().filter(|differences| !differences.is_empty()) {
            misses.push(format!("--alone: {}", differences.join(", ")));
        }
        if let Remedied::Failed(why) = &self.remedy {
            misses.push(format!("remedy: {why}"));
        }
        misses
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
