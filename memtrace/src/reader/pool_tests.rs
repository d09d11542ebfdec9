use std::{fs, os::unix::fs::PermissionsExt as _};

use super::*;
use crate::health::Thread;

/// Long enough for a shell to start and write a line.
const PATIENCE: Duration = Duration::from_secs(60);

/// Readers that run this script.
fn readers(dir: &Path, script: &str) -> Readers {
    let program = dir.join("reader.sh");
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    Readers::start(program, Procfs::new("/proc"), unwatched()).unwrap()
}

fn unwatched() -> Beat {
    Beat::unwatched(Thread { name: "readers", is_vital: false, rounds: 1 })
}

fn me() -> Ask {
    Ask::Mounts(std::process::id())
}

#[test]
fn one_that_does_not_answer_is_killed_and_what_it_read_is_quarantined() {
    let dir = tempfile::tempdir().unwrap();
    let readers = readers(dir.path(), "exec sleep 1000");
    let first = readers.pids();
    let late = Duration::from_millis(50);
    assert_eq!(readers.ask(&me(), late), Err(NotRead::Late(late)));
    assert_eq!(readers.ask(&me(), late), Err(NotRead::Quarantined));
    assert_eq!(readers.counts(), Counts { started: 1, late: 1, died: 0, stuck: 0, unanswered: 2 });
    assert_eq!(readers.loss().map(|loss| (loss.name, loss.count)), Some(("not_read".to_owned(), 2)));
    assert!(readers.pids().is_empty());
    assert!(!Path::new(&format!("/proc/{}", first[0])).exists(), "killed, and nothing is left of it");
}

#[test]
fn one_that_dies_is_replaced_once_for_a_question() {
    let dir = tempfile::tempdir().unwrap();
    let readers = readers(dir.path(), "exit 1");
    assert!(matches!(readers.ask(&me(), PATIENCE), Err(NotRead::Died(_))));
    let counts = readers.counts();
    assert_eq!((counts.started, counts.died), (2, 1));
    assert_eq!(readers.ask(&me(), PATIENCE), Err(NotRead::Quarantined));
}

#[test]
fn one_that_speaks_nonsense_is_no_answer() {
    let dir = tempfile::tempdir().unwrap();
    let readers =
        readers(dir.path(), "head -c 4 >/dev/null; printf '\\001\\000\\000\\000\\377' >&0; exec sleep 1000");
    assert!(matches!(readers.ask(&me(), PATIENCE), Err(NotRead::Died(_))));
}

#[test]
fn a_process_that_is_gone_costs_no_reader() {
    let dir = tempfile::tempdir().unwrap();
    let readers = readers(dir.path(), "exit 1");
    assert_eq!(readers.ask(&Ask::Mounts(u32::MAX), PATIENCE), Err(NotRead::Gone));
    assert_eq!((readers.counts().started, readers.loss()), (1, None));
}

#[test]
fn what_cannot_be_started_is_a_reason() {
    let readers = Readers::start("/no/such/program".into(), Procfs::new("/proc"), unwatched()).unwrap();
    assert!(matches!(readers.ask(&me(), PATIENCE), Err(NotRead::NoReader(_))));
}

#[test]
fn the_list_of_those_that_are_quarantined_has_an_end() {
    let mut state = State::default();
    (0..1000).for_each(|pid| state.quarantine((pid, 1)));
    assert_eq!(state.quarantined.len(), MOST_QUARANTINED);
    assert_eq!(state.take((999, 1)).unwrap_err(), NotRead::Quarantined, "the newest are kept");
    assert!(state.take((999, 2)).is_ok(), "another process with its pid is not meant");
}
