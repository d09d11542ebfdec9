//! What the recorder works with: messages of the engine, and facts and handles that do not change.
//!
//! Plain values -> [`Surroundings`], [`News`]. Must not decide anything.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::AtomicU64,
        mpsc::{Receiver, SyncSender},
    },
    time::Duration,
};

use memtrace_common::event::oom::OomKill;

use crate::{
    cgroup::hierarchy::Hierarchy,
    container::{namer::Change, names::Names, sources::Ended as EndedSaid},
    daemon::kills::{
        backfill::Backfill, heaps::Heaps, inherited::Inherited, mounts::Mounts, stack_names::StackNames,
    },
    health::Beat,
    history::shared::Shared,
    ingest::loss::Loss,
    model::{AtKill, Latest, exits::Ended},
    oom::dump::Dump,
    probe::kill_ring::Releaser,
    snapshot::StoreState,
    store::guard::Guard,
};

/// How many kills are kept.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// The longest age; zero means for ever.
    pub age: Duration,
    /// The largest size of the store, in bytes.
    pub bytes: u64,
}

/// A kill, and what the engine knew when it arrived.
pub struct Kill {
    /// The record from the kernel programs.
    pub frozen: Box<OomKill>,
    /// Losses until then.
    pub losses: Vec<Loss>,
    /// What the model knew of the victim.
    pub at_kill: AtKill,
    /// The last snapshot before.
    pub snapshot: Latest,
    /// Set for a kill from before this daemon.
    pub earlier: Option<Earlier>,
}

/// What is different about a kill from before this daemon.
pub struct Earlier {
    /// The hook that saw it.
    pub hook: String,
    /// Whether the signal hook was attached.
    pub watches_signals: bool,
    /// The kernel's report.
    pub report: Option<Dump>,
    /// The cgroups that exist now: their ids are never used again. Many kills may be of cgroups that are gone, and
    /// each must not cause another walk over the hierarchy.
    pub paths: Arc<HashMap<u64, Vec<u8>>>,
}

/// A message from the engine.
pub enum News {
    /// A kill.
    Kill(Box<Kill>),
    /// The end of a process, and the last snapshot before it.
    Ended(Box<Ended>, Latest),
}

/// Counts that the snapshot shows.
#[derive(Debug, Default)]
pub struct Counts {
    /// Durable.
    pub stored: AtomicU64,
    /// Waiting for the disk, or given up.
    pub not_stored: AtomicU64,
    /// Bytes of the messages that the recorder has not taken yet.
    pub queued: AtomicU64,
    /// The state of the store.
    pub store: Mutex<StoreState>,
}

/// Facts and handles that do not change while the daemon runs.
pub struct Surroundings {
    /// This boot.
    pub boot_id: String,
    /// The hook.
    pub hook: String,
    /// Whether the signal hook is attached.
    pub watches_signals: bool,
    /// The cgroup hierarchy.
    pub hierarchy: Option<Hierarchy>,
    /// The store.
    pub store: Guard,
    /// The history: counts kills, and has the usage before them.
    pub shared: Shared,
    /// How many are kept.
    pub keep: Keep,
    /// Kills of the kernel log; `None` when backfill is disabled.
    pub backfill: Option<Backfill>,
    /// Kills that earlier daemons left.
    pub inherited: Inherited,
    /// Lets the records of stored kills go.
    pub releaser: Releaser,
    /// Reads the mounts of kills.
    pub mounts: Mounts,
    /// Names of the functions in the stacks of kills.
    pub stack_names: StackNames,
    /// What filled the heaps of their victims.
    pub heaps: Heaps,
    /// Names of cgroups.
    pub names: Names,
    /// Channel on which the namer is asked how a killed container ended.
    pub changes: SyncSender<Change>,
    /// Its answers.
    pub ended: Receiver<EndedSaid>,
    /// The thread's beat.
    pub beat: Beat,
}
