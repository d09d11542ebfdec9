//! The blocks of a report, in order of importance.
//!
//! `&OomRecord` -> [`Document`]. Blocks without data in the record are left out, except for those that every record
//! has: these show unknown values.

mod arenas;
mod chain;
mod composition;
mod limit;
mod names;
mod objects;
mod outcome;
mod processes;
mod timeline;
mod trigger;
mod victim;
mod why;

pub(super) use self::{
    composition::{Part, parts},
    timeline::peak_of,
};
use super::{
    describe::moment,
    document::{Block, Document},
    sentence,
};
use crate::{
    oom::{
        cause::CauseKind,
        record::{OomRecord, circumstances::Source},
    },
    text::printable,
};

/// The document; `again` says which kill of its workload it is.
pub(super) fn document(record: &OomRecord, again: Option<&str>) -> Document {
    let cause = record.circumstances.cause.as_ref();
    // An unknown cause is no answer.
    let answer = cause.filter(|cause| cause.kind != CauseKind::Unknown).map(|cause| cause.sentence.clone());
    let mut lead: Vec<String> = answer.into_iter().chain([sentence(record)]).collect();
    // The first paragraph is the answer.
    lead.extend(again.map(printable));
    if let [_, rest @ ..] = lead.as_mut_slice() {
        rest.rotate_right(usize::from(again.is_some() && !rest.is_empty()));
    }
    let blocks = [
        cause.map(|cause| why::why(record, cause)),
        Some(when(record)),
        names::names(record),
        timeline::timeline(record),
        composition::composition(record),
        Some(victim::victim(record)),
        Some(victim::memory(&record.victim.memory)),
        Some(limit::limit(record)),
        Some(chain::chain(record)),
        processes::processes(record),
        arenas::arenas(record),
        arenas::counters(record),
        arenas::stacks(record),
        objects::objects(record),
        outcome::more_victims(record),
        Some(trigger::trigger(record)),
        outcome::node(record),
        outcome::outcome(record),
        Some(evidence(record)),
    ];
    Document { lead, blocks: blocks.into_iter().flatten().collect(), closing: closing(record).to_owned() }
}

fn when(record: &OomRecord) -> Block {
    let mut block = Block::new("When");
    block.field("time", moment(record.time));
    block.field("since boot", since_boot(record.ktime_ns));
    block.field("boot id", &record.boot_id);
    block.field("record id", &record.id);
    block
}

/// Seconds in the format of the kernel log, to find the lines there; unlike this clock, the log's stops in suspend.
fn since_boot(ktime_ns: u64) -> String {
    format!("{}.{:06} s", ktime_ns / 1_000_000_000, ktime_ns % 1_000_000_000 / 1_000)
}

fn evidence(record: &OomRecord) -> Block {
    let evidence = &record.evidence;
    let mut block = Block::new("Evidence");
    match record.circumstances.source {
        Source::Live => block.field("hook", &evidence.hook),
        Source::KernelLog => {
            block.field("found in", &evidence.hook);
            block.doubt("source", "the kernel log, read later: the daemon did not see this kill");
        }
    }
    let signal = match (evidence.kill_signal_seen, record.circumstances.source) {
        (true, _) => "seen: the kernel sent SIGKILL",
        (false, Source::Live) => "not traced: the hook implies that SIGKILL followed",
        (false, Source::KernelLog) => "not traced: the kernel log says that it killed",
    };
    block.field("signal", signal);
    if evidence.losses.is_empty() && record.circumstances.source == Source::Live {
        block.field("lost", "no events before this kill");
    }
    for loss in &evidence.losses {
        block.doubt("lost", format!("{} {}: {}", loss.count, loss.name, loss.meaning));
    }
    for unknown in &evidence.unknown {
        block.doubt("unknown", unknown);
    }
    block
}

fn closing(record: &OomRecord) -> &'static str {
    if record.evidence.kill_signal_seen {
        "The program did not crash: the kernel killed it with SIGKILL."
    } else {
        "The program did not crash: the kernel's OOM killer ends programs with SIGKILL."
    }
}
