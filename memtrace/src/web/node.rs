//! The page of the node: which containers are in trouble, and the last kills.
//!
//! A snapshot, insights, kills -> HTML. Pure.

use maud::{Markup, html};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    frame::rendered,
    kills::{self, Kills, name},
    trouble::{Case, cases},
};
use crate::{
    report::meter,
    snapshot::{ContainerRow, Snapshot, Tracer},
    store::KillSummary,
    text::printable_start,
    top::rows::{State, label},
    units::Bytes,
    verdict::{Insights, rate},
};

/// The most containers in a section.
const MOST: usize = 300;
/// The longest link; the head of a request has a bound.
const LONGEST: usize = 4096;
/// What needs no escape in a segment of a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The page, with the part that changes.
pub(super) fn whole(changing: &[u8]) -> Markup {
    html! {
        p.live id="live-state" role="status" { "This page shows one instant." }
        div id="live" { (rendered(changing)) }
    }
}

/// The part that changes.
pub(super) fn changing(snapshot: &Snapshot, insights: &Insights, kills: &Kills) -> Markup {
    let newest: &[KillSummary] = kills.as_deref().unwrap_or_default();
    let cases = cases(snapshot, insights, newest);
    // In order, those in trouble come first.
    let (troubled, calm) = cases.split_at(cases.partition_point(|case| case.state > State::Calm));
    html! {
        header {
            p.kicker { "This node at " (snapshot.time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()) }
            h1 { (headline(troubled.len(), cases.len())) }
            (tiles(snapshot, newest))
            @for problem in problems(snapshot) { p.lead.doubt { (printable_start(&problem)) } }
        }
        (table("In trouble, the worst first", "trouble", troubled))
        section aria-labelledby="kills" data-key="kills" {
            h2 id="kills" { "Last OOM kills" }
            @match kills {
                Err(why) => p.lead.doubt { "The store cannot be read: " (printable_start(why)) },
                Ok(kills) if kills.is_empty() => p.note { "None is recorded." },
                Ok(kills) => (kills::list(&kills.iter().collect::<Vec<_>>(), &snapshot.containers, snapshot.time, "")),
            }
        }
        (table("Calm", "calm", calm))
    }
}

fn headline(troubled: usize, all: usize) -> String {
    match (troubled, all) {
        (0, 0) => "No container has processes".to_owned(),
        (0, all) => format!("None of {all} containers is in trouble"),
        (1, all) => format!("1 of {all} containers is in trouble"),
        (some, all) => format!("{some} of {all} containers are in trouble"),
    }
}

fn tiles(snapshot: &Snapshot, kills: &[KillSummary]) -> Markup {
    let node = &snapshot.node;
    let used = node.total_bytes.zip(node.available_bytes);
    let used = used.map(|(Bytes(total), Bytes(available))| Bytes(total.saturating_sub(available)));
    let bytes = |bytes: Option<Bytes>| bytes.map_or_else(|| "unknown".to_owned(), |bytes| bytes.to_string());
    let waits = node.pressure_some10.map(|share| format!("{:.1} %", share * 100.0));
    let tile = |figure: String, what: &str| html! { div.tile { b { (figure) } span { (what) } } };
    html! {
        div.tiles {
            (tile(bytes(used), &format!("used of {}", bytes(node.total_bytes))))
            (tile(waits.unwrap_or_else(|| "unknown".to_owned()), "of the time some task waited for memory"))
            @if let Some(Tracer { kills, started, .. }) = &snapshot.tracer {
                (tile(kills.to_string(), &format!("OOM kills since {}", started.strftime("%m-%d %H:%M"))))
            }
            @if let Some(last) = kills.first() {
                (tile(last.time.strftime("%m-%d %H:%M:%S").to_string(), "last OOM kill (UTC)"))
            }
        }
    }
}

/// What limits the tracer's view.
fn problems(snapshot: &Snapshot) -> Vec<String> {
    let Some(tracer) = &snapshot.tracer else { return vec!["No tracer runs: totals only.".to_owned()] };
    let mut problems = tracer.store.describe();
    if tracer.hooks_attached < tracer.hooks_total {
        problems.push(format!(
            "The tracer has {} of {} hooks; `memtrace doctor` says what is lost.",
            tracer.hooks_attached, tracer.hooks_total
        ));
    }
    if tracer.scans.cpu.step > 0 {
        problems.push(tracer.scans.cpu.describe());
    }
    if tracer.memory.totals_only > 0 {
        problems.push(tracer.memory.describe());
    }
    problems
}

/// A section with these containers; nothing without any.
fn table(heading: &str, id: &str, cases: &[Case<'_>]) -> Markup {
    if cases.is_empty() {
        return html! {};
    }
    html! {
        section aria-labelledby=(id) data-key=(id) {
            h2 id=(id) { (heading) }
            table.containers {
                thead {
                    tr {
                        th scope="col" { "Container" }
                        th scope="col" { "Memory" }
                        th scope="col" { "Growth" }
                        th scope="col" { "Verdict" }
                    }
                }
                tbody { @for case in cases.iter().take(MOST) { (row(case)) } }
            }
            @if cases.len() > MOST {
                p.note { (cases.len() - MOST) " more are not shown; " code { "memtrace top" } " has all." }
            }
        }
    }
}

fn row(case: &Case<'_>) -> Markup {
    let Case { row, insight, state, share, kill } = case;
    let (class, word) = match state {
        State::Calm => ("calm", "calm"),
        State::Warning => ("warning", "warning"),
        State::Alarm => ("alarm", "alarm"),
    };
    let label = label(row);
    let growth = insight.and_then(|insight| insight.growth_bytes_per_second);
    html! {
        tr.(class) data-key=(key(&row.cgroup)) {
            th scope="row" {
                @match link(row) {
                    Some(link) => a href=(link) { (name(&label)) },
                    None => (name(&label)),
                }
            }
            td data-name="Memory" {
                (used(row))
                @if let Some(share) = share { (meter(*share)) }
            }
            td data-name="Growth" { (growth.map_or_else(|| "unknown".to_owned(), rate)) }
            td data-name="Verdict" {
                span.state { (word) }
                " "
                (case.words().iter().map(|words| printable_start(words)).collect::<Vec<_>>().join("; "))
                @if let Some(kill) = kill {
                    ". Last: "
                    a href={ "kill/" (kill.id) } { (kills::cause(kill)) }
                }
            }
        }
    }
}

fn used(row: &ContainerRow) -> String {
    let used = row.usage_bytes.map_or_else(|| "unknown".to_owned(), |bytes| bytes.to_string());
    match &row.limit {
        Some(limit) => {
            let share = row.usage_bytes.map(|Bytes(used)| {
                (u128::from(used) * 100 + u128::from(limit.bytes.0) / 2) / u128::from(limit.bytes.0.max(1))
            });
            let share = share.map_or_else(String::new, |share| format!(", {share} %"));
            format!("{used} of {}{share}", limit.bytes)
        }
        None => format!("{used}, no limit"),
    }
}

/// The link to a container's page; `None` when its path is too long for a request.
pub(super) fn link(row: &ContainerRow) -> Option<String> {
    let link = format!("explain/{}", utf8_percent_encode(&row.cgroup, SEGMENT));
    (link.len() <= LONGEST).then_some(link)
}

/// A short name of a row, by which the script finds it again.
fn key(cgroup: &str) -> String {
    let hash = cgroup.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("c{hash:x}")
}

#[cfg(test)]
#[path = "node_tests.rs"]
mod tests;
