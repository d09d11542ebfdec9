//! What arrives at either side of the boundary, for the fuzzer.
//!
//! Any bytes -> what the side would take of them. Must not read a process.

use super::protocol::{Answer, Ask, Piece, Step, frame, receive};
use crate::{model::scan::Scan, units::Bytes};

/// What is taken of a message.
#[derive(Debug)]
pub struct Taken {
    /// The scan that the daemon would take, if any.
    pub scan: Option<Scan>,
    /// Whether the message is the same after it was sent again.
    pub is_same: bool,
}

/// Takes a message from these bytes; `None` when they are none.
pub fn take(bytes: &[u8]) -> Option<Taken> {
    let (side, body) = bytes.split_first()?;
    let length = u32::try_from(body.len()).ok()?;
    let framed = [&length.to_le_bytes()[..], body].concat();
    if side & 1 != 0 {
        let ask: Ask = receive(&mut &*framed).ok()?;
        let is_same = again(&ask).as_ref() == Some(&ask);
        match ask {
            Ask::Scan(_, Step::Begin(begin)) => drop(begin.plan()),
            Ask::Scan(_, Step::Detail(_, Some(detail))) => drop(detail.unpack()),
            Ask::Walk(_, walk) => drop(walk.modules.and_then(|known| known.list?.unpack())),
            _ => {}
        }
        return Some(Taken { scan: None, is_same });
    }
    let answer: Answer = receive(&mut &*framed).ok()?;
    let is_same = again(&answer).as_ref() == Some(&answer);
    let scan = match answer {
        Answer::Scan(Piece::Done(scan)) => scan.unpack(PID, Bytes(u64::MAX)),
        _ => None,
    };
    Some(Taken { scan, is_same })
}

/// The process that the scan is of.
pub const PID: u32 = 7;

fn again<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> Option<T> {
    receive(&mut &*frame(value)?).ok()
}
