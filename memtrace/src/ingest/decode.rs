//! Decodes bytes from a ring buffer to a typed event.
//!
//! Input: one record. Output: the event, or a decoding error. Pure and total: no bytes make it panic.

use memtrace_common::event::{Header, Kind, Record};
use zerocopy::{FromBytes as _, IntoBytes as _};

/// The type that an event contains: the record, or a box of it.
macro_rules! held {
    ($record:ty) => { $record };
    ($record:ty, boxed) => { Box<$record> };
}

macro_rules! event {
    ([] $($(#[$family_doc:meta])* $family:ident($type:ident) {
        $($(#[$doc:meta])* $kind:ident = $_number:literal, $record:ty $(, $boxed:ident)?;)*
    })*) => {
        /// An event, by family. A consumer matches the kinds or families that it needs and ignores the rest with `_`,
        /// so a new kind is ignored until a consumer handles it.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Event { $($(#[$family_doc])* $family($type),)* }

        $(
            $(#[$family_doc])*
            #[derive(Clone, Debug, PartialEq)]
            pub enum $type { $($(#[$doc])* $kind(held!($record $(, $boxed)?)),)* }
        )*

        impl Event {
            /// The header of its record.
            pub fn header(&self) -> &Header {
                match self { $($(Self::$family($type::$kind(record)) => &record.header,)*)* }
            }

            /// The bytes of its record, the input of [`decode`].
            pub fn bytes(&self) -> &[u8] {
                match self { $($(Self::$family($type::$kind(record)) => record.as_bytes(),)*)* }
            }

            fn read(kind: Kind, bytes: &[u8]) -> Result<Self, DecodeError> {
                Ok(match kind {
                    $($(Kind::$kind => Self::$family($type::$kind(read::<$record>(bytes, kind)?.into())),)*)*
                })
            }
        }
    };
}

memtrace_common::events!(event);

/// Why bytes could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Shorter than a header.
    #[error("a record of {0} bytes is shorter than a header")]
    TooShort(usize),
    /// A kind that this version does not know.
    #[error("a record of unknown kind {0}")]
    UnknownKind(u16),
    /// The length does not fit the kind.
    #[error("a {kind:?} record of {actual} bytes instead of {expected}")]
    WrongLength {
        /// The kind in the header.
        kind: Kind,
        /// The bytes that it should have.
        expected: usize,
        /// The bytes that it has.
        actual: usize,
    },
    /// A count in it exceeds its array.
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
    Event::read(kind, bytes)
}

fn read<T: Record>(bytes: &[u8], kind: Kind) -> Result<T, DecodeError> {
    let record = T::read_from_bytes(bytes).map_err(|_| DecodeError::WrongLength {
        kind,
        expected: size_of::<T>(),
        actual: bytes.len(),
    })?;
    if record.counts_fit() { Ok(record) } else { Err(DecodeError::BadCount(kind)) }
}

#[cfg(test)]
mod tests {
    use memtrace_common::event::{Header, Kind, cgroup::Cgroup, oom::OomKill, space::Munmap};
    use proptest::prelude::*;
    use zerocopy::{FromZeros, IntoBytes};

    use super::{DecodeError, Event, SpaceEvent, decode};

    fn header(kind: u16) -> Header {
        Header { ktime: 1, tgid: 2, tid: 3, kind, cpu: 4, reserved: 0 }
    }

    /// A record of a kind's exact length, all zero except the header.
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
        assert_eq!(decode(record.as_bytes()), Ok(Event::Space(SpaceEvent::Munmap(record))));
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

        /// Records of the right length with any contents survive a round trip.
        #[test]
        fn any_contents_survive(kind in prop::sample::select(Kind::ALL), fill in any::<u8>(), at in any::<usize>()) {
            let mut bytes = blank(kind);
            let start = size_of::<Header>();
            // A kind may consist of the header only.
            if let Some(at) = at.checked_rem(bytes.len() - start) {
                bytes[start + at] = fill;
            }
            if let Ok(event) = decode(&bytes) {
                prop_assert_eq!(event.bytes(), bytes);
            }
        }
    }
}
