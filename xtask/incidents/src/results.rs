//! All draws, summed up by recipe.
//!
//! [`Drawn`]s -> rows. Pure.

use serde::Serialize;

use super::{
    incident::{Drawn, Outcome},
    judge::{Headline, Judgement},
    remedy::Remedied,
};

/// Everything that the bench found.
#[derive(Debug, Serialize)]
pub(crate) struct Results {
    pub(crate) seed: u64,
    pub(crate) kernel: String,
    pub(crate) cgroups: &'static str,
    pub(crate) draws: Vec<Drawn>,
    pub(crate) not_run: Vec<NotRun>,
    /// Recipes that could have been run, and were not chosen or not reached.
    pub(crate) not_drawn: Vec<String>,
}

/// A recipe that was chosen and could not be run here.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct NotRun {
    pub(crate) recipe: String,
    pub(crate) why: String,
}

/// So many of so many.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Count {
    pub(crate) right: usize,
    pub(crate) all: usize,
}

impl Count {
    fn add(&mut self, is_right: Option<bool>) {
        if let Some(is_right) = is_right {
            self.all += 1;
            self.right += usize::from(is_right);
        }
    }

    fn plus(self, other: Self) -> Self {
        Self { right: self.right + other.right, all: self.all + other.all }
    }
}

/// The draws of a recipe, or all of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Row {
    pub(crate) recipe: String,
    pub(crate) kind: String,
    pub(crate) draws: usize,
    pub(crate) not_judged: usize,
    pub(crate) headline: Count,
    pub(crate) sure_and_wrong: usize,
    /// The owner, and the largest part.
    pub(crate) owner: Count,
    pub(crate) owned: Count,
    pub(crate) function: Count,
    pub(crate) figures: Count,
    /// The largest error of a figure, in percent.
    pub(crate) worst_percent: Option<f64>,
    /// `--alone` says the same as the daemon.
    pub(crate) alone: Count,
    pub(crate) remedy: Count,
    pub(crate) seconds: f64,
}

impl Row {
    fn add(&mut self, drawn: &Drawn) {
        self.draws += 1;
        self.seconds += drawn.seconds;
        match &drawn.outcome {
            Outcome::NotJudged(_) => self.not_judged += 1,
            Outcome::Judged { judgement, .. } => self.judge(judgement),
        }
    }

    fn judge(&mut self, judgement: &Judgement) {
        self.headline.add(Some(judgement.headline == Headline::Right));
        self.sure_and_wrong += usize::from(judgement.headline == Headline::WrongAndSure);
        self.owner.add(judgement.owner);
        self.owner.add(judgement.part);
        self.owned.add(judgement.owned);
        self.function.add(judgement.function);
        for figure in &judgement.figures {
            self.figures.add(Some(figure.is_right()));
            self.worst_percent = largest(self.worst_percent, figure.error_percent());
        }
        self.alone.add(judgement.alone.as_ref().map(Vec::is_empty));
        self.remedy.add(match judgement.remedy {
            Remedied::Proved => Some(true),
            Remedied::Failed(_) => Some(false),
            Remedied::NotTried(_) => None,
        });
    }

    fn plus(self, other: &Self) -> Self {
        Self {
            recipe: "all".to_owned(),
            kind: String::new(),
            draws: self.draws + other.draws,
            not_judged: self.not_judged + other.not_judged,
            headline: self.headline.plus(other.headline),
            sure_and_wrong: self.sure_and_wrong + other.sure_and_wrong,
            owner: self.owner.plus(other.owner),
            owned: self.owned.plus(other.owned),
            function: self.function.plus(other.function),
            figures: self.figures.plus(other.figures),
            worst_percent: largest(self.worst_percent, other.worst_percent),
            alone: self.alone.plus(other.alone),
            remedy: self.remedy.plus(other.remedy),
            seconds: self.seconds + other.seconds,
        }
    }
}

fn largest(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.max(other)),
        (one, other) => one.or(other),
    }
}

