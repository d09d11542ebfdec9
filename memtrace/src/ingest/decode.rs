//! Bytes from a ring buffer to a typed event.
//!
//! Input: one record. Output: the event, or why it is none. Pure and total: no bytes make it panic.

use memtrace_common::event::{
    Header, Kind,
    cgroup::Cgroup,
    fault::Fault,
    oom::OomKill,
    task::{Exec, Exit, Fork, Signal},
    vma::{Brk, Madvise, Mmap, Mprotect, Mremap, Munmap, Refused, Throttled},
};
use zerocopy::{FromBytes, Immutable, IntoBytes as _, KnownLayout};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Pages were mapped.
    Mmap(Mmap),
    /// Pages were unmapped.
    Munmap(Munmap),
    /// A mapping was moved or resized.
    Mremap(Mremap),
    /// The program break was set.
    Brk(Brk),
    /// Advice was given.
    Madvise(Madvise),
    /// A range's protection was changed.
    Mprotect(Mprotect),
    /// A process used up its event budget.
    Throttled(Throttled),
    /// Memory was refused.
    Refused(Refused),
    /// A page fault was sampled.
    Fault(Box<Fault>),
    /// A process replaced its program.
    Exec(Exec),
    /// A process was made.
    Fork(Fork),
    /// A process ended.
    Exit(Exit),
    /// A fatal signal was generated.
    Signal(Box<Signal>),
    /// A cgroup was made.
    CgroupMkdir(Box<Cgroup>),
    /// A cgroup was removed.
    CgroupRmdir(Box<Cgroup>),
    /// An OOM victim was marked.
    OomKill(Box<OomKill>),
    /// The tracer looked at itself.
    SelfCheck(Box<OomKill>),
}

impl Event {
    /// The common start of its record.
    pub fn header(&self) -> &Header {
        match self {
            Self::Mmap(record) => &record.header,
            Self::Munmap(record) => &record.header,
            Self::Mremap(record) => &record.header,
            Self::Brk(record) => &record.header,
            Self::Madvise(record) => &record.header,
            Self::Mprotect(record) => &record.header,
            Self::Throttled(record) => &record.header,
            Self::Refused(record) => &record.header,
            Self::Fault(record) => &record.header,
            Self::Exec(record) => &record.header,
            Self::Fork(record) => &record.header,
            Self::Exit(record) => &record.header,
            Self::Signal(record) => &record.header,
            Self::CgroupMkdir(record) | Self::CgroupRmdir(record) => &record.header,
            Self::OomKill(record) | Self::SelfCheck(record) => &record.header,
        }
    }
}

impl Event {
    /// The record that it was: what [`decode`] takes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Mmap(record) => record.as_bytes(),
            Self::Munmap(record) => record.as_bytes(),
            Self::Mremap(record) => record.as_bytes(),
            Self::Brk(record) => record.as_bytes(),
            Self::Madvise(record) => record.as_bytes(),
            Self::Mprotect(record) => record.as_bytes(),
            Self::Throttled(record) => record.as_bytes(),
            Self::Refused(record) => record.as_bytes(),
            Self::Fault(record) => record.as_bytes(),
            Self::Exec(record) => record.as_bytes(),
            Self::Fork(record) => record.as_bytes(),
            Self::Exit(record) => record.as_bytes(),
            Self::Signal(record) => record.as_bytes(),
            Self::CgroupMkdir(record) | Self::CgroupRmdir(record) => record.as_bytes(),
            Self::OomKill(record) | Self::SelfCheck(record) => record.as_bytes(),
        }
    }
}

/// Why some bytes are no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Shorter than a header.
    #[error("a record of {0} bytes is shorter than a header")]
    TooShort(usize),
    /// A kind that this version does not know.
    #[error("a record of unknown kind {0}")]
    UnknownKind(u16),
    /// Not the length of its kind.
    #[error("a {kind:?} record of {actual} bytes instead of {expected}")]
    WrongLength {
        /// What the header says.
        kind: Kind,
        /// The bytes that it should have.
        expected: usize,
        /// The bytes that it has.
        actual: usize,
    },
    /// A count inside it is larger than what it counts.
    #[error("a {0:?} record with an impossible count")]
    BadCount(Kind),
}

