//! Words for parts of the history, against a store.

use std::sync::Arc;

use super::*;
use crate::{history::lasting::Row, sizing::diff::side::Figure, units::Bytes};

const MIB: u64 = 1 << 20;

fn workload(container: &str, image: &str) -> Workload {
    Workload {
        namespace: "shop".to_owned(),
        owner: "cart".to_owned(),
        container: container.to_owned(),
        image: image.to_owned(),
        ..Workload::default()
    }
}

fn now() -> Timestamp {
    "2026-11-30T12:00:00Z".parse().unwrap()
}

/// Two versions of redis, a day each; a unit with an @ in its name.
fn store() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let last = slot_of(now().as_second());
    let mut rows = Vec::new();
    for ago in 0..576 {
        let (image, mib) = if ago < 288 { ("redis:8.0", 120) } else { ("redis:7.2", 100) };
        let row = Row { slot: last - ago, readings: 300, median: Some(Bytes(mib * MIB)), ..Row::default() };
        rows.push((Arc::new(workload("redis", image)), row));
    }
    let unit = Workload { container: "getty@tty1.service".to_owned(), ..Workload::default() };
    rows.push((Arc::new(unit), Row { slot: last, median: Some(Bytes(MIB)), ..Row::default() }));
    store.insert_rows(&rows).unwrap();
    dir
}

/// The rows and the level of the first, in MiB.
fn said(dir: &Path, word: &str) -> Result<Option<(usize, u64)>, String> {
    let side = side(dir, word, now()).map_err(|failure| format!("{:#}", failure.error().unwrap()))?;
    Ok(side.map(|side| {
        let samples = side.samples(Figure::FirmLevel);
        (samples.len(), samples.first().map_or(0, |sample| sample.bytes.0 / MIB))
    }))
}

#[test]
fn spans_and_versions_are_found() {
    let dir = store();
    for (word, wanted) in [
        ("shop/cart/redis", Some((288, 120))),
        ("redis@newest", Some((288, 120))),
        ("redis@previous", Some((288, 100))),
        ("cart@7.2", Some((288, 100))),
        ("redis@redis:8.0", Some((288, 120))),
        ("redis@1h", Some((13, 120))),
        ("redis@2h..1h", Some((12, 120))),
        ("redis@..1d", Some((287, 100))),
        ("redis@2026-11-30T00:00:00Z..2026-11-30T01:00:00Z", Some((12, 120))),
        ("redis@30d", Some((576, 100))),
        ("getty@tty1.service", Some((1, 1))),
        ("getty@tty1.service@1h", Some((1, 1))),
        ("memcached", None),
        ("memcached@1d", None),
    ] {
        assert_eq!(said(dir.path(), word), Ok(wanted), "{word}");
    }
    assert_eq!(said(Path::new("/nowhere"), "redis"), Ok(None));
}

#[test]
fn what_is_not_there_or_not_clear_is_said() {
    let dir = store();
    let wrong = |word: &str| said(dir.path(), word).unwrap_err();
    assert!(wrong("redis@9.9").contains("it has redis:8.0, redis:7.2"), "{}", wrong("redis@9.9"));
    assert!(wrong("redis@redis").contains("several versions"), "{}", wrong("redis@redis"));
    assert!(wrong("redis@..34d").contains("no rows before 34 days ago"), "{}", wrong("redis@..34d"));
    assert!(wrong("e").contains("several workloads"), "{}", wrong("e"));
    assert!(wrong("tty1@previous").contains("no such version"), "{}", wrong("tty1@previous"));
}

#[test]
fn a_span_is_told_as_it_was_asked_for() {
    assert_eq!(told(&Part::of("36h..1d")), "from 36 hours ago to 1 days ago");
    assert_eq!(told(&Part::of("2026-11-30T00:00:00Z..")), "since 2026-11-30 00:00 UTC");
    assert_eq!((Part::of(".."), Part::of("x..y")), (Part::Image("..".into()), Part::Image("x..y".into())));
}
