//! The protocol between the daemon and a reader process.
//!
//! Values <-> frames on a stream: a length of four bytes, then postcard. Neither side trusts the other: the length of a
//! frame is bounded, and a frame that does not decode is an error. Must not read other processes.

use std::io::{self, Read};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    mapped::Mapped,
    tmpfs::Tmpfs,
    wire::{
        scan::{Begin, Detail, Scan},
        walk::Walk,
    },
};
use crate::{allocator::objects::Census, symbols::Place, units::Bytes, unwind::walk::Walked};

/// The largest frame in bytes; it holds the places of some thousand stacks, or some 200,000 mappings.
const MOST: usize = 16 << 20;

/// A request. Each is about one process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Ask {
    /// [`super::Reader::mounts`].
    Mounts(u32),
    /// [`super::Reader::has_thread`].
    HasThread(u32, Vec<String>),
    /// [`super::Reader::names`]; all places belong to this process.
    Names(u32, Vec<Place>),
    /// A piece of a scan of this process.
    Scan(u32, Step),
    /// [`super::Reader::walk`]; all copies belong to this process.
    Walk(u32, Walk),
    /// [`super::Reader::huge_pages`].
    HugePages(u32),
    /// [`super::Reader::mapped`].
    Mapped(u32, Vec<String>),
    /// [`super::Reader::objects`].
    Objects(u32),
}

/// The next piece of a scan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Step {
    /// The first piece of a new scan.
    Begin(Box<Begin>),
    /// The next piece of the scan with this number.
    GoOn(u64),
    /// The same, with what was wanted for its counters; without it they are not read.
    Detail(u64, Option<Box<Detail>>),
}

impl Ask {
    /// The process to read.
    pub const fn pid(&self) -> u32 {
        match self {
            Self::Mounts(pid)
            | Self::HasThread(pid, _)
            | Self::HugePages(pid)
            | Self::Mapped(pid, _)
            | Self::Objects(pid)
            | Self::Names(pid, _)
            | Self::Scan(pid, _)
            | Self::Walk(pid, _) => *pid,
        }
    }
}

/// The answer to the request of the same name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// `None` when the process is gone.
    Mounts(Option<Vec<Tmpfs>>),
    /// Whether the process has such a thread.
    HasThread(bool),
    /// One for each place.
    Names(Vec<Option<String>>),
    /// A piece of a scan.
    Scan(Piece),
    /// One walk for each copy; `None` when the key of the code is not known.
    Walk(Option<Vec<Walked>>),
    /// The answer does not fit in a frame.
    TooLarge,
    /// `None` when the process is gone, or its kernel does not say.
    HugePages(Option<Bytes>),
    /// `None` when the process is gone.
    Mapped(Option<Vec<Mapped>>),
    /// `None` when the process is gone.
    Objects(Option<Census>),
}

/// The result of a piece of a scan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Piece {
    /// There is more to do, under this number.
    More(u64),
    /// Regions and evidence are wanted for the counters.
    Wants(u64),
    /// It is complete.
    Done(Box<Scan>),
    /// No scan has this number, or the request was invalid.
    Unknown,
}

/// Encodes one frame; `None` when the value is too large.
pub fn frame(value: &impl Serialize) -> Option<Vec<u8>> {
    let mut frame = postcard::to_extend(value, vec![0; LENGTH]).ok()?;
    let body = frame.len().checked_sub(LENGTH).filter(|body| *body <= MOST)?;
    frame.first_chunk_mut::<LENGTH>()?.copy_from_slice(&u32::try_from(body).ok()?.to_le_bytes());
    Some(frame)
}

/// Bytes of the length.
const LENGTH: usize = 4;

/// Reads one frame.
///
/// # Errors
/// When the stream ends or fails, the frame is too long, or it does not decode.
pub fn receive<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<T> {
    let mut len = [0; LENGTH];
    from.read_exact(&mut len)?;
    let len = u32::from_le_bytes(len);
    if usize::try_from(len).is_ok_and(|len| len > MOST) {
        return Err(io::Error::other(format!("a frame of {len} bytes")));
    }
    // The buffer grows as bytes arrive, so that a length alone allocates nothing.
    let mut body = Vec::new();
    from.take(len.into()).read_to_end(&mut body)?;
    postcard::from_bytes(&body).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_sent_is_received(pid: u32, names: Vec<String>, path in "/[a-z]{0,20}", offset: u64) {
            let place = Place { pid, path: path.into(), offset, inode: Some(offset) };
            let asks = [
                Ask::Mounts(pid),
                Ask::HasThread(pid, names.clone()),
                Ask::HugePages(pid),
                Ask::Objects(pid),
                Ask::Names(pid, vec![place]),
                Ask::Mapped(pid, names),
            ];
            let mut stream = Vec::new();
            asks.iter().for_each(|ask| stream.extend(frame(ask).unwrap()));
            let mut stream = &*stream;
            for ask in asks {
                prop_assert_eq!(receive::<Ask>(&mut stream).unwrap(), ask);
            }
            prop_assert!(receive::<Ask>(&mut stream).is_err(), "the stream is at its end");
        }

        #[test]
        fn any_bytes_are_an_answer_or_an_error(bytes: Vec<u8>) {
            let _ = receive::<Answer>(&mut &*bytes);
            let framed = [&u32::try_from(bytes.len()).unwrap().to_le_bytes()[..], &bytes].concat();
            if let Ok(answer) = receive::<Answer>(&mut &*framed) {
                let again = frame(&answer).unwrap();
                prop_assert_eq!(receive::<Answer>(&mut &*again).unwrap(), answer);
            }
        }
    }

    #[test]
    fn a_length_beyond_the_bound_is_refused_before_anything_is_read() {
        let mut stream = &[0xff; 8][..];
        assert!(receive::<Answer>(&mut stream).is_err());
        assert_eq!(stream.len(), 4);
    }
}
