//! The history as bytes, so that the next daemon can load it.
//!
//! History -> bytes -> the same history. A sequence of items, each preceded by its length, so that neither side holds
//! more than one series besides the history. Times are since boot, so the bytes are valid for one boot. Damage is an
//! error, never a partial history. Must not know where the bytes are stored.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

use super::{
    Followed, History, MAX_CONTAINERS,
    series::{Kept, Series},
};

/// The version of the format; other versions are not read, except the one before it.
const SHAPE: u32 = 3;
/// The version before: without the lowest firm memory of each interval.
const WITHOUT_LOW: u32 = 2;
/// The longest item in bytes; the longest series with the longest path is much shorter.
const LONGEST: u32 = 1 << 20;

/// Why bytes cannot be loaded as a history.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It could not be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// From another boot or another version.
    #[error("the file is from another boot or version")]
    Other,
    /// The bytes are damaged.
    #[error("the file is damaged: {0}")]
    Damaged(&'static str),
}

#[derive(Debug, Serialize, Deserialize)]
enum Item {
    Start {
        shape: u32,
        boot: String,
    },
    Container {
        cgroup: String,
        id: Option<u64>,
        seen: u64,
        series: Kept,
    },
    /// The end mark; without it the file is incomplete.
    End {
        items: u64,
    },
}

/// Writes it, item by item; `each` locks the history only briefly, because others wait for it.
///
/// # Errors
/// When `out` fails.
pub fn write<'h, H: std::ops::Deref<Target = History> + 'h>(
    each: impl Fn() -> H,
    boot: &str,
    out: &mut impl Write,
) -> Result<(), FileError> {
    put(&Item::Start { shape: SHAPE, boot: boot.to_owned() }, out)?;
    let containers: Vec<String> = each().containers.keys().cloned().collect();
    let mut items = 0;
    for cgroup in containers {
        // The container may have been removed meanwhile.
        let Some(Followed { series, id, seen }) = each().containers.get(&cgroup).cloned() else { continue };
        put(&Item::Container { cgroup, id, seen, series: series.kept() }, out)?;
        items += 1;
    }
    put(&Item::End { items }, out)
}

/// Reads bytes that [`write()`] wrote in this boot; `now` is in ns since boot.
///
/// # Errors
/// See [`FileError`].
pub fn read(boot: &str, now: u64, input: &mut impl Read) -> Result<History, FileError> {
    let has_low = match take(input)? {
        Item::Start { shape: shape @ (SHAPE | WITHOUT_LOW), boot: of } if of == boot => shape == SHAPE,
        Item::Start { .. } => return Err(FileError::Other),
        _ => return Err(FileError::Damaged("its start is missing")),
    };
    let mut history = History::default();
    let mut read = 0;
    loop {
        match take(input)? {
            Item::Container { cgroup, id, seen, series } => {
                let series = Series::restored(&series, has_low, now);
                let series = series.ok_or(FileError::Damaged("a series is invalid"))?;
                history.containers.insert(cgroup, Followed { series, id, seen: seen.min(now) });
            }
            Item::End { items } if items == read => return Ok(history),
            Item::End { .. } => return Err(FileError::Damaged("items are missing")),
            Item::Start { .. } => return Err(FileError::Damaged("it has two starts")),
        }
        read += 1;
        if history.containers.len() > MAX_CONTAINERS {
            return Err(FileError::Damaged("it has more series than a history can have"));
        }
    }
}

fn put(item: &Item, out: &mut impl Write) -> Result<(), FileError> {
    let bytes = postcard::to_stdvec(item).map_err(io::Error::other)?;
    let length = u32::try_from(bytes.len()).ok().filter(|length| *length <= LONGEST);
    let length = length.ok_or_else(|| io::Error::other("a series is too long to be written"))?;
    out.write_all(&length.to_le_bytes())?;
    Ok(out.write_all(&bytes)?)
}

