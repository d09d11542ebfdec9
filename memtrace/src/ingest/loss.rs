//! All losses, by name.
//!
//! Input: the counters of the kernel programs and of the reader. Output: one list for headers, reports and metrics.

use memtrace_common::counter::Counter;
use serde::{Deserialize, Serialize};

/// One way to lose facts, and how often it has happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// Name, the same in all outputs.
    pub name: String,
    /// How often, since the tracer started.
    pub count: u64,
    /// What was lost, in words.
    pub meaning: String,
}

impl Loss {
    /// A loss in the kernel; `None` if it never happened.
    pub fn of_kernel(counter: Counter, count: u64) -> Option<Self> {
        let (name, meaning) = (counter.name().to_owned(), counter.meaning().to_owned());
        (count > 0).then_some(Self { name, count, meaning })
    }
}

/// Losses of the reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReaderLosses {
    /// Records that could not be decoded.
    pub undecodable: u64,
    /// Events that arrived after a later one had been handled.
    pub late: u64,
}

/// Names and meanings of the reader's losses, in the order of [`ReaderLosses`].
pub const READERS: [(&str, &str); 2] = [
    ("undecodable", "records that could not be decoded"),
    ("late", "events that arrived too late to be put in order"),
];

/// Name and meaning of the ends of processes that were dropped.
pub const ENDS_DROPPED: (&str, &str) =
    ("ends_dropped", "ends of processes that were not recorded, because the recorder waits for the disk");

/// All losses with a count above 0, the kernel's first. `kernel` is in the order of [`Counter::ALL`].
pub fn losses(kernel: &[u64], reader: &ReaderLosses) -> Vec<Loss> {
    let ReaderLosses { undecodable, late } = *reader;
    let ours = READERS.into_iter().zip([undecodable, late]);
    Counter::ALL
        .iter()
        .zip(kernel)
        .map(|(counter, count)| (counter.name(), *count, counter.meaning()))
        .chain(ours.map(|((name, meaning), count)| (name, count, meaning)))
        .filter(|(_, count, _)| *count > 0)
        .map(|(name, count, meaning)| Loss { name: name.to_owned(), count, meaning: meaning.to_owned() })
        .collect()
}

#[cfg(test)]
mod tests {
    use memtrace_common::counter::Counter;

    use super::{ReaderLosses, losses};

    #[test]
    fn only_what_happened_is_listed() {
        let mut kernel = vec![0; Counter::COUNT];
        assert_eq!(losses(&kernel, &ReaderLosses::default()), []);
        kernel[Counter::KillsFull as usize] = 3;
        let found = losses(&kernel, &ReaderLosses { undecodable: 2, ..ReaderLosses::default() });
        let names: Vec<_> = found.iter().map(|loss| (loss.name.as_str(), loss.count)).collect();
        assert_eq!(names, [("kills_full", 3), ("undecodable", 2)]);
    }
}
