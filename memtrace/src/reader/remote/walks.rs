//! Walks of stacks in a reader process.
//!
//! Jobs -> requests, one for the stacks of one process -> walks. The code of a process is sent once for each version of it.

use std::sync::Arc;

use lru::LruCache;

use super::PATIENCE;
use crate::{
    model::walk::{self, Unwound},
    reader::{
        NotRead,
        pool::session::Line,
        protocol::{Answer, Ask},
        wire::walk::{Known, MOST_KNOWN, Modules, PackedCopy, Walk},
    },
    unwind::{
        Module,
        walk::{MOST_FRAMES, Walked},
    },
};

/// Walks through this line.
pub struct Walks<L> {
    line: L,
    /// Code by pid, with its key in the process of this number.
    known: LruCache<u32, (Arc<[Module]>, u64)>,
    known_by: u64,
    keys: u64,
}

impl<L: Line> Walks<L> {
    pub fn new(line: L) -> Self {
        Self { line, known: LruCache::new(MOST_KNOWN), known_by: 0, keys: 0 }
    }

    /// Ends the process if it was not used since the last call.
    pub fn rest(&mut self) {
        self.line.rest();
    }

    #[cfg(test)]
    pub const fn line(&mut self) -> &mut L {
        &mut self.line
    }

    /// Walks copies of stacks: one result for each, in order.
    pub fn walk(&mut self, jobs: Vec<walk::Job>) -> Vec<Unwound> {
        let mut done = Vec::with_capacity(jobs.len());
        let mut jobs = jobs.into_iter().peekable();
        while let Some(first) = jobs.next() {
            let mut batch = vec![first];
            while let Some(next) =
                jobs.next_if(|next| batch.last().is_some_and(|last| are_together(last, next)))
            {
                batch.push(next);
            }
            let pid = batch.first().map_or(0, |job| job.key.pid);
            done.extend(self.together(pid, batch));
        }
        done
    }

    /// Walks stacks of one process with the same code.
    fn together(&mut self, pid: u32, jobs: Vec<walk::Job>) -> Vec<Unwound> {
        let modules = jobs.first().and_then(|job| job.modules.clone());
        let (keys, copies): (Vec<_>, Vec<_>) = jobs.into_iter().map(|job| (job.key, job.copy.into())).unzip();
        let answer = self.ask(pid, modules.as_ref(), copies);
        if let Err(why) = &answer
            && *why != NotRead::Gone
        {
            self.line.count(why);
        }
        let mut walked = answer.unwrap_or_default().into_iter();
        keys.into_iter().map(|key| Unwound { key, walked: walked.next() }).collect()
    }

    fn ask(
        &mut self,
        pid: u32,
        modules: Option<&Arc<[Module]>>,
        copies: Vec<PackedCopy>,
    ) -> Result<Vec<Walked>, NotRead> {
        let whom = self.line.check(pid)?;
        let count = copies.len();
        let mut walk = Walk { modules: None, copies };
        let mut death = None;
        // A second time if the process has died, perhaps before, or has forgotten the code.
        for _ in 0..2 {
            walk.modules = modules.map(|modules| self.refer(pid, modules));
            let ask = Ask::Walk(pid, walk);
            match self.line.ask(whom, &ask, PATIENCE) {
                Ok(Answer::Walk(Some(walked))) if is_valid(&walked, count) => return Ok(walked),
                Ok(Answer::Walk(None)) => drop(self.known.pop(&pid)),
                Err(NotRead::Died(error)) => death = Some(NotRead::Died(error)),
                Err(why) => return Err(why),
                Ok(_) => return Err(NotRead::protocol_error()),
            }
            let Ask::Walk(_, again) = ask else { break };
            walk = again;
        }
        let why = death.inspect(|why| self.line.blame(whom, why));
        Err(why.unwrap_or_else(NotRead::protocol_error))
    }

    /// The key of this code, with the code itself when the process does not know it yet.
    fn refer(&mut self, pid: u32, modules: &Arc<[Module]>) -> Known {
        if self.known_by != self.line.number() {
            self.known.clear();
        }
        self.known_by = self.line.number();
        if let Some((known, key)) = self.known.get(&pid)
            && Arc::ptr_eq(known, modules)
        {
            return Known { key: *key, list: None };
        }
        self.keys += 1;
        self.known.put(pid, (Arc::clone(modules), self.keys));
        Known { key: self.keys, list: Some(Modules::pack(modules)) }
    }
}

fn is_valid(walked: &[Walked], count: usize) -> bool {
    walked.len() == count && walked.iter().all(|walked| (1..=MOST_FRAMES).contains(&walked.frames.len()))
}

/// Whether two stacks belong to the same code of the same process.
fn are_together(a: &walk::Job, b: &walk::Job) -> bool {
    a.key.pid == b.key.pid
        && match (&a.modules, &b.modules) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        }
}
