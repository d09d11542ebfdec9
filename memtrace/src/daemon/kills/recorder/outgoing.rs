//! The engine's end of the channel to the recorder, bounded in bytes.
//!
//! Kills and ends of processes -> the channel. The recorder waits for the disk, the engine never waits for the recorder:
//! what the channel has no room for is left out of kills, and ends are dropped and counted. Kills are always sent.

use std::sync::{Arc, atomic::Ordering, mpsc::Sender};

use memtrace_common::event::oom::OomKill;

use super::{Counts, Kill, News};
use crate::{
    allocator::counters::{Absent, Counters},
    ingest::loss::{ENDS_DROPPED, Loss},
    model::{AtKill, Latest, exits::Ended},
    snapshot::{GrowthStack, Memory, UserFrame},
};

/// Bytes that wait, above which kills are sent without what the model knows, and with the snapshot of the first of them.
const MUCH: u64 = 4 << 20;
/// Bytes that wait, above which ends of processes are dropped.
const MOST: u64 = 8 << 20;
/// Bytes of the text in a small value.
const TEXT: usize = 128;

/// Where the engine sends kills and ends.
pub struct Outgoing {
    sender: Sender<News>,
    counts: Arc<Counts>,
    /// The snapshot of the kills since the recorder is far behind: each snapshot that waits would be kept in memory.
    behind: Option<Latest>,
    dropped: u64,
}

impl Outgoing {
    /// The end of this channel.
    pub const fn new(sender: Sender<News>, counts: Arc<Counts>) -> Self {
        Self { sender, counts, behind: None, dropped: 0 }
    }

    /// Sends a kill.
    pub fn kill(&mut self, kill: Kill) {
        let kill = if self.queued() <= MUCH {
            self.behind = None;
            kill
        } else {
            let snapshot = self.behind.get_or_insert_with(|| kill.snapshot.clone()).clone();
            let at_kill = AtKill { victim: None, copies: Vec::new(), ..kill.at_kill };
            Kill { at_kill, snapshot, ..kill }
        };
        if !self.send(News::Kill(Box::new(kill))) {
            tracing::error!("the recorder thread has ended; an OOM kill is lost");
        }
    }

    /// Sends the end of a process.
    pub fn ended(&mut self, ended: Ended, latest: &Latest) {
        if self.queued() > MOST {
            self.dropped += 1;
            return;
        }
        let latest = self.behind.as_ref().filter(|_| self.queued() > MUCH).unwrap_or(latest);
        if !self.send(News::Ended(Box::new(ended), latest.clone())) {
            tracing::error!("the recorder thread has ended; a process exit is lost");
        }
    }

    /// The ends that were dropped, if there are any.
    pub fn loss(&self) -> Option<Loss> {
        let (name, meaning) = ENDS_DROPPED;
        let loss = Loss { name: name.to_owned(), count: self.dropped, meaning: meaning.to_owned() };
        (self.dropped > 0).then_some(loss)
    }

    fn queued(&self) -> u64 {
        self.counts.queued.load(Ordering::Relaxed)
    }

    /// False when the recorder has ended.
    fn send(&self, news: News) -> bool {
        self.counts.queued.fetch_add(news.size(), Ordering::Relaxed);
        self.sender.send(news).is_ok()
    }
}

impl News {
    /// Bytes of the message, without the snapshot, which is shared.
    pub(super) fn size(&self) -> u64 {
        let bytes = match self {
            Self::Kill(kill) => {
                let AtKill { victim, copies, ancestors } = &kill.at_kill;
                let lists = size_of_val(&**copies) + size_of_val(&**ancestors);
                let losses = kill.losses.len() * (size_of::<Loss>() + TEXT);
                let victim = victim.as_ref().map_or(0, size_of_memory);
                size_of::<Kill>() + size_of::<OomKill>() + losses + lists + victim
            }
            Self::Ended(..) => size_of::<Ended>() + 4 * TEXT,
        };
        (size_of::<Self>() + bytes) as u64
    }
}

fn size_of_memory(memory: &Memory) -> usize {
    let frames: usize = memory.growth_stacks.iter().map(|stack| stack.frames.len()).sum();
    let stacks = memory.growth_stacks.len() * size_of::<GrowthStack>();
    let counters = memory.counters.len() * (size_of::<Counters>() + TEXT);
    let absent = memory.without_counters.len() * (size_of::<Absent>() + TEXT);
    let frames = frames * (size_of::<UserFrame>() + TEXT);
    size_of_val(&*memory.arenas) + stacks + frames + counters + absent
}

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::mpsc::channel};

    use zerocopy::FromZeros as _;

    use super::*;
    use crate::model::{Model, kill::Copy};

    fn kill(snapshot: &Latest, copies: usize) -> Kill {
        let copies = vec![Copy { pid: 1, parent: 2, since: 3 }; copies];
        let at_kill = AtKill { victim: Some(Memory::default()), copies, ancestors: vec![1] };
        Kill {
            frozen: Box::new(OomKill::new_zeroed()),
            losses: Vec::new(),
            at_kill,
            snapshot: snapshot.clone(),
            earlier: None,
        }
    }

    /// The recorder waits for a disk, and kills go on.
    #[test]
    fn a_recorder_that_is_behind_gets_every_kill_and_the_queue_stays_small() {
        let (sender, receiver) = channel();
        let counts = Arc::new(Counts::default());
        let mut outgoing = Outgoing::new(sender, Arc::clone(&counts));
        let latest =
            || Latest { snapshot: Arc::new(Model::of_host(Path::new("/nowhere")).snapshot(None)), at: 0 };
        let first = latest();
        // Each with a list of many copied processes.
        (0..1000).for_each(|_| outgoing.kill(kill(&first, 20_000)));
        let one = (size_of::<Kill>() + size_of::<OomKill>() + 1000) as u64;
        assert!(outgoing.queued() < MUCH + 1000 * one + (1 << 20), "{} bytes", outgoing.queued());
        let (second, third) = (latest(), latest());
        outgoing.kill(kill(&second, 0));
        outgoing.kill(kill(&third, 0));
        let told: Vec<Kill> = receiver
            .try_iter()
            .map(|news| {
                counts.queued.fetch_sub(news.size(), Ordering::Relaxed);
                let News::Kill(kill) = news else { panic!("no kill") };
                *kill
            })
            .collect();
        assert_eq!(told.len(), 1002, "no kill is dropped");
        assert!(told.iter().skip(100).all(|kill| kill.at_kill.victim.is_none()));
        assert!(told.iter().all(
            |kill| kill.at_kill.ancestors == [1] && Arc::ptr_eq(&kill.snapshot.snapshot, &first.snapshot)
        ));
        assert_eq!(outgoing.queued(), 0);
        outgoing.kill(kill(&third, 5));
        let Ok(News::Kill(kill)) = receiver.try_recv() else { panic!("no kill") };
        assert!(kill.at_kill.copies.len() == 5 && Arc::ptr_eq(&kill.snapshot.snapshot, &third.snapshot));
        assert_eq!(outgoing.loss(), None);
    }
}
