//! Builds an explanation.
//!
//! A subject, its snapshot and further facts -> [`Explanation`]. Pure.

use super::{
    Explanation, Member, SCHEMA, Subject, allocators, balance, facts::Facts, growth, picture::Picture,
    pressure, verdict,
};
use crate::{
    cgroup::{charge::Charge, memcg::Limit},
    snapshot::{ContainerRow, ProcessRow, Snapshot},
    units::Bytes,
    verdict::Insights,
};

/// A figure is of the same instant as the page if it is not older, in seconds.
const AT_ONCE: f64 = 2.0;
/// The most processes for which it is told why they could not be read.
const MOST_REASONS: usize = 8;

/// Explains a subject.
pub fn explain(
    snapshot: &Snapshot,
    insights: Option<&Insights>,
    facts: &Facts,
    subject: &Subject<'_>,
) -> Explanation {
    let (kind, name, rows) = match subject {
        Subject::Process(row) => ("process", format!("{} (pid {})", row.comm, row.pid), Vec::new()),
        Subject::Container(row) => ("container", label(row), vec![*row]),
        Subject::Pod(name, rows) => ("pod", name.clone(), rows.clone()),
    };
    let is_process = rows.is_empty();
    let picture = Picture {
        processes: subject.members(snapshot),
        charge: charge(&rows),
        limit: match subject {
            Subject::Process(row) => row.limit.clone(),
            Subject::Container(row) => row.limit.clone(),
            Subject::Pod(..) => None,
        },
        is_process,
        facts,
    };
    let balance = balance::balance(&picture);
    let allocators = allocators::holdings(&picture);
    let (reclaimable, firm) = pressure::under_pressure(&picture, &allocators);
    let mut cgroups: Vec<String> = rows.iter().map(|row| row.cgroup.clone()).collect();
    if let Subject::Process(row) = subject {
        cgroups.extend(row.cgroup.clone());
    }
    let told = cgroups.iter().filter_map(|cgroup| insights?.get(cgroup));
    let told: Vec<_> = told.flat_map(|insight| insight.findings.clone()).collect();
    let mut notes = balance.notes;
    // A process is not given the verdict on its group, which may be about another process.
    let told = match shares_its_cgroup(snapshot, subject) {
        Some(cgroup) if !told.is_empty() => {
            notes.push(format!("verdicts over time are about its whole cgroup: memtrace explain {cgroup}"));
            Vec::new()
        }
        _ => told,
    };
    let (growth, grows) = growth::growth(snapshot, insights, subject);
    let firm_now = firm_of_owner(snapshot, picture.limit.as_ref());
    let mut findings = verdict::findings(&picture, &allocators, balance.total, told, firm_now);
    findings.splice(..0, grows);
    notes.extend(notes_on(&picture, insights.is_some()));
    let charge_age = rows.iter().filter_map(|row| row.charge_age_seconds).max_by(f64::total_cmp);
    let memories = picture.processes.iter().filter_map(|row| row.memory.as_ref());
    let scan_age = memories.filter_map(|memory| snapshot.age(memory.scanned)).max_by(f64::total_cmp);
    notes.extend(ages(charge_age, scan_age));
    Explanation {
        schema: SCHEMA,
        time: snapshot.time,
        name,
        kind: kind.to_owned(),
        cgroups,
        processes: picture.processes.iter().map(|row| member(row)).collect(),
        total_bytes: balance.total,
        limit: picture.limit.clone(),
        parts: balance.parts,
        remainder_bytes: balance.remainder,
        allocators,
        reclaimable,
        firm,
        charge_age_seconds: charge_age,
        scan_age_seconds: scan_age,
        growth,
        objects: Vec::new(),
        findings,
        notes,
    }
}

/// The cgroup of a process that is not alone in it.
fn shares_its_cgroup<'a>(snapshot: &'a Snapshot, subject: &Subject<'a>) -> Option<&'a str> {
    let Subject::Process(row) = subject else { return None };
    let cgroup = row.cgroup.as_deref()?;
    let others = snapshot.rows().filter(|other| other.cgroup.as_deref() == Some(cgroup));
    (others.count() > 1).then_some(cgroup)
}

/// Firm memory under the limit that applies.
fn firm_of_owner(snapshot: &Snapshot, limit: Option<&Limit>) -> Option<Bytes> {
    let owner = &limit?.owner;
    snapshot.containers.iter().find(|row| row.cgroup == *owner)?.firm()
}

fn label(row: &ContainerRow) -> String {
    row.name.as_deref().and_then(crate::container::name::Name::label).unwrap_or_else(|| row.cgroup.clone())
}

fn member(row: &ProcessRow) -> Member {
    Member { pid: row.pid, comm: row.comm.clone(), rss_bytes: row.rss_bytes }
}

/// The sum of the charges of the rows; `None` unless all are known.
fn charge(rows: &[&ContainerRow]) -> Option<Charge> {
    let mut charges = rows.iter().map(|row| row.charge.as_ref());
    let first = charges.next()??.clone();
    charges.try_fold(first, |sum, more| Some(balance::add(&sum, more?)))
}

/// What on this page is older than the page.
fn ages(charge: Option<f64>, scan: Option<f64>) -> impl Iterator<Item = String> {
    let said = |what: &str, age: Option<f64>| {
        let age = age.filter(|age| *age > AT_ONCE)?;
        Some(format!("{what} up to {age:.0} s before this page; as root, explain reads anew"))
    };
    let charge = said("the charge by kind was read", charge);
    charge.into_iter().chain(said("page tables were read", scan))
}

fn notes_on(picture: &Picture<'_>, has_insights: bool) -> Vec<String> {
    let mut notes = Vec::new();
    if !has_insights {
        notes.push(
            "verdicts over time (leak, plateau, time until the limit) need history, which only the daemon keeps; \
             this page shows a single reading"
                .to_owned(),
        );
    }
    if picture.facts.has_swap {
        notes.push(
            "this node has swap: the kernel can also swap out heaps; swapped memory is not in the total"
                .to_owned(),
        );
    }
    let unread: Vec<&&ProcessRow> = picture
        .processes
        .iter()
        .filter(|row| row.memory.is_none() && row.totals_only.is_none() && row.rss_bytes > Some(Bytes(0)))
        .collect();
    if !unread.is_empty() {
        let bytes = unread.iter().filter_map(|row| row.rss_bytes).fold(0, |sum, Bytes(rss)| sum + rss);
        notes.push(format!(
            "page tables of {} processes ({} resident) were not read: the owners of their memory are unknown",
            unread.len(),
            Bytes(bytes)
        ));
    }
    let reason = |row: &&ProcessRow| Some((row.pid, row.not_read.clone()?));
    let reasons = picture.processes.iter().filter_map(reason).take(MOST_REASONS);
    notes.extend(reasons.map(|(pid, why)| format!("page tables of pid {pid} could not be read: {why}")));
    for row in &picture.processes {
        if let Some(totals_only) = row.totals_only {
            notes.push(format!("owners of pid {} are unknown: {totals_only}", row.pid));
        }
        if let Some(reason) = row.memory.as_ref().and_then(|memory| memory.stale.as_ref()) {
            notes.push(format!("owners of pid {} are out of date: {reason}", row.pid));
        }
        if let Some(reason) = row.memory.as_ref().and_then(|memory| memory.unfinished.as_ref()) {
            notes.push(format!("owners of pid {} may be incomplete: {reason}", row.pid));
        }
    }
    notes
}
