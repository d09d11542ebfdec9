//! One draw: the incident, the question, and the advice put to the test.
//!
//! A recipe and a seed -> [`Drawn`]. Must not decide what is right: `judge` does.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use serde_json::Value;
use xtask_base::cgroup::Home;

use super::{
    answer::{self, Answer},
    ask::Memtrace,
    draw::{self, Values},
    group::Group,
    judge::{self, Judgement, Seen},
    recipe::{Ask, Ends, How, Recipe},
    remedy::{self, Change, End, Remedied},
    run::{Plan, Run},
    truth::Told,
};

/// The second run may take this many times as long: with more room it has more to do.
const LONGER: u32 = 2;

/// What came of a draw.
#[derive(Debug, Serialize)]
pub(crate) struct Drawn {
    pub(crate) recipe: String,
    pub(crate) kind: String,
    pub(crate) seed: u64,
    pub(crate) values: Values,
    pub(crate) seconds: f64,
    /// What was judged; or why there was nothing to judge.
    pub(crate) outcome: Outcome,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Judged {
        answer: Box<Answer>,
        judgement: Box<Judgement>,
        misses: Vec<String>,
    },
    /// The program did not do what the recipe says, or the bench failed.
    NotJudged(String),
}

/// Where incidents happen.
pub(crate) struct Scene<'a> {
    pub(crate) memtrace: Memtrace,
    pub(crate) home: Home,
    /// Of the recipes.
    pub(crate) recipes: PathBuf,
    /// For programs, what they write, and what memtrace said.
    pub(crate) dir: PathBuf,
    /// A small Debian, where a recipe needs it.
    pub(crate) tree: Option<PathBuf>,
    pub(crate) interrupted: &'a AtomicBool,
}