/// Reads one record.
///
/// # Errors
/// When the bytes are not exactly one record of a known kind.
pub fn decode(bytes: &[u8]) -> Result<Event, DecodeError> {
    let (header, _) = Header::read_from_prefix(bytes).map_err(|_| DecodeError::TooShort(bytes.len()))?;
    let kind = Kind::from_u16(header.kind).ok_or(DecodeError::UnknownKind(header.kind))?;
    Ok(match kind {
        Kind::Mmap => Event::Mmap(read(bytes, kind)?),
        Kind::Munmap => Event::Munmap(read(bytes, kind)?),
        Kind::Mremap => Event::Mremap(read(bytes, kind)?),
        Kind::Brk => Event::Brk(read(bytes, kind)?),
        Kind::Madvise => Event::Madvise(read(bytes, kind)?),
        Kind::Mprotect => Event::Mprotect(read(bytes, kind)?),
        Kind::Throttled => Event::Throttled(read(bytes, kind)?),
        Kind::Refused => Event::Refused(read(bytes, kind)?),
        Kind::Fault => {
            let fault: Fault = read(bytes, kind)?;
            check(kind, [(fault.stack_len, fault.stack.len())])?;
            Event::Fault(Box::new(fault))
        }
        Kind::Exec => Event::Exec(read(bytes, kind)?),
        Kind::Fork => Event::Fork(read(bytes, kind)?),
        Kind::Exit => Event::Exit(read(bytes, kind)?),
        Kind::Signal => Event::Signal(Box::new(read(bytes, kind)?)),
        Kind::CgroupMkdir => Event::CgroupMkdir(cgroup(bytes, kind)?),
        Kind::CgroupRmdir => Event::CgroupRmdir(cgroup(bytes, kind)?),
        Kind::OomKill => Event::OomKill(oom(bytes, kind)?),
        Kind::SelfCheck => Event::SelfCheck(oom(bytes, kind)?),
    })
}

fn cgroup(bytes: &[u8], kind: Kind) -> Result<Box<Cgroup>, DecodeError> {
    let record: Cgroup = read(bytes, kind)?;
    check(kind, [(record.path_len, record.path.len())])?;
    Ok(Box::new(record))
}

fn oom(bytes: &[u8], kind: Kind) -> Result<Box<OomKill>, DecodeError> {
    let record: OomKill = read(bytes, kind)?;
    check(
        kind,
        [
            (record.chain_len, record.chain.len()),
            (record.kernel_stack_len, record.kernel_stack.len()),
            (record.user_stack_len, record.user_stack.len()),
        ],
    )?;
    check(kind, record.chain.map(|level| (level.name_len, level.name.len())))?;
    Ok(Box::new(record))
}

fn read<T: FromBytes + KnownLayout + Immutable>(bytes: &[u8], kind: Kind) -> Result<T, DecodeError> {
    T::read_from_bytes(bytes).map_err(|_| DecodeError::WrongLength {
        kind,
        expected: size_of::<T>(),
        actual: bytes.len(),
    })
}

fn check<const N: usize>(kind: Kind, counts: [(u32, usize); N]) -> Result<(), DecodeError> {
    if counts.iter().all(|(count, room)| *count as usize <= *room) {
        Ok(())
    } else {
        Err(DecodeError::BadCount(kind))
    }
}

#[cfg(test)]
mod tests {
    use memtrace_common::event::{Header, Kind, cgroup::Cgroup, oom::OomKill, vma::Munmap};
    use proptest::prelude::*;
    use zerocopy::{FromZeros, IntoBytes};

    use super::{DecodeError, Event, decode};

    fn header(kind: u16) -> Header {
        Header { ktime: 1, tgid: 2, tid: 3, kind, cpu: 4, reserved: 0 }
    }

    /// A record of a kind's exact length, all zero but for the header.
    fn blank(kind: Kind) -> Vec<u8> {
        let mut bytes = vec![0; kind.record_size()];
        bytes[..size_of::<Header>()].copy_from_slice(header(kind as u16).as_bytes());
        bytes
    }

