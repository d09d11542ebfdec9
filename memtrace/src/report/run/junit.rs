//! The page of a run as JUnit XML, which CI systems show as tests.
//!
//! [`Page`] -> XML: one test for each budget, one for the OOM killer, one for the least limit. What is unknown is skipped,
//! with its reason.

use super::document;
use crate::{
    sizing::{
        diff::{Diff, Verdict},
        run::{
            Page, Run,
            budget::{Judged, State},
        },
    },
    text::printable,
};

/// The outcome of a test.
enum Outcome {
    Passed,
    Skipped(String),
    Failed(String),
}

/// Writes it.
pub fn junit(page: &Page) -> String {
    let seconds: f64 = page.runs.iter().map(|run| run.seconds).sum();
    let mut tests = vec![("exit code".to_owned(), exit(page)), ("no OOM kill".to_owned(), kills(page))];
    tests.extend(page.budget.iter().map(budget));
    if let Some(found) = &page.search {
        let why = found.why.clone().unwrap_or_else(|| "no limit was enough".to_owned());
        let outcome = if found.limit_bytes.is_some() { Outcome::Passed } else { Outcome::Failed(why) };
        tests.push(("least limit".to_owned(), outcome));
    }
    tests.extend(page.against.iter().map(against));
    let count = |is: fn(&Outcome) -> bool| tests.iter().filter(|(_, outcome)| is(outcome)).count();
    let failures = count(|outcome| matches!(outcome, Outcome::Failed(_)));
    let skipped = count(|outcome| matches!(outcome, Outcome::Skipped(_)));
    let command = escape(&page.command.join(" "));
    let mut out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
    out.push_str(&format!(
        "<testsuites>\n  <testsuite name=\"memtrace run\" tests=\"{}\" failures=\"{failures}\" errors=\"0\" \
         skipped=\"{skipped}\" time=\"{seconds:.3}\" timestamp=\"{}\">\n",
        tests.len(),
        page.started.strftime("%Y-%m-%dT%H:%M:%S")
    ));
    for (name, outcome) in &tests {
        let name = escape(name);
        out.push_str(&format!("    <testcase classname=\"{command}\" name=\"{name}\" time=\"{seconds:.3}\""));
        match outcome {
            Outcome::Passed => out.push_str("/>\n"),
            Outcome::Skipped(why) => {
                out.push_str(&format!(">\n      <skipped message=\"{}\"/>\n    </testcase>\n", escape(why)));
            }
            Outcome::Failed(why) => {
                out.push_str(&format!(">\n      <failure message=\"{}\"/>\n    </testcase>\n", escape(why)));
            }
        }
    }
    out.push_str("  </testsuite>\n</testsuites>\n");
    out
}

fn exit(page: &Page) -> Outcome {
    let failed = page.runs.iter().map(|run| run.end.code()).find(|code| *code != 0);
    failed.map_or(Outcome::Passed, |code| Outcome::Failed(format!("the command ended with {code}")))
}

fn kills(page: &Page) -> Outcome {
    if page.runs.iter().any(|run| run.oom_kills.is_none()) {
        return Outcome::Skipped("the kernel does not count OOM kills".to_owned());
    }
    let kills: u64 = page.runs.iter().filter_map(|run| run.oom_kills).sum();
    let told = page.runs.iter().filter(|run| run.was_killed()).flat_map(|run: &Run| &run.records);
    let told: Vec<&str> = told.map(|record| record.sentence.as_str()).collect();
    match (kills, told.as_slice()) {
        (0, _) => Outcome::Passed,
        (kills, []) => Outcome::Failed(format!("{kills} OOM kills")),
        (kills, told) => Outcome::Failed(format!("{kills} OOM kills: {}", told.join("; "))),
    }
}

fn budget(judged: &Judged) -> (String, Outcome) {
    let seen = judged.seen.as_deref().unwrap_or("unknown");
    let why = judged.why.as_deref().map_or_else(String::new, |why| format!(" ({why})"));
    let outcome = match judged.state {
        State::Kept => Outcome::Passed,
        State::Unknown => Outcome::Skipped(format!("{} is unknown{why}", judged.what)),
        State::Broken => Outcome::Failed(format!("{} {seen}, allowed {}{why}", judged.what, judged.allowed)),
    };
    (format!("{} {}", judged.what, judged.allowed), outcome)
}

fn against(diff: &Diff) -> (String, Outcome) {
    let says = document::against(diff).join(" ");
    let outcome = match diff.verdict {
        Verdict::Regression => Outcome::Failed(says),
        Verdict::Improvement | Verdict::NoChange => Outcome::Passed,
        Verdict::NotEnoughData => Outcome::Skipped(says),
    };
    (format!("no more memory than {}", diff.a.name), outcome)
}

/// Text for an attribute. Control characters, which XML 1.0 cannot contain, are escaped by [`printable`].
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in printable(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
