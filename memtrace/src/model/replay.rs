//! Replays a recording: the same calls, events, scans and answers give the same rows.
//!
//! Input: a recording. Output: the published snapshots, one after the other. Reads nothing else.

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

/// The result of a replay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Number of frames read.
    pub frames: u64,
    /// Questions without an answer in the recording: another version of memtrace made it, or it is truncated.
    pub unanswered: u64,
    /// Whether it ends in the middle of a frame.
    pub is_cut: bool,
}

/// Replays a recording; `publish` gets each snapshot.
///
/// # Errors
/// When it cannot be read, or is damaged. The snapshots before the damage were published.
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
                // The answers show whether it failed in the original run.
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
