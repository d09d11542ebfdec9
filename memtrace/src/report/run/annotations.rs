//! What broke, as annotations of GitHub Actions.
//!
//! [`Page`] -> lines of workflow commands: `::error title=T::text`. Text from outside cannot begin a command of its own.

use super::document;
use crate::{
    sizing::{
        diff::Verdict,
        run::{Page, budget::State},
    },
    text::printable,
};

/// Writes them; nothing for a run without anything to say.
pub fn annotations(page: &Page) -> String {
    let mut out = String::new();
    let mut put = |kind: &str, title: &str, text: &str| {
        out.push_str(&format!("::{kind} title={}::{}\n", property(title), data(text)));
    };
    for run in page.runs.iter().filter(|run| run.was_killed()) {
        let kills = run.oom_kills.unwrap_or_default();
        let limit = run.limit_bytes.map_or_else(String::new, |limit| format!(" at a limit of {limit}"));
        let mut text = format!("{kills} OOM kills{limit}");
        for record in &run.records {
            text.push_str(&format!("; {}", record.sentence));
        }
        put("error", "memtrace: OOM kill", &text);
    }
    for judged in &page.budget {
        let seen = judged.seen.as_deref().unwrap_or("unknown");
        let why = judged.why.as_deref().map_or_else(String::new, |why| format!(" ({why})"));
        let text = format!("{} {seen}, allowed {}{why}", judged.what, judged.allowed);
        match judged.state {
            State::Kept => {}
            State::Broken => put("error", "memtrace: memory budget broken", &text),
            State::Unknown => put("warning", "memtrace: memory budget not judged", &text),
        }
    }
    for diff in page.against.iter().filter(|diff| diff.verdict == Verdict::Regression) {
        put("error", "memtrace: more memory than before", &document::against(diff).join(" "));
    }
    if let Some(limit) = page.search.as_ref().and_then(|found| found.limit_bytes) {
        put("notice", "memtrace: least limit", &format!("{} bytes ({limit})", limit.0));
    }
    out
}

/// The text of a command, as the runner unescapes it.
fn data(text: &str) -> String {
    printable(text).replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
