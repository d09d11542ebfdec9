//! The model's questions about the node, answered live, live and recorded, or from a recording.
//!
//! Input: a [`Question`] and how to answer it. Output: the answer. A recording contains every event, question and call;
//! a replay reads nothing else. The model reads /proc and cgroupfs only through the journal.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, HashSet, VecDeque},
    fs::File,
    io::BufWriter,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    ingest::{
        decode::{Event, TaskEvent},
        recording::{Kind, RecordError, Writer},
    },
    mm::address_space::Geometry,
    model::{scan::Scan, walk::Unwound},
    snapshot::Tracer,
};

/// The header of a recording.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Header {
    /// The version of memtrace that wrote it.
    pub memtrace: String,
    /// Page sizes of the machine.
    pub geometry: Geometry,
}

/// A question of the model. A new one only needs a variant here; older recordings have no answer to it.
#[derive(Clone, Copy, Debug, Serialize)]
pub enum Question<'a> {
    /// The wall-clock time, and ns since boot.
    Now,
    /// The ids of all processes.
    Pids,
    /// The identity of a process.
    Seed(u32),
    /// The resident memory of a process.
    Resident(u32),
    /// The peak RSS of a process.
    HighWater(u32),
    /// The charge of a cgroup.
    Usage(&'a [u8]),
    /// The highest charge of a cgroup ever.
    Watermark(&'a [u8]),
    /// The limit of the cgroup itself.
    OwnLimit(&'a [u8]),
    /// The charge of a cgroup, by kind.
    Charge(&'a [u8]),
    /// The node's memory.
    Node,
}

/// A call of the model between events.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Call {
    /// `Model::seed`
    Seed,
    /// `Model::refresh`
    Refresh,
    /// `Model::resync`
    Resync,
    /// `Model::due`
    Due,
    /// `Model::astray`
    Astray,
    /// `Model::snapshot`
    Snapshot(Option<Box<Tracer>>),
}

/// Answers questions of the model.
#[derive(Debug, Default)]
pub struct Journal {
    recorder: Option<RefCell<Recorder>>,
    answers: Option<RefCell<Answers>>,
    /// The recorded processes; `None` for all.
    family: Option<HashSet<u32>>,
}

#[derive(Debug)]
struct Recorder {
    /// `None` after the first failure.
    writer: Option<Writer<BufWriter<File>>>,
    failure: Option<RecordError>,
}

/// Answers that were not used yet, by question, oldest first.
#[derive(Debug, Default)]
struct Answers {
    known: HashMap<Vec<u8>, VecDeque<Vec<u8>>>,
    missing: Cell<u64>,
}

impl Journal {
    /// Answers from the node.
    pub fn live() -> Self {
        Self::default()
    }

    /// Answers from the node, and records them.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn recorded(
        mut writer: Writer<BufWriter<File>>,
        header: &Header,
        family: Option<HashSet<u32>>,
    ) -> Result<Self, RecordError> {
        writer.write(Kind::Header, &[&json(header)])?;
        let recorder = Recorder { writer: Some(writer), failure: None };
        Ok(Self { recorder: Some(RefCell::new(recorder)), family, ..Self::default() })
    }

    /// Answers from a recording.
    pub fn replayed() -> Self {
        Self { answers: Some(RefCell::default()), ..Self::default() }
    }

    /// Whether an event must be applied; if so, it is recorded. Children of a recorded process are recorded too.
    pub fn takes(&mut self, event: &Event) -> bool {
        if let Some(family) = &mut self.family {
            if !family.contains(&event.header().tgid) {
                return false;
            }
            if let Event::Task(TaskEvent::Fork(fork)) = event {
                family.insert(fork.child.tgid);
            }
        }
        self.write(Kind::Event, &[event.bytes()]);
        true
    }

    /// Those of the processes that are recorded.
    pub fn watched(&self, pids: Vec<u32>) -> Vec<u32> {
        match &self.family {
            Some(family) => pids.into_iter().filter(|pid| family.contains(pid)).collect(),
            None => pids,
        }
    }

    /// Records a scan.
    pub fn scanned(&self, scan: &Scan) {
        if self.recorder.is_some() {
            self.write(Kind::Scan, &[&json(scan)]);
        }
    }

    /// Records the walk of a stack.
    pub fn unwound(&self, unwound: &Unwound) {
        if self.recorder.is_some() {
            self.write(Kind::Walk, &[&json(unwound)]);
        }
    }

    /// Records a call, after the questions that it asked.
    pub fn called(&self, call: &Call) {
        if self.recorder.is_some() {
            self.write(Kind::Call, &[&json(call)]);
        }
    }

    /// The answer to a question; in a replay, the recorded one.
    pub fn ask<T>(&self, question: &Question<'_>, live: impl FnOnce() -> T) -> T
    where
        T: Serialize + DeserializeOwned + Default,
    {
        if let Some(answers) = &self.answers {
            return answers.borrow_mut().take(&json(question));
        }
        let answer = live();
        if self.recorder.is_some() {
            let (question, given) = (json(question), json(&answer));
            let length = u32::try_from(question.len()).unwrap_or(u32::MAX);
            self.write(Kind::Answer, &[&length.to_le_bytes(), &question, &given]);
        }
        answer
    }

    /// Takes an answer of a recording; false when it cannot be decoded.
    pub fn answer(&self, payload: &[u8]) -> bool {
        let Some((length, rest)) = payload.split_first_chunk::<4>() else { return false };
        let Some((question, answer)) = rest.split_at_checked(u32::from_le_bytes(*length) as usize) else {
            return false;
        };
        if let Some(answers) = &self.answers {
            let known = &mut answers.borrow_mut().known;
            known.entry(question.to_vec()).or_default().push_back(answer.to_vec());
        }
        true
    }

    /// The number of questions without a recorded answer.
    pub fn missing(&self) -> u64 {
        self.answers.as_ref().map_or(0, |answers| answers.borrow().missing.get())
    }

    /// Ends the recording. Returns its size in bytes.
    ///
    /// # Errors
    /// When writing failed, now or before.
    pub fn finish(&mut self) -> Result<u64, RecordError> {
        let Some(recorder) = self.recorder.take() else { return Ok(0) };
        let Recorder { writer, failure } = recorder.into_inner();
        match (writer, failure) {
            (Some(writer), None) => {
                let written = writer.written();
                writer.finish().map(|_| written)
            }
            (_, Some(failure)) => Err(failure),
            (None, None) => Ok(0),
        }
    }

    /// Whether writing has failed.
    pub fn has_failed(&self) -> bool {
        self.recorder.as_ref().is_some_and(|recorder| recorder.borrow().failure.is_some())
    }

    fn write(&self, kind: Kind, parts: &[&[u8]]) {
        let Some(recorder) = &self.recorder else { return };
        let mut recorder = recorder.borrow_mut();
        let outcome = recorder.writer.as_mut().map(|writer| writer.write(kind, parts));
        if let Some(Err(error)) = outcome {
            // The part written so far is a valid recording.
            if let Some(writer) = recorder.writer.take() {
                let _ = writer.finish();
            }
            recorder.failure = Some(error);
        }
    }
}

impl Answers {
    fn take<T: DeserializeOwned + Default>(&mut self, question: &[u8]) -> T {
        let answer = self.known.get_mut(question).and_then(VecDeque::pop_front);
        let answer = answer.and_then(|answer| serde_json::from_slice(&answer).ok());
        if answer.is_none() {
            self.missing.set(self.missing.get() + 1);
        }
        answer.unwrap_or_default()
    }
}

/// Plain data always has a JSON form; a failure would only lose one answer.
fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}