impl Results {
    /// A row for each recipe that was drawn, by name, and one for all of them.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();
        for drawn in &self.draws {
            let new = || Row { recipe: drawn.recipe.clone(), kind: drawn.kind.clone(), ..Row::default() };
            let at = rows.iter().position(|row| row.recipe == drawn.recipe).unwrap_or_else(|| {
                rows.push(new());
                rows.len() - 1
            });
            if let Some(row) = rows.get_mut(at) {
                row.add(drawn);
            }
        }
        rows.sort_by(|a, b| a.recipe.cmp(&b.recipe));
        let all = rows.iter().fold(Row::default(), Row::plus);
        rows.push(Row { recipe: "all".to_owned(), ..all });
        rows
    }

    /// Each draw with what is wrong with it.
    pub(crate) fn misses(&self) -> impl Iterator<Item = (&Drawn, Vec<String>)> {
        self.draws.iter().filter_map(|drawn| {
            let misses = match &drawn.outcome {
                Outcome::NotJudged(why) => vec![format!("not judged: {why}")],
                Outcome::Judged { misses, .. } => misses.clone(),
            };
            (!misses.is_empty()).then_some((drawn, misses))
        })
    }
}

/// The command that repeats a draw.
pub(crate) fn repeat(drawn: &Drawn) -> String {
    format!("cargo xtask incidents {} --seed {}", drawn.recipe, drawn.seed)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{
        super::{answer::Answer, truth::Compared},
        *,
    };

    fn drawn(recipe: &str, headline: Headline, said: f64) -> Drawn {
        let figure =
            Compared { name: "free".to_owned(), truth: 100.0, said: Some(said), allowed_percent: 2.0 };
        let judgement = Judgement {
            headline,
            is_named_besides: false,
            owner: Some(true),
            part: None,
            function: None,
            owned: Some(said <= 100.0),
            figures: vec![figure],
            alone: None,
            remedy: Remedied::NotTried("none".to_owned()),
        };
        let misses = if headline == Headline::Right { Vec::new() } else { vec!["headline".to_owned()] };
        let answer = Box::new(Answer::default());
        let outcome = Outcome::Judged { answer, judgement: Box::new(judgement), misses };
        Drawn {
            recipe: recipe.to_owned(),
            kind: "leak".to_owned(),
            seed: 7,
            values: [].into(),
            seconds: 2.0,
            outcome,
        }
    }

    pub(crate) fn results() -> Results {
        let failed =
            Drawn { outcome: Outcome::NotJudged("late".to_owned()), ..drawn("b", Headline::Right, 1.0) };
        let draws = vec![
            drawn("b", Headline::Right, 101.0),
            drawn("a", Headline::WrongAndSure, 104.0),
            drawn("b", Headline::Wrong, 99.0),
            failed,
        ];
        let not_run = vec![NotRun { recipe: "php".to_owned(), why: "needs php".to_owned() }];
        Results {
            seed: 7,
            kernel: "6.1".to_owned(),
            cgroups: "v2",
            draws,
            not_run,
            not_drawn: vec!["tight".to_owned()],
        }
    }

    #[test]
    fn draws_are_summed_up_by_recipe_and_in_all() {
        let rows = results().rows();
        let names: Vec<&str> = rows.iter().map(|row| row.recipe.as_str()).collect();
        assert_eq!(names, ["a", "b", "all"]);
        let all = &rows[2];
        assert_eq!((all.draws, all.not_judged, all.sure_and_wrong), (4, 1, 1));
        assert_eq!((all.headline, all.figures), (Count { right: 1, all: 3 }, Count { right: 2, all: 3 }));
        assert_eq!((all.worst_percent, all.remedy, all.seconds), (Some(4.0), Count::default(), 8.0));
    }

    #[test]
    fn a_draw_that_could_not_be_judged_is_listed_with_the_misses() {
        let results = results();
        let misses: Vec<String> =
            results.misses().map(|(drawn, why)| format!("{} {}", drawn.recipe, why.join(";"))).collect();
        assert_eq!(misses, ["a headline", "b headline", "b not judged: late"]);
        assert_eq!(repeat(&results.draws[1]), "cargo xtask incidents a --seed 7");
    }
}
