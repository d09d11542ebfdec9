//! The threads and tasks beside the engine. Each has its own work, and none blocks another.
//!
//! Here is also the list of all that beat: which are vital, and how many rounds (seconds) each may work without a beat.

pub mod advice;
pub mod history_file;
pub mod judge;
pub mod limit_watch;
pub mod mount_watch;
pub mod otlp;
pub mod scanner;
pub mod serving;
pub mod unwinder;
pub mod verdict_task;

use crate::health::Thread;

const fn vital(name: &'static str, rounds: u64) -> Thread {
    Thread { name, is_vital: true, rounds }
}

const fn helper(name: &'static str, rounds: u64) -> Thread {
    Thread { name, is_vital: false, rounds }
}

/// Takes in events and kills; publishes every second.
pub const ENGINE: Thread = vital("engine", 30);
/// Stores kills. A disk may take long for an fsync.
pub const RECORDER: Thread = vital("recorder", 60);
/// The runtime's tasks: requests, and what follows the snapshots.
pub const SERVING: Thread = vital("serving", 30);
/// The runtime's threads for requests that read files. Requests of trusted clients may fill them for a while.
pub const BLOCKING: Thread = vital("blocking", 120);
/// Accepts connections at the socket.
pub const SOCKET: Thread = vital("socket", 30);
/// Accepts connections at the TCP port.
pub const PORT: Thread = vital("port", 30);
/// Judges all others. [`SERVING`] judges it.
pub const JUDGE: Thread = vital("judge", 30);
/// Asks a reader for pieces of scans, each of which may take a minute on a full node.
pub const SCANNER: Thread = helper("scanner", 300);
/// Asks a reader for walks of stacks: several requests in turn.
pub const UNWINDER: Thread = helper("unwinder", 300);
/// Asks readers for symbol names: several requests in turn, each of which may take a minute on a full node.
pub const SYMBOLS: Thread = helper("symbols", 300);
/// Watches the groups near their limit.
pub const LIMIT_WATCH: Thread = helper("limit-watch", 60);
/// Asks readers for the mounts of groups that are full of tmpfs pages.
pub const MOUNT_WATCH: Thread = helper("mount-watch", 300);
/// Asks readers for the mounts of kills.
pub const KILL_MOUNTS: Thread = helper("kill-mounts", 300);
/// Asks readers for the functions in the stacks of kills, and of processes near their limit.
pub const STACK_NAMES: Thread = helper("stack-names", 300);
/// Asks a reader what fills the heaps of processes near their limit.
pub const HEAPS: Thread = helper("heaps", 300);
/// Starts and reaps reader processes. The readers themselves have deadlines (`reader::pool`).
pub const READERS: Thread = helper("readers", 60);
/// Reads bundles of container runtimes.
pub const NAMER: Thread = helper("namer", 60);
/// Derives findings from the history.
pub const VERDICT: Thread = helper("verdict", 60);
/// Writes the history to its file.
pub const HISTORY: Thread = helper("history", 120);
