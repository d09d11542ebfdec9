//! A profile of first touches: the call stacks of a target that touched new memory, before it has a form.
//!
//! Processes of a snapshot, a span, a reader -> [`Profile`]. Its values add up to the same bytes as the rows of
//! `top --by stack`. Must not know a form.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::{
    explain::Subject,
    mm::growth::Window,
    reader::{Reader, mapped::Mapped, stacks},
    snapshot::{GrowthStack, ProcessRow, Snapshot},
    units::{Bytes, Grade},
};

/// What every profile says of its figures.
pub const COMMENTS: [&str; 3] = [
    "first touch, not allocation",
    "sampled page faults: bytes of new pages, also of those that were given back since",
    "the call stacks of each process that touched most; memtrace top --by stack shows the same",
];

/// The most processes whose functions are looked up, the largest first: each is two questions to a reader.
const MOST_NAMED: usize = 64;

/// The span of a profile, as people write it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Span {
    /// Ten seconds.
    Seconds10,
    /// A minute.
    Minute1,
    /// Ten minutes.
    #[default]
    Minutes10,
}

impl Span {
    /// All of them, with their words.
    pub const ALL: [(&'static str, Self); 3] =
        [("10s", Self::Seconds10), ("1m", Self::Minute1), ("10m", Self::Minutes10)];

    /// The span of a word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(known, _)| *known == word).map(|(_, span)| span)
    }

    /// Its nanoseconds.
    pub const fn nanoseconds(self) -> u64 {
        match self {
            Self::Seconds10 => Window::Seconds10.length(),
            Self::Minute1 => Window::Minute1.length(),
            Self::Minutes10 => Window::Minutes10.length(),
        }
    }

    /// Its value of the windows, shortest first.
    fn value<T: Copy>(self, windows: &[T; 3]) -> T {
        let [seconds, minute, minutes] = windows;
        match self {
            Self::Seconds10 => *seconds,
            Self::Minute1 => *minute,
            Self::Minutes10 => *minutes,
        }
    }
}

/// A profile.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The name of the target, for people.
    pub name: String,
    /// The end of the span.
    pub time: Timestamp,
    /// The span.
    pub span: Span,
    /// The bytes that a sample stands for; `None` when it is not known.
    pub period: Option<Bytes>,
    /// The processes that have stacks.
    pub processes: Vec<Process>,
}

/// The stacks of a process.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its name.
    pub comm: String,
    /// The allocator and the use of all this memory, where only one row of the process grew.
    pub owner: Option<(String, String)>,
    /// Where its code is mapped; empty when that could not be read.
    pub mapped: Vec<Mapped>,
    /// Its stacks, and the bytes of each over the span.
    pub stacks: Vec<(GrowthStack, Bytes)>,
}

impl Process {
    /// How its figures were determined: the bytes are sampled, and an owner is inferred.
    pub const fn grade(&self) -> Grade {
        if self.owner.is_some() { Grade::Inferred } else { Grade::Sampled }
    }
}

impl Profile {
    /// The stacks of a subject, without names and mappings yet.
    pub fn of(snapshot: &Snapshot, subject: &Subject<'_>, name: &str, span: Span) -> Self {
        let page = rustix::param::page_size() as u64;
        let every = snapshot.tracer.as_ref().map(|tracer| tracer.fault_period).filter(|every| *every > 0);
        Self {
            name: name.to_owned(),
            time: snapshot.time,
            span,
            period: every.and_then(|every| every.checked_mul(page)).map(Bytes),
            processes: subject.members(snapshot).into_iter().filter_map(|row| process(row, span)).collect(),
        }
    }

    /// Adds the names of functions, and where code is mapped, of the largest processes. The others keep their addresses.
    pub fn complete(&mut self, reader: &mut dyn Reader) {
        for Process { pid, mapped, stacks, .. } in self.processes.iter_mut().take(MOST_NAMED) {
            let mut all: Vec<GrowthStack> = stacks.iter().map(|(stack, _)| stack.clone()).collect();
            stacks::name(*pid, &mut all, |places| reader.names(places));
            let frames = all.iter().flat_map(|stack| &stack.frames);
            let files: BTreeSet<String> = frames.filter_map(|frame| frame.module.clone()).collect();
            let files: Vec<String> = files.into_iter().collect();
            // Without it the profile has addresses and names, but no ranges.
            *mapped = reader.mapped(*pid, &files).unwrap_or_default();
            for ((stack, _), named) in stacks.iter_mut().zip(all) {
                *stack = named;
            }
        }
    }

    /// The number of stacks.
    pub fn stacks(&self) -> usize {
        self.processes.iter().map(|process| process.stacks.len()).sum()
    }

    /// All bytes.
    pub fn total(&self) -> Bytes {
        let all = self.processes.iter().flat_map(|process| &process.stacks);
        Bytes(all.fold(0, |sum, (_, Bytes(bytes))| sum.saturating_add(*bytes)))
    }

    /// The samples that so many bytes come from; at least one, because something was seen.
    pub fn samples(&self, Bytes(bytes): Bytes) -> u64 {
        self.period.map_or(1, |Bytes(period)| (bytes / period.max(1)).max(1))
    }
}

fn process(row: &ProcessRow, span: Span) -> Option<Process> {
    let memory = row.memory.as_ref()?;
    let bytes = |stack: &GrowthStack| span.value(&stack.bytes);
    let stacks = memory.growth_stacks.iter().map(|stack| (stack.clone(), bytes(stack)));
    let stacks: Vec<_> = stacks.filter(|(_, bytes)| bytes.0 > 0).collect();
    if stacks.is_empty() {
        return None;
    }
    let mut grew = memory.arenas.iter().filter(|arena| span.value(&arena.growth_bytes) > Some(0));
    let owner = match (grew.next(), grew.next()) {
        (Some(arena), None) => Some((arena.allocator.to_string(), arena.kind.to_string())),
        _ => None,
    };
    Some(Process { pid: row.pid, comm: row.comm.clone(), owner, mapped: Vec::new(), stacks })
}

#[cfg(test)]
#[path = "profile_tests.rs"]
pub(super) mod tests;
