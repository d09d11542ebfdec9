//! What is said between the core and a reader process.
//!
//! Values <-> frames on a stream: a length of four bytes, then postcard. Either side takes the other for hostile: a frame
//! has a greatest length, and what does not decode is an error. Must not know what is read, or how.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::tmpfs::Tmpfs;
use crate::symbols::Place;

/// Bytes of a frame at most: places of some thousand stacks.
const MOST: usize = 16 << 20;

/// A question. Each names the process that it is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// [`super::Reader::mounts`].
    Mounts(u32),
    /// [`super::Reader::has_thread`].
    HasThread(u32, Vec<String>),
    /// [`super::Reader::names`]; all places are of one process.
    Names(u32, Vec<Place>),
}

impl Ask {
    /// The process that is read.
    pub const fn pid(&self) -> u32 {
        match self {
            Self::Mounts(pid) | Self::HasThread(pid, _) | Self::Names(pid, _) => *pid,
        }
    }
}

/// The answer to the question of the same name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// `None` when the process is gone.
    Mounts(Option<Vec<Tmpfs>>),
    /// Whether it has one.
    HasThread(bool),
    /// One for each place.
    Names(Vec<Option<String>>),
}

/// Writes one frame.
///
/// # Errors
/// When the stream takes no more, or the value is too large for a frame.
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
/// When the stream ends or fails, or the frame is too long or no such value.
pub fn receive<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<T> {
    let mut len = [0; 4];
    from.read_exact(&mut len)?;
    let len = u32::from_le_bytes(len);
    if usize::try_from(len).is_ok_and(|len| len > MOST) {
        return Err(io::Error::other(format!("a frame of {len} bytes")));
    }
    // It grows as bytes arrive, so that a length alone takes no memory.
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
