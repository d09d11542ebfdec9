//! The file format of recordings.
//!
//! Frames to bytes and back: a magic and a version, then frames of a kind, a length, a checksum and a payload.
//! `model::journal` interprets the payloads. Files are untrusted: a reader uses no more memory than the largest frame,
//! and a file that ends in the middle of a frame (its writer was killed) is valid up to there.

use std::io::{self, Read, Write};

/// The first bytes of every recording.
const MAGIC: [u8; 8] = *b"memtrace";
/// The version of the format. Other versions are rejected.
const VERSION: u32 = 1;
/// The longest payload: a scan of a million mappings.
const LONGEST: u32 = 256 << 20;
/// Bytes that are allocated for a payload before it is read.
const CHUNK: usize = 64 << 10;

/// Kinds of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Kind {
    /// The header of the recording; the first frame.
    Header = 1,
    /// An event, as the kernel programs wrote it.
    Event = 2,
    /// A question of the model, and the answer.
    Answer = 3,
    /// A scan.
    Scan = 4,
    /// A call of the model.
    Call = 5,
    /// The result of the walk of a stack.
    Walk = 6,
}

impl Kind {
    const ALL: [Self; 6] = [Self::Header, Self::Event, Self::Answer, Self::Scan, Self::Call, Self::Walk];

    fn from_u32(value: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u32 == value)
    }
}

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its kind.
    pub kind: Kind,
    /// Its contents.
    pub payload: Vec<u8>,
}

/// Why a recording cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// An I/O error.
    #[error("failed to access the recording: {0}")]
    Io(#[from] io::Error),
    /// It does not begin with the magic number.
    #[error("the file is not a recording of memtrace")]
    NotARecording,
    /// It is of another version.
    #[error("the recording has version {0}; this memtrace reads version {VERSION}")]
    Version(u32),
    /// A frame is damaged.
    #[error("frame {index} is damaged: {what}")]
    Damaged {
        /// Number of the frame.
        index: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// It would exceed its size limit.
    #[error("the recording reached its limit of {0} bytes")]
    Full(u64),
}

/// Writes a recording.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    written: u64,
    limit: u64,
}

impl<W: Write> Writer<W> {
    /// Starts a recording of at most `limit` bytes.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new(mut out: W, limit: u64) -> Result<Self, RecordError> {
        out.write_all(&MAGIC)?;
        out.write_all(&VERSION.to_le_bytes())?;
        Ok(Self { out, written: 12, limit })
    }

    /// Writes a frame with the concatenated parts as payload.
    ///
    /// # Errors
    /// When writing fails, or a size limit would be exceeded.
    pub fn write(&mut self, kind: Kind, parts: &[&[u8]]) -> Result<(), RecordError> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        self.written = self.written.saturating_add(length as u64 + 12);
        let length = u32::try_from(length).ok().filter(|length| *length <= LONGEST);
        let Some(length) = length.filter(|_| self.written <= self.limit) else {
            return Err(RecordError::Full(self.limit));
        };
        self.out.write_all(&(kind as u32).to_le_bytes())?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(&checksum(kind as u32, parts).to_le_bytes())?;
        for part in parts {
            self.out.write_all(part)?;
        }
        Ok(())
    }

    /// Bytes so far.
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// Ends it.
    ///
    /// # Errors
    /// When the buffered rest cannot be written.
    pub fn finish(mut self) -> Result<W, RecordError> {
        self.out.flush()?;
        Ok(self.out)
    }
}

/// Reads a recording.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    index: u64,
    is_cut: bool,
}

impl<R: Read> Reader<R> {
    /// Opens a recording and checks its start.
    ///
    /// # Errors
    /// When it is not a recording, or of another version.
    pub fn new(mut input: R) -> Result<Self, RecordError> {
        let mut start = [0; 12];
        if fill(&mut input, &mut start)? < start.len() {
            return Err(RecordError::NotARecording);
        }
        let (magic, version) = start.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(RecordError::NotARecording);
        }
        let version = word(version, 0);
        if version != VERSION {
            return Err(RecordError::Version(version));
        }
        Ok(Self { input, index: 0, is_cut: false })
    }

    /// The next frame; `None` at the end.
    ///
    /// # Errors
    /// When it cannot be read, or is damaged.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, RecordError> {
        let mut head = [0; 12];
        match fill(&mut self.input, &mut head)? {
            0 => return Ok(None),
            read if read < head.len() => return Ok(self.cut()),
            _ => {}
        }
        let damaged = |what| RecordError::Damaged { index: self.index, what };
        let (kind, length, expected) = (word(&head, 0), word(&head, 4), word(&head, 8));
        let kind = Kind::from_u32(kind).ok_or_else(|| damaged("unknown kind"))?;
        if length > LONGEST {
            return Err(damaged("too long"));
        }
        // The buffer grows while reading, so a wrong length allocates nothing.
        let mut payload = Vec::with_capacity((length as usize).min(CHUNK));
        (&mut self.input).take(length.into()).read_to_end(&mut payload)?;
        if payload.len() < length as usize {
            return Ok(self.cut());
        }
        if checksum(kind as u32, &[&payload]) != expected {
            return Err(damaged("wrong checksum"));
        }
        self.index += 1;
        Ok(Some(Frame { kind, payload }))
    }

    fn cut(&mut self) -> Option<Frame> {
        self.is_cut = true;
        None
    }

    /// Whether the input ended in the middle of a frame.
    pub const fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Frames so far.
    pub const fn frames(&self) -> u64 {
        self.index
    }
}

/// Reads until the buffer is full or the input ends. Returns the number of bytes.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match input.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..).and_then(|rest| rest.first_chunk());
    word.map_or(0, |word| u32::from_le_bytes(*word))
}

/// FNV-1a: detects accidental damage, not manipulation.
fn checksum(kind: u32, parts: &[&[u8]]) -> u32 {
    let kind = kind.to_le_bytes();
    let bytes = kind.iter().chain(parts.iter().copied().flatten());
    bytes.fold(0x811c_9dc5, |sum: u32, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
#[path = "recording_tests.rs"]
mod tests;
