use super::{Bytes, EndFacts, ExitKind, Name, RuntimeExit, SentSignal, TaskFacts, disagreement, judge, says};
use crate::oom::cause::fixture;

fn task(pid: u32, comm: &str) -> TaskFacts {
    fixture::task(pid, comm, "/a")
}

fn ended(status: u32) -> EndFacts {
    EndFacts { task: task(1, "app"), status, signals: Vec::new(), refused: None, oom_record: None }
}

fn sent(signal: u32, by: &str) -> SentSignal {
    SentSignal { signal, sender: task(99, by), from_kernel: false, seconds_before: 0.1 }
}

#[test]
fn an_oom_kill_is_one_whose_record_there_is() {
    let facts = EndFacts { oom_record: Some("x".into()), ..ended(9) };
    assert_eq!(judge(&facts).kind, ExitKind::OomKill);
    // A kill record does not turn a clean exit into an OOM kill.
    let facts = EndFacts { oom_record: Some("x".into()), ..ended(0) };
    assert_eq!(judge(&facts).kind, ExitKind::Exited);
}

#[test]
fn a_kill_names_its_sender_and_what_that_means() {
    for (by, word) in
        [("bash", "somebody's command"), ("earlyoom", "before the kernel"), ("kubelet", "eviction")]
    {
        let found = judge(&EndFacts { signals: vec![sent(9, by)], ..ended(9) });
        assert_eq!(found.kind, ExitKind::Killed);
        assert!(found.sentence.contains(&format!("{by} (99)")), "{}", found.sentence);
        assert!(
            found.sentence.contains(word) && found.sentence.ends_with("no OOM kill"),
            "{}",
            found.sentence
        );
        assert_eq!(found.sender.unwrap().pid, Some(99));
    }
    assert!(judge(&ended(9)).sentence.contains("an unknown sender"));
}

#[test]
fn a_refusal_explains_an_abort_when_it_is_fresh() {
    let refused = |before| EndFacts { refused: Some((Bytes(1 << 30), before)), ..ended(6) };
    assert_eq!(judge(&refused(0.1)).kind, ExitKind::FailedAllocation);
    assert_eq!(judge(&refused(60.0)).kind, ExitKind::Aborted);
    assert_eq!(judge(&ended(6 | 0x80)).kind, ExitKind::Aborted, "with a core dump");
    let facts = EndFacts { refused: Some((Bytes(1 << 30), 0.1)), ..ended(1 << 8) };
    assert_eq!(judge(&facts).kind, ExitKind::FailedAllocation);
}

#[test]
fn a_number_that_looks_like_a_signal_is_none() {
    let found = judge(&ended(137 << 8));
    assert_eq!(found.kind, ExitKind::Exited);
    assert!(found.sentence.contains("137 by itself"), "{}", found.sentence);
    assert_eq!(judge(&ended(11)).kind, ExitKind::Segfault);
    assert_eq!(judge(&ended(4)).sentence, "SIGILL ended it");
    assert_eq!(judge(&ended(0)).sentence, "it exited with 0");
}

#[test]
fn a_stop_is_told_from_an_end_of_its_own() {
    let facts = EndFacts { signals: vec![sent(15, "containerd-shim")], ..ended(143 << 8) };
    let found = judge(&facts);
    assert_eq!(found.kind, ExitKind::Terminated);
    assert_eq!(
        found.sentence,
        "it exited with 143 after SIGTERM from containerd-shim (99): the container was stopped"
    );
}

fn runtime(reason: &str, code: i32) -> RuntimeExit {
    RuntimeExit { reason: Some(reason.into()), exit_code: Some(code) }
}

#[test]
fn a_runtime_that_says_otherwise_is_contradicted() {
    let stopped = "SIGTERM from containerd-shim (99)";
    let compared = |kind, sentence, status, said: &RuntimeExit| {
        disagreement(kind, sentence, status, "Kubernetes says", said)
    };
    assert_eq!(
        compared(ExitKind::Terminated, stopped, 143 << 8, &runtime("OOMKilled", 143)).unwrap(),
        "Kubernetes says OOMKilled; the kernel did not kill it: SIGTERM from containerd-shim (99), exit 143"
    );
    assert_eq!(
        compared(ExitKind::OomKill, "", 9, &runtime("Error", 137)).unwrap(),
        "the kernel killed it because memory ran out; Kubernetes says Error, exit code 137"
    );
    assert_eq!(compared(ExitKind::OomKill, "", 9, &runtime("OOMKilled", 137)), None);
    assert_eq!(compared(ExitKind::Terminated, stopped, 15, &runtime("Error", 143)), None);
    assert_eq!(
        compared(ExitKind::Exited, "it exited with 0", 0, &runtime("Error", 1)).unwrap(),
        "Kubernetes says exit code 1; the kernel saw 0"
    );
    let nothing = RuntimeExit::default();
    assert_eq!(compared(ExitKind::OomKill, "", 9, &nothing), None);
    assert_eq!(compared(ExitKind::Exited, "", 0, &nothing), None);
}

#[test]
fn kubernetes_speaks_for_pods() {
    let pod = Name { pod: Some("web-0".into()), ..Name::default() };
    assert_eq!(says(Some(&pod)), "Kubernetes says");
    let alone = Name { container: Some("web".into()), ..Name::default() };
    assert_eq!((says(Some(&alone)), says(None)), ("the runtime says", "the runtime says"));
}
