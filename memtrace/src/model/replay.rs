//! Runs the model on a recording: the same calls, events, scans and answers, so the same rows.
//!
//! Input: a recording. Output: the snapshots that were published, one after the other. Reads nothing else.

use std::io::Read;

use serde::de::DeserializeOwned;

use crate::{
    ingest::{
        decode::decode,
        recording::{Frame, Kind, Reader, RecordError},
    },
    model::{
        Model,
        journal::{Call, Header, Journal},
    },
    snapshot::Snapshot,
};

/// How a replay ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Frames that were read.
    pub frames: u64,
    /// Questions that the recording has no answer to: it is of another version of the model, or cut.
    pub unanswered: u64,
    /// It ends in the middle of a frame.
    pub is_cut: bool,
}

/// Runs a recording; each snapshot goes to `publish`.
///
/// # Errors
/// When it cannot be read, or is damaged. What came before the damage was published.
pub fn replay(input: impl Read, mut publish: impl FnMut(Snapshot)) -> Result<Replayed, RecordError> {
    let mut reader = Reader::new(input)?;
    let damaged = |index, what| RecordError::Damaged { index, what };
    let first = reader.next_frame()?.filter(|frame| frame.kind == Kind::Header);
    let header = first.and_then(|frame| parse::<Header>(&frame.payload)).ok_or(damaged(0, "no header"))?;
    let mut model = Model::replayed(Journal::replayed(), header.geometry);
    while let Some(Frame { kind, payload }) = reader.next_frame()? {
        let bad = |what| damaged(reader.frames() - 1, what);
        match kind {
            Kind::Header => return Err(bad("a second header")),
            Kind::Event => model.apply(&decode(&payload).map_err(|_| bad("no event"))?),
            Kind::Answer => {
                if !model.journal().answer(&payload) {
                    return Err(bad("no answer"));
                }
            }
            Kind::Scan => model.take(parse(&payload).ok_or_else(|| bad("no scan"))?),
            Kind::Walk => model.unwound(&parse(&payload).ok_or_else(|| bad("no walk"))?),
            Kind::Call => match parse(&payload).ok_or_else(|| bad("no call"))? {
                // Whether it had failed then shows in the answers.
                Call::Seed => drop(model.seed()),
                Call::Resync => drop(model.resync()),
                Call::Refresh => model.refresh(),
                Call::Due => drop(model.due()),
                Call::Astray => drop(model.astray()),
                Call::Snapshot(tracer) => publish(model.snapshot(tracer.map(|tracer| *tracer))),
            },
        }
    }
    Ok(Replayed { frames: reader.frames(), unanswered: model.journal().missing(), is_cut: reader.is_cut() })
}

fn parse<T: DeserializeOwned>(payload: &[u8]) -> Option<T> {
    serde_json::from_slice(payload).ok()
}
