//! What the threads of the Java workload say that its heap holds, while they churn.

use std::{fs::File, os::unix::fs::FileExt as _};

use super::busy::{THREADS, Truth};

/// For so long, ns, nobody has said what is live: where it was meanwhile is not known. The threads say so a thousand times a
/// millisecond, unless all of them wait for a processor.
const SILENCE: u64 = 500_000;

/// What HotSpot's threads say that its heap holds, and when: so many times three words of each thread, round and round.
pub struct Published {
    memory: File,
    at: u64,
}

/// As in the workload.
const SAID: usize = 4096;

/// A word: true at some time between these two moments.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Word {
    begun: u64,
    ended: u64,
    live: u64,
}

impl Published {
    /// Of a workload that churns and has them at this address.
    pub fn of(pid: u32, at: u64) -> Self {
        Self { memory: File::open(format!("/proc/{pid}/mem")).unwrap(), at }
    }

    /// What was said from a moment on, in order.
    fn since(&self, begun: u64) -> Vec<Word> {
        let mut words = vec![0; 24 * SAID * THREADS as usize];
        self.memory.read_exact_at(&mut words, self.at).unwrap();
        let words: Vec<u64> = words.as_chunks::<8>().0.iter().map(|word| u64::from_ne_bytes(*word)).collect();
        // Begun since then, and written to the end.
        let is_whole = |said: &Word| said.begun >= begun && said.ended >= said.begun;
        let words = words.chunks(3).map(|said| Word { begun: said[0], live: said[1], ended: said[2] });
        let mut said: Vec<Word> = words.filter(is_whole).collect();
        said.sort_unstable();
        said
    }

    /// Waits for a word, and returns when it was begun. While it collects they say nothing.
    pub fn wait(&self) -> u64 {
        let (asked, mut first) = (super::reading::now(), None);
        super::reading::until("a thread says what is live", || {
            first = self.since(asked).first().copied();
            first.is_some()
        });
        first.unwrap().begun
    }

    /// What was true from a word on until after another moment, and whether it was said right before and after that moment:
    /// while all threads wait for a processor, or stop between looking and saying, what is live goes anywhere, for the
    /// collector runs on.
    pub fn between(&self, begun: u64, end: u64) -> (Truth, bool) {
        let said = self.since(begun);
        let later = said.partition_point(|word| word.begun <= end);
        let (before, after) = said.split_at(later);
        let is_short = |word: &&Word| word.ended - word.begun <= SILENCE;
        let last = before.iter().filter(is_short).map(|word| word.ended).max();
        let next = after.iter().find(is_short).map(|word| word.begun);
        let is_known = last.is_some_and(|last| end.saturating_sub(last) <= SILENCE)
            && next.is_some_and(|next| next - end <= SILENCE);
        let meanwhile = before.iter().chain(after.first()).map(|word| Truth::exactly(word.live));
        (meanwhile.reduce(Truth::until).unwrap(), is_known)
    }
}
