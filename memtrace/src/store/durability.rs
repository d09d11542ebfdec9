//! Acknowledged records survive whenever the writer is killed.
//!
//! The writer is this test binary, run again for the one test that writes.

use std::{
    env,
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use super::{Store, fixture::record};

const DIRECTORY: &str = "MEMTRACE_TEST_STORE";
const LIVES: u32 = 12;

/// Writes until it is killed, and prints each stored record.
#[test]
fn writer() {
    let Some(dir) = env::var_os(DIRECTORY) else { return };
    let mut store = Store::open(Path::new(&dir)).unwrap();
    for n in u32::try_from(store.count().unwrap()).unwrap().. {
        assert_eq!(store.insert_kills(&[record(n)]).unwrap(), 1);
        println!("\nstored {n}");
    }
}

#[test]
fn a_writer_that_is_killed_has_lost_nothing_that_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = None;
    for life in 0..LIVES {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "store::durability::writer", "--nocapture", "--test-threads=1"])
            .env(DIRECTORY, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.starts_with("stored ") {
            line.clear();
            assert!(lines.read_line(&mut line).unwrap() > 0, "the writer writes");
        }
        // Kill at a different point of a commit each time.
        let until = Instant::now() + Duration::from_micros(1_700) * life;
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let mut rest = line.into_bytes();
        lines.read_to_end(&mut rest).unwrap();
        let said = String::from_utf8(rest).unwrap();
        // The last line may be incomplete.
        let whole = said.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let numbers = whole.filter_map(|line| line.trim_end().strip_prefix("stored ")?.parse::<u32>().ok());
        acknowledged = numbers.max().or(acknowledged);
        let store = Store::open_read_only(dir.path()).unwrap();
        for n in 0..=acknowledged.unwrap() {
            assert_eq!(store.kill(&record(n).id).unwrap(), Some(record(n)), "life {life}, record {n}");
        }
    }
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.set_aside(), None, "nothing is damaged");
    assert!(store.count().unwrap() > u64::from(acknowledged.unwrap()));
}
