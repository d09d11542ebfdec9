//! The protocol between the daemon and a reader process.
//!
//! Values <-> frames on a stream: a length of four bytes, then postcard. Neither side trusts the other: the length of a
//! frame is bounded, and a frame that does not decode is an error. Must not read other processes.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::tmpfs::Tmpfs;
use crate::symbols::Place;

/// The largest frame in bytes; it holds the places of some thousand stacks.
const MOST: usize = 16 << 20;

/// A request. Each is about one process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// [`super::Reader::mounts`].
    Mounts(u32),
    /// [`super::Reader::has_thread`].
    HasThread(u32, Vec<String>),
    /// [`super::Reader::names`]; all places belong to this process.
    Names(u32, Vec<Place>),
}

impl Ask {
    /// The process to read.
    pub const fn pid(&self) -> u32 {
        match self {
            Self::Mounts(pid) | Self::HasThread(pid, _) | Self::Names(pid, _) => *pid,
        }
    }
}

/// The answer to the request of the same name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// `None` when the process is gone.
    Mounts(Option<Vec<Tmpfs>>),
    /// Whether the process has such a thread.
    HasThread(bool),
    /// One for each place.
    Names(Vec<Option<String>>),
}

/// Writes one frame.
///
/// # Errors
/// When the stream fails, or the value is too large for a frame.
pub fn send(to: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let body = postcard::to_stdvec(value).map_err(io::Error::other)?;
    let len = u32::try_from(body.len()).ok().filter(|_| body.len() <= MOST);
    let len = len.ok_or_else(|| io::Error::other("too large for a frame"))?;
    to.write_all(&len.to_le_bytes())?;
    to.write_all(&body)
}

/// Reads one frame.
///
/// # Errors
/// When the stream ends or fails, the frame is too long, or it does not decode.
pub fn receive<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<T> {
    let mut len = [0; 4];
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
            let place = Place { pid, path: path.into(), offset };
            let asks = [Ask::Mounts(pid), Ask::HasThread(pid, names), Ask::Names(pid, vec![place])];
            let mut stream = Vec::new();
            asks.iter().for_each(|ask| send(&mut stream, ask).unwrap());
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
                let mut again = Vec::new();
                send(&mut again, &answer).unwrap();
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
