//! What the model asks about the node, so that it can be asked again later: live, recorded, or from a recording.
//!
//! Input: a [`Question`] and how to answer it. Output: the answer. While it records, every event, question and call is
//! written down; in a replay nothing is read but the recording. The model reads /proc and cgroupfs by this way alone.

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

/// What a recording is of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Header {
    /// The memtrace that wrote it.
    pub memtrace: String,
    /// Sizes of the machine.
    pub geometry: Geometry,
}

/// What the model asks. A new one needs no more than a name here; recordings without it answer with nothing.
#[derive(Clone, Copy, Debug, Serialize)]
pub enum Question<'a> {
    /// What time it is: of the day, and ns since boot.
    Now,
    /// Which processes there are.
    Pids,
    /// Who a process is.
    Seed(u32),
    /// What of a process is resident.
    Resident(u32),
    /// The most resident bytes of a process's life.
    HighWater(u32),
    /// What a cgroup is charged.
    Usage(&'a [u8]),
    /// The most that a cgroup was ever charged.
    Watermark(&'a [u8]),
    /// The limit that a cgroup itself has.
    OwnLimit(&'a [u8]),
    /// What a cgroup is charged, by kind.
    Charge(&'a [u8]),
    /// The node's memory.
    Node,
}

/// What is done to the model between events.
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
    /// The processes that are watched, if not all.
    family: Option<HashSet<u32>>,
}

#[derive(Debug)]
struct Recorder {
    /// `None` after the first failure.
    writer: Option<Writer<BufWriter<File>>>,
    failure: Option<RecordError>,
}

/// Answers that were not asked for yet, by question, oldest first.
#[derive(Debug, Default)]
struct Answers {
    known: HashMap<Vec<u8>, VecDeque<Vec<u8>>>,
    missing: Cell<u64>,
}

impl Journal {
    /// From the node.
    pub fn live() -> Self {
        Self::default()
    }

    /// From the node, and written down.
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

    /// From a recording.
    pub fn replayed() -> Self {
        Self { answers: Some(RefCell::default()), ..Self::default() }
    }

    /// Whether an event is to be applied; it is written down if so. Children of a watched process are watched too.
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

    /// Of these processes, the ones that are watched.
    pub fn watched(&self, pids: Vec<u32>) -> Vec<u32> {
        match &self.family {
            Some(family) => pids.into_iter().filter(|pid| family.contains(pid)).collect(),
            None => pids,
        }
    }

    /// A scan came.
    pub fn scanned(&self, scan: &Scan) {
        if self.recorder.is_some() {
            self.write(Kind::Scan, &[&json(scan)]);
        }
    }

    /// A stack was walked.
    pub fn unwound(&self, unwound: &Unwound) {
        if self.recorder.is_some() {
            self.write(Kind::Walk, &[&json(unwound)]);
        }
    }

    /// Something was done to the model; what it asked stands before this.
    pub fn called(&self, call: &Call) {
        if self.recorder.is_some() {
            self.write(Kind::Call, &[&json(call)]);
        }
    }

    /// The answer to a question; in a replay, what it was then.
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

    /// Takes an answer of a recording; false when it is none.
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

    /// Questions that the recording did not answer.
    pub fn missing(&self) -> u64 {
        self.answers.as_ref().map_or(0, |answers| answers.borrow().missing.get())
    }

    /// Ends the recording; its bytes.
    ///
    /// # Errors
    /// When it could not be written, now or before.
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

    /// Whether nothing more can be written.
    pub fn has_failed(&self) -> bool {
        self.recorder.as_ref().is_some_and(|recorder| recorder.borrow().failure.is_some())
    }

    fn write(&self, kind: Kind, parts: &[&[u8]]) {
        let Some(recorder) = &self.recorder else { return };
        let mut recorder = recorder.borrow_mut();
        let outcome = recorder.writer.as_mut().map(|writer| writer.write(kind, parts));
        if let Some(Err(error)) = outcome {
            // What was written before is a whole recording.
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

/// Plain data always has a form in JSON; what had none would be an answer that is missing.
fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}
