//! Written recordings are read; other bytes are rejected.

use proptest::prelude::*;

use super::*;

type Frames = Vec<(Kind, Vec<u8>)>;

fn written(frames: &[(Kind, Vec<u8>)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), u64::MAX).unwrap();
    for (kind, payload) in frames {
        let (first, rest) = payload.split_at(payload.len() / 2);
        writer.write(*kind, &[first, rest]).unwrap();
    }
    let length = writer.written();
    let bytes = writer.finish().unwrap();
    assert_eq!(bytes.len() as u64, length);
    bytes
}

fn read(bytes: &[u8]) -> Result<(Frames, bool), RecordError> {
    let mut reader = Reader::new(bytes)?;
    let mut frames = Vec::new();
    while let Some(Frame { kind, payload }) = reader.next_frame()? {
        frames.push((kind, payload));
    }
    Ok((frames, reader.is_cut()))
}

#[test]
fn other_files_and_other_versions_are_refused() {
    assert!(matches!(read(b""), Err(RecordError::NotARecording)));
    assert!(matches!(read(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0"), Err(RecordError::NotARecording)));
    let mut bytes = written(&[]);
    bytes[8] = 9;
    assert!(matches!(read(&bytes), Err(RecordError::Version(9))));
}

#[test]
fn a_frame_that_lies_is_refused() {
    let good = written(&[(Kind::Call, b"tick".to_vec())]);
    for (at, byte, what) in [(12, 77, "unknown kind"), (19, 0xff, "too long"), (25, b'x', "wrong checksum")] {
        let mut bytes = good.clone();
        bytes[at] = byte;
        match read(&bytes) {
            Err(RecordError::Damaged { index: 0, what: found }) => assert_eq!(found, what),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_recording_has_an_end() {
    let mut writer = Writer::new(Vec::new(), 100).unwrap();
    writer.write(Kind::Event, &[&[0; 60]]).unwrap();
    assert!(matches!(writer.write(Kind::Event, &[&[0; 60]]), Err(RecordError::Full(100))));
}

fn frames() -> impl Strategy<Value = Frames> {
    let kind = prop::sample::select(Kind::ALL.to_vec());
    prop::collection::vec((kind, prop::collection::vec(any::<u8>(), 0..60)), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_written_is_read(frames in frames()) {
        let (found, is_cut) = read(&written(&frames)).unwrap();
        prop_assert!(!is_cut);
        prop_assert_eq!(found, frames);
    }

    /// As if its writer had been killed.
    #[test]
    fn a_part_of_a_recording_is_read_up_to_there(frames in frames(), cut in any::<prop::sample::Index>()) {
        let bytes = written(&frames);
        let at = 12 + cut.index(bytes.len() - 11);
        let (found, is_cut) = read(&bytes[..at]).unwrap();
        prop_assert_eq!(&found[..], &frames[..found.len()]);
        prop_assert_eq!(is_cut, written(&found).len() != at);
    }

    #[test]
    fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..300), frames in frames(), at in any::<prop::sample::Index>()) {
        let _ = read(&bytes);
        let mut spoilt = written(&frames);
        spoilt.extend(&bytes);
        let at = at.index(spoilt.len());
        spoilt[at] ^= 0x55;
        let _ = read(&spoilt);
    }
}