impl Scene<'_> {
    /// Draws once. What goes wrong is the draw's outcome; only an interrupt ends the bench.
    pub(crate) fn draw(&self, recipe: &Recipe, seed: u64) -> Drawn {
        let start = Instant::now();
        let values = draw::values(recipe, seed);
        let outcome = self.happen(recipe, seed, &values);
        let outcome = outcome.unwrap_or_else(|error| Outcome::NotJudged(format!("{error:#}")));
        Drawn {
            recipe: recipe.name.clone(),
            kind: recipe.kind.clone(),
            seed,
            values,
            seconds: start.elapsed().as_secs_f64(),
            outcome,
        }
    }

    fn happen(&self, recipe: &Recipe, seed: u64, values: &Values) -> Result<Outcome> {
        let limit = bytes_of(&draw::fill(&recipe.limit_mib, values))?;
        let seen = self.first(recipe, seed, values, limit)?;
        let remedy = match remedy::change(&recipe.remedy, &seen.answer, limit) {
            Err(remedied) => remedied,
            Ok(change) => self.second(recipe, seed, values, limit, &change, &seen)?,
        };
        let judgement = judge::judge(&recipe.truth, &seen, remedy);
        let misses = judgement.misses(&recipe.truth, &seen.answer);
        Ok(Outcome::Judged { answer: Box::new(seen.answer), judgement: Box::new(judgement), misses })
    }

    /// The incident itself, and what memtrace says of it.
    fn first(&self, recipe: &Recipe, seed: u64, values: &Values, limit: u64) -> Result<Seen> {
        let scratch = self.scratch()?;
        let name = self.name(recipe, seed, 1);
        let mut run = self.start(recipe, values, limit, &Change::default(), (&name, scratch.path()))?;
        let longest = Duration::from_secs(recipe.seconds);
        let mut end = run.wait(longest)?;
        if let Some(lower) = recipe.lower_to_mib.as_ref().filter(|_| end == End::Ready) {
            run.rest(Duration::from_secs(recipe.settle_seconds))?;
            run.group.limit(bytes_of(&draw::fill(lower, values))?)?;
            run.go_on()?;
            end = run.wait(longest)?;
        }
        match (recipe.end, &end) {
            (Ends::Killed, End::Killed) => self.of_kill(recipe, seed, &name, &run),
            (Ends::Ready, End::Ready) => self.of_life(recipe, seed, &mut run),
            (wanted, end) => bail!("the program was to be {wanted:?}, but: {end:?}"),
        }
    }

    fn of_kill(&self, recipe: &Recipe, seed: u64, cgroup: &str, run: &Run<'_>) -> Result<Seen> {
        let owner = recipe.truth.owner.as_deref();
        let needs_names = recipe.truth.function.is_some();
        let is_complete = |record: &Value| {
            let is_over = record.get("outcome").is_some_and(|outcome| !outcome.is_null());
            is_over && !(needs_names && answer::lacks_names(record))
        };
        let record = self.memtrace.record(cgroup, is_complete)?;
        self.keep(recipe, seed, &record)?;
        self.write(recipe, seed, "txt", &self.memtrace.page(&record)?)?;
        let answer = answer::of_record(&record, owner);
        Ok(Seen { answer, told: Told::parse(&run.told()), ..Seen::default() })
    }

    fn of_life(&self, recipe: &Recipe, seed: u64, run: &mut Run<'_>) -> Result<Seen> {
        run.rest(Duration::from_secs(recipe.settle_seconds))?;
        let usage = run.group.usage();
        let target = match recipe.ask {
            Ask::Group => run.cgroup()?,
            Ask::Process => run.pid(0).context("there is no program")?.to_string(),
            Ask::Beside => run.pid(1).context("there is no program beside it")?.to_string(),
        };
        let asked = Instant::now();
        let page = self.memtrace.explanation(&target, false)?;
        self.keep(recipe, seed, &page)?;
        // Of a program that grows they are of two instants.
        let is_at_rest = !recipe.truth.is_killed_later;
        let alone = is_at_rest.then(|| self.memtrace.explanation(&target, true)).transpose()?;
        let read = |page: &Value| answer::of_explanation(page, recipe.truth.owner.as_deref());
        let told = Told::parse(&run.told());
        let killed_after = match recipe.truth.is_killed_later {
            false => None,
            true => match run.wait(Duration::from_secs(recipe.seconds))? {
                End::Killed => Some(asked.elapsed().as_secs_f64()),
                end => bail!("the program was to be killed after the question, but: {end:?}"),
            },
        };
        Ok(Seen { answer: read(&page), alone: alone.as_ref().map(read), told, usage, killed_after })
    }

    /// The same load with the advice.
    fn second(
        &self,
        recipe: &Recipe,
        seed: u64,
        values: &Values,
        limit: u64,
        change: &Change,
        seen: &Seen,
    ) -> Result<Remedied> {
        let scratch = self.scratch()?;
        let limit = change.limit_bytes.unwrap_or(limit);
        let name = self.name(recipe, seed, 2);
        let mut run = self.start(recipe, values, limit, change, (&name, scratch.path()))?;
        let end = run.wait(Duration::from_secs(recipe.seconds) * LONGER)?;
        if matches!(recipe.remedy.how, How::Frees | How::Calls) && end == End::Ready {
            run.rest(Duration::from_secs(recipe.settle_seconds))?;
        }
        Ok(remedy::judge(recipe.remedy.how, &seen.answer, &end, (seen.usage, run.group.usage())))
    }

    fn start(
        &self,
        recipe: &Recipe,
        values: &Values,
        limit: u64,
        change: &Change,
        (name, scratch): (&str, &Path),
    ) -> Result<Run<'_>> {
        let values = self.places(recipe, values, scratch);
        let setting = change.argument.as_deref().unwrap_or(&recipe.remedy.setting);
        let own = [&recipe.run].into_iter().chain(recipe.beside.as_ref().map(|beside| &beside.run));
        let commands = own.map(|words| draw::command(words, &values, setting)).collect();
        let given = recipe.environment.iter().map(|(key, value)| (key.clone(), draw::fill(value, &values)));
        let plan = Plan {
            commands,
            environment: given.chain(change.environment.clone()).collect(),
            scratch: scratch.to_owned(),
        };
        let is_apart = recipe.beside.as_ref().is_some_and(|beside| beside.is_apart);
        Run::start(&plan, Group::create(&self.home, name, limit, is_apart)?, self.interrupted)
    }

    /// The values, and where things are.
    pub(crate) fn places(&self, recipe: &Recipe, values: &Values, scratch: &Path) -> Values {
        let mut values = values.clone();
        let mut put = |name: &str, path: &Path| values.insert(name.to_owned(), path.display().to_string());
        put("out", &self.dir.join("programs").join(&recipe.name));
        put("here", &self.recipes.join("programs"));
        put("scratch", scratch);
        put("tree", self.tree.as_deref().unwrap_or_else(|| Path::new("")));
        values
    }

    fn scratch(&self) -> Result<tempfile::TempDir> {
        tempfile::tempdir_in(&self.dir).context("failed to create a directory for a run")
    }

    fn name(&self, recipe: &Recipe, seed: u64, run: u32) -> String {
        format!("memtrace-incident-{}-{}-{seed}-{run}", std::process::id(), recipe.name)
    }

    /// What memtrace said, for whoever looks into a miss.
    fn keep(&self, recipe: &Recipe, seed: u64, said: &Value) -> Result<()> {
        let text = serde_json::to_string_pretty(said).context("failed to write JSON")?;
        self.write(recipe, seed, "json", &text)
    }

    fn write(&self, recipe: &Recipe, seed: u64, form: &str, text: &str) -> Result<()> {
        let file = self.dir.join(format!("{}-{seed}.{form}", recipe.name));
        fs::write(&file, text).with_context(|| format!("failed to write {}", file.display()))
    }
}

fn bytes_of(mib: &str) -> Result<u64> {
    let mib: u64 = mib.parse().with_context(|| format!("{mib:?} is no number of MiB"))?;
    mib.checked_mul(1 << 20).context("too many MiB")
}
