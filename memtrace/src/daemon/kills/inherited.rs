//! Kills that happened while no daemon ran: read from the rings that earlier daemons left in bpffs.
//!
//! Sets of pins -> kills, oldest first, and counts of those that cannot be read. Sets with kills are removed by the
//! recorder, once these are on disk, all others at once.

use memtrace_common::event::oom::OomKill;

use crate::{
    ingest::decode::{Event, KillEvent, decode},
    oom::recorder::is_kill,
    probe::pins::OldSet,
};

/// A kill that an earlier daemon's programs recorded.
#[derive(Debug)]
pub struct InheritedKill {
    /// The record.
    pub frozen: Box<OomKill>,
    /// The hook that it is from.
    pub hook: String,
    /// Whether the signal hook was attached.
    pub watches_signals: bool,
}

/// What earlier daemons left.
#[derive(Debug, Default)]
pub struct Inherited {
    /// The kills, oldest first.
    pub kills: Vec<InheritedKill>,
    /// The sets that they are in; each holds a ring in kernel memory.
    pub sets: Vec<OldSet>,
    /// Kills that did not fit into the rings.
    pub not_fitting: u64,
    /// Records that cannot be read.
    pub unreadable: u64,
}

/// Reads these sets.
pub fn read(sets: Vec<OldSet>) -> Inherited {
    let mut inherited = Inherited::default();
    for set in sets {
        let left = match set.left() {
            Ok(left) => left,
            Err(error) => {
                // The next daemon may be able to.
                tracing::error!(set = set.name(), %error, "failed to read the ring buffer of an earlier daemon");
                continue;
            }
        };
        let mut unreadable = left.unreadable;
        let kills = kills(&set, &left.records, &mut unreadable);
        if unreadable > 0 {
            tracing::error!(
                set = set.name(),
                records = unreadable,
                "failed to read records of OOM kills that another version of memtrace or a broken program made; the kernel \
                 log may have them"
            );
        }
        inherited.unreadable += unreadable;
        inherited.not_fitting += left.not_fitting;
        if kills.is_empty() {
            set.remove();
        } else {
            inherited.sets.push(set);
        }
        inherited.kills.extend(kills);
    }
    inherited.kills.sort_by_key(|kill| kill.frozen.header.ktime);
    if inherited.not_fitting > 0 {
        tracing::warn!(
            kills = inherited.not_fitting,
            "OOM kills did not fit into the ring buffer of an earlier daemon; the kernel log may have them"
        );
    }
    if !inherited.kills.is_empty() {
        tracing::info!(kills = inherited.kills.len(), "found OOM kills that no daemon has stored");
    }
    inherited
}

fn kills(set: &OldSet, records: &[Vec<u8>], unreadable: &mut u64) -> Vec<InheritedKill> {
    let (hook, watches_signals) = (set.hook("oom_kill").unwrap_or_default(), set.hook("signal").is_some());
    decoded(records, &hook, watches_signals, unreadable)
}

fn decoded(
    records: &[Vec<u8>],
    hook: &str,
    watches_signals: bool,
    unreadable: &mut u64,
) -> Vec<InheritedKill> {
    let mut kills = Vec::new();
    for record in records {
        match decode(record) {
            Ok(Event::Kill(KillEvent::OomKill(frozen))) if is_kill(&frozen, watches_signals) => {
                kills.push(InheritedKill { frozen, hook: hook.to_owned(), watches_signals });
            }
            Ok(_) => {}
            Err(_) => *unreadable += 1,
        }
    }
    kills
}

#[cfg(test)]
mod tests {
    use memtrace_common::event::{
        Kind,
        oom::{OomKill, flag},
    };
    use zerocopy::{FromZeros as _, IntoBytes as _};

    use super::decoded;

    fn record(tid: u32, kind: Kind, flags: u32) -> Vec<u8> {
        let mut kill = OomKill::new_zeroed();
        (kill.header.kind, kill.victim.tid, kill.flags) = (kind as u16, tid, flags);
        kill.as_bytes().to_vec()
    }

    #[test]
    fn only_kills_are_taken_and_the_unreadable_are_counted() {
        let read = flag::VICTIM_READ;
        let records = [
            record(1, Kind::OomKill, read | flag::SIGNALLED),
            record(2, Kind::OomKill, read),
            record(3, Kind::SelfCheck, read | flag::SIGNALLED),
            vec![1, 2, 3],
        ];
        let tids = |watches_signals| {
            let mut unreadable = 0;
            let kills = decoded(&records, "tp_btf:mark_victim", watches_signals, &mut unreadable);
            assert_eq!(unreadable, 1);
            kills.iter().map(|kill| kill.frozen.victim.tid).collect::<Vec<_>>()
        };
        assert_eq!(tids(true), [1], "the second mark killed nobody");
        assert_eq!(tids(false), [1, 2]);
    }
}
