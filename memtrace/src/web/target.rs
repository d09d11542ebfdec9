//! The page of a container, a pod or a process: whose memory it is.
//!
//! An explanation and the newest kills -> HTML. Pure.

use maud::{Markup, html};

use super::kills::{Kills, list, name};
use crate::{
    explain::{Explanation, Member},
    report::explanation,
    store::KillSummary,
};

/// The most processes in the list.
const MOST: usize = 30;

/// The contents of the page.
pub(super) fn contents(explanation: &Explanation, kills: &Kills) -> Markup {
    let kills = own_kills(explanation, kills.as_deref().unwrap_or_default());
    explanation::contents(explanation, &kills, &members(explanation))
}

fn own_kills(explanation: &Explanation, kills: &[KillSummary]) -> Markup {
    let own: Vec<&KillSummary> = kills.iter().filter(|kill| is_of(kill, explanation)).collect();
    html! {
        @if !own.is_empty() {
            section aria-labelledby="kills" {
                h2 id="kills" { "OOM kills" }
                (list(&own, &[], explanation.time, "../"))
            }
        }
    }
}

/// Its processes, each with a page.
fn members(explanation: &Explanation) -> Markup {
    let Explanation { processes, kind, .. } = explanation;
    html! {
        @if kind != "process" && !processes.is_empty() {
            section aria-labelledby="processes" {
                h2 id="processes" { "Processes, largest first" }
                ul.processes {
                    @for Member { pid, comm, rss_bytes } in processes.iter().take(MOST) {
                        li {
                            a href=(pid) { (name(comm)) " (" (pid) ")" }
                            @if let Some(rss) = rss_bytes { " " (rss) " resident" }
                        }
                    }
                }
                @if processes.len() > MOST { p.note { "and " (processes.len() - MOST) " more" } }
            }
        }
    }
}

fn is_of(kill: &KillSummary, explanation: &Explanation) -> bool {
    let KillSummary { cgroup, limit_owner, namespace, pod, container, .. } = kill;
    let parts: Vec<&str> = [namespace, pod, container].into_iter().flatten().map(String::as_str).collect();
    let is_named = !parts.is_empty() && parts.join("/") == explanation.name;
    let is_there = |of: &Option<String>| of.as_ref().is_some_and(|of| explanation.cgroups.contains(of));
    explanation.kind != "process" && (is_named || is_there(cgroup) || is_there(limit_owner))
}

#[cfg(test)]
mod tests {
    use super::{KillSummary, contents};
    use crate::{
        explain::{Explanation, Facts, explain, find},
        top::rows::tests::data,
    };

    fn page(word: &str) -> (Explanation, Vec<KillSummary>) {
        let data = data();
        let subject = find(&data.snapshot, word).unwrap();
        let explanation = explain(&data.snapshot, Some(&data.insights), &Facts::default(), &subject);
        (explanation, data.kills.unwrap().kills.clone())
    }

    #[test]
    fn a_container_has_its_verdict_its_parts_and_links_to_its_processes() {
        let (explanation, kills) = page("redis");
        let html = contents(&explanation, &Ok(kills)).into_string();
        let wanted = [
            "of its limit of 512.0 MiB",
            "leak",
            "jemalloc",
            "anonymous memory",
            "remainder",
            "href=\"4242\"",
        ];
        for wanted in wanted {
            assert!(html.contains(wanted), "{wanted}: {html}");
        }
        let process = contents(&page("4242").0, &Ok(Vec::new())).into_string();
        assert!(process.contains("Resident memory") && !process.contains("href="), "{process}");
    }

    #[test]
    fn names_of_others_are_text_and_nothing_has_a_style_of_its_own() {
        let (mut explanation, _) = page("redis");
        let evil = "</a><script>\u{202e}\n\"".to_owned() + &"x".repeat(4096);
        explanation.name.clone_from(&evil);
        explanation.cgroups = vec![evil.clone()];
        explanation.notes = vec![evil.clone()];
        explanation.processes.iter_mut().for_each(|member| member.comm.clone_from(&evil));
        for part in &mut explanation.parts {
            (part.what, part.means) = (evil.clone(), evil.clone());
        }
        for holding in &mut explanation.allocators {
            (holding.absent, holding.missing) = (Some(evil.clone()), vec![evil.clone()]);
        }
        for finding in &mut explanation.findings {
            finding.sentence.clone_from(&evil);
        }
        let html = contents(&explanation, &Err(evil)).into_string();
        for not in ["<script", "\u{202e}", " style=", "<style"] {
            assert!(!html.contains(not), "{not:?}");
        }
        assert!(html.contains("&lt;script&gt;"));
    }
}
