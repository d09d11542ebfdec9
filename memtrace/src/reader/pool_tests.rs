use std::{fs, os::unix::fs::PermissionsExt as _};

use super::{
    session::{Line as _, Session},
    *,
};
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

/// What a session answers to that.
fn answer(session: &mut Session, patience: Duration) -> Result<Answer, NotRead> {
    let whom = session.check(std::process::id())?;
    session.ask(whom, &me(), patience)
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

/// A container would otherwise let one process after the other hang a reader and end.
#[test]
fn who_ends_while_a_reader_hangs_on_it_does_not_escape() {
    let dir = tempfile::tempdir().unwrap();
    let mut sleeper = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    let pid = sleeper.id();
    let readers = readers(dir.path(), &format!("head -c 4 >/dev/null; kill -9 {pid}; exec sleep 1000"));
    let late = Duration::from_millis(500);
    assert_eq!(readers.ask(&Ask::Mounts(pid), late), Err(NotRead::Late(late)));
    sleeper.wait().unwrap();
    assert_eq!(readers.lock().quarantine.len(), 1);
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
fn a_session_keeps_its_reader_and_says_when_it_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    // It answers the first request with `Mounts(None)`, and dies at the second.
    let readers = readers(
        dir.path(),
        "head -c 1 >/dev/null; printf '\\002\\000\\000\\000\\000\\000' >&0; exec head -c 1000 >/dev/null <&0",
    );
    let mut session = Session::new(readers.clone());
    assert_eq!(answer(&mut session, PATIENCE), Ok(Answer::Mounts(None)));
    assert_eq!((session.number(), readers.counts().started), (0, 2));
    let pid = *readers.pids().last().unwrap();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(pid as i32).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    assert!(matches!(answer(&mut session, PATIENCE), Err(NotRead::Died(_))));
    assert_eq!(session.number(), 1);
    let whom = session.check(std::process::id()).expect("the caller decides who is blamed");
    session.blame(whom, &NotRead::Died(String::new()));
    assert_eq!(session.check(std::process::id()), Err(NotRead::Quarantined));
    drop(session);
    assert_eq!(readers.pids().len(), 1, "the idle one");
}

#[test]
fn a_session_without_requests_has_no_reader() {
    let dir = tempfile::tempdir().unwrap();
    let readers = readers(
        dir.path(),
        "head -c 1 >/dev/null; printf '\\002\\000\\000\\000\\000\\000' >&0; exec head -c 1000 >/dev/null <&0",
    );
    let mut session = Session::new(readers.clone());
    answer(&mut session, PATIENCE).unwrap();
    session.rest();
    assert_eq!((session.number(), readers.pids().len()), (0, 2), "it was used");
    session.rest();
    assert_eq!((session.number(), readers.pids().len()), (1, 1));
    answer(&mut session, PATIENCE).unwrap();
    assert_eq!(readers.pids().len(), 2);
}

#[test]
fn a_session_quarantines_what_its_reader_hangs_on() {
    let dir = tempfile::tempdir().unwrap();
    // The idle one ends with its stream.
    let readers = readers(dir.path(), "exec cat >/dev/null");
    let mut session = Session::new(readers.clone());
    let late = Duration::from_millis(50);
    assert_eq!(answer(&mut session, late), Err(NotRead::Late(late)));
    assert_eq!((session.number(), session.check(std::process::id())), (1, Err(NotRead::Quarantined)));
    assert_eq!(readers.counts().late, 1);
}

/// The kernel may kill it, and then nobody asks for long.
#[test]
fn an_idle_one_that_was_killed_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let readers = readers(dir.path(), "exec sleep 1000");
    let [pid] = readers.pids()[..] else { panic!("one is idle") };
    let raw = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(raw, rustix::process::Signal::KILL).unwrap();
    let begun = std::time::Instant::now();
    while Path::new(&format!("/proc/{pid}")).exists() {
        assert!(begun.elapsed() < PATIENCE, "nobody waited for it");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(readers.pids().is_empty());
}