    #[test]
    fn every_kind_is_decoded_at_its_exact_length_only() {
        for kind in Kind::ALL {
            let bytes = blank(*kind);
            assert_eq!(*decode(&bytes).unwrap().header(), header(*kind as u16), "{kind:?}");
            assert_eq!(decode(&bytes).unwrap().bytes(), bytes, "{kind:?}");
            for wrong in [&bytes[..bytes.len() - 1], &[bytes.as_slice(), &[0]].concat()] {
                let actual = wrong.len();
                let expected = bytes.len();
                let error = if actual < size_of::<Header>() {
                    DecodeError::TooShort(actual)
                } else {
                    DecodeError::WrongLength { kind: *kind, expected, actual }
                };
                assert_eq!(decode(wrong), Err(error));
            }
        }
    }

    #[test]
    fn fields_arrive_where_they_were_put() {
        let record = Munmap { header: header(2), addr: 0x7f00_0000_1000, len: 8192 };
        assert_eq!(decode(record.as_bytes()), Ok(Event::Munmap(record)));
    }

    #[test]
    fn counts_beyond_their_arrays_are_refused() {
        let mut record = OomKill::new_zeroed();
        record.header = header(Kind::OomKill as u16);
        record.chain_len = 17;
        assert_eq!(decode(record.as_bytes()), Err(DecodeError::BadCount(Kind::OomKill)));
        let mut cgroup = Cgroup::new_zeroed();
        (cgroup.header, cgroup.path_len) = (header(Kind::CgroupMkdir as u16), 1025);
        assert_eq!(decode(cgroup.as_bytes()), Err(DecodeError::BadCount(Kind::CgroupMkdir)));
        record.chain_len = 16;
        record.chain[15].name_len = 129;
        assert_eq!(decode(record.as_bytes()), Err(DecodeError::BadCount(Kind::OomKill)));
    }

    #[test]
    fn short_and_unknown_records_say_so() {
        assert_eq!(decode(&[]), Err(DecodeError::TooShort(0)));
        assert_eq!(decode(header(999).as_bytes()), Err(DecodeError::UnknownKind(999)));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 16 } else { 256 }, failure_persistence: None,
            ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_decode_or_say_why_not(bytes in prop::collection::vec(any::<u8>(), 0..6000)) {
            let _ = decode(&bytes);
        }

        /// Records of the right length and any contents: what comes out is what went in.
        #[test]
        fn any_contents_survive(kind in prop::sample::select(Kind::ALL), fill in any::<u8>(), at in any::<usize>()) {
            let mut bytes = blank(kind);
            let start = size_of::<Header>();
            // A kind may be a header and nothing else.
            if let Some(at) = at.checked_rem(bytes.len() - start) {
                bytes[start + at] = fill;
            }
            if let Ok(event) = decode(&bytes) {
                let again = match &event {
                    Event::Mmap(r) => r.as_bytes().to_vec(),
                    Event::Munmap(r) => r.as_bytes().to_vec(),
                    Event::Mremap(r) => r.as_bytes().to_vec(),
                    Event::Brk(r) => r.as_bytes().to_vec(),
                    Event::Madvise(r) => r.as_bytes().to_vec(),
                    Event::Mprotect(r) => r.as_bytes().to_vec(),
                    Event::Throttled(r) => r.as_bytes().to_vec(),
                    Event::Refused(r) => r.as_bytes().to_vec(),
                    Event::Fault(r) => r.as_bytes().to_vec(),
                    Event::Exec(r) => r.as_bytes().to_vec(),
                    Event::Fork(r) => r.as_bytes().to_vec(),
                    Event::Exit(r) => r.as_bytes().to_vec(),
                    Event::Signal(r) => r.as_bytes().to_vec(),
                    Event::CgroupMkdir(r) | Event::CgroupRmdir(r) => r.as_bytes().to_vec(),
                    Event::OomKill(r) | Event::SelfCheck(r) => r.as_bytes().to_vec(),
                };
                prop_assert_eq!(again, bytes);
            }
        }
    }
}