fn take(input: &mut impl Read) -> Result<Item, FileError> {
    let ended = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => FileError::Damaged("it ends too early"),
        _ => error.into(),
    };
    let mut length = [0; 4];
    input.read_exact(&mut length).map_err(ended)?;
    let length = u32::from_le_bytes(length);
    if length > LONGEST {
        return Err(FileError::Damaged("an item is too long"));
    }
    let mut bytes = vec![0; length as usize];
    input.read_exact(&mut bytes).map_err(ended)?;
    postcard::from_bytes(&bytes).map_err(|_| FileError::Damaged("an item is invalid"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{FileError, Item, WITHOUT_LOW, put, read, write};
    use crate::{
        history::{FIGURES, Figure, History, low},
        units::Bytes,
    };

    const SECOND: u64 = 1_000_000_000;

    const NOW: u64 = 9000 * SECOND;

    /// Two containers, one for hours.
    fn history() -> History {
        let mut history = History::default();
        for second in 0..9000_u64 {
            let mut figures = [None; FIGURES];
            figures[0] = Some(Bytes(second * second % 77_777 * 4096));
            figures[Figure::File as usize] = Some(Bytes(0));
            history.read("/a", Some(1), figures, second * SECOND);
            if second > 8990 {
                history.read("/b", None, figures, second * SECOND);
            }
        }
        history
    }

    fn written(history: &History) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(|| history, "boot", &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn what_is_read_is_what_was_written_and_goes_on() {
        let mut before = history();
        let mut after = read("boot", NOW, &mut written(&before).as_slice()).unwrap();
        for history in [&mut before, &mut after] {
            history.read("/a", Some(1), [Some(Bytes(4096)); FIGURES], 9000 * SECOND);
        }
        for cgroup in ["/a", "/b"] {
            let points = |history: &History| history.container(cgroup).unwrap().points();
            assert_eq!(points(&before), points(&after));
        }
        // A new cgroup with that path still counts as another one.
        after.read("/a", Some(2), [None; FIGURES], 9001 * SECOND);
        assert_eq!(after.container("/a").unwrap().points().len(), 1);
    }

    #[test]
    fn another_boot_s_is_not_read() {
        let bytes = written(&history());
        assert!(matches!(read("other", NOW, &mut bytes.as_slice()), Err(FileError::Other)));
        // Nor a history from the future, to which nothing could be added.
        assert!(matches!(read("boot", NOW / 2, &mut bytes.as_slice()), Err(FileError::Damaged(_))));
    }

    #[test]
    fn the_version_before_is_read_and_its_floors_are_what_it_knew() {
        // A daemon of that version wrote six values for each interval.
        let kept = (vec![7_u32], vec![100, u32::MAX, 80, 10, 0, u32::MAX]);
        let mut bytes = Vec::new();
        put(&Item::Start { shape: WITHOUT_LOW, boot: "boot".to_owned() }, &mut bytes).unwrap();
        let series = postcard::from_bytes(&postcard::to_stdvec(&([&kept; 3], [false; 3])).unwrap()).unwrap();
        put(&Item::Container { cgroup: "/a".to_owned(), id: None, seen: 8 * SECOND, series }, &mut bytes)
            .unwrap();
        put(&Item::End { items: 1 }, &mut bytes).unwrap();
        let history = read("boot", NOW, &mut bytes.as_slice()).unwrap();
        let point = history.container("/a").unwrap().newest().unwrap();
        assert_eq!((point.second, point.low, low(&point)), (7, None, Some(Bytes(90 * 4096))));
    }

    proptest! {
        /// Truncation anywhere is an error; a changed byte gives an error or a history, and no panic.
        #[test]
        fn damage_is_survived(at in 0_usize..1 << 20, value: u8) {
            let mut bytes = written(&history());
            let at = at % bytes.len();
            prop_assert!(matches!(read("boot", NOW, &mut &bytes[..at]), Err(FileError::Damaged(_))));
            bytes[at] = value;
            if let Ok(history) = read("boot", NOW, &mut bytes.as_slice()) {
                for (_, series) in history.containers() {
                    series.points();
                }
            }
        }
    }
}
