//! `memtrace doctor`: every fact is accounted for, and the exit code says whether kills can be watched.

use memtrace::{
    api::doctor::{Diagnosis, Known},
    health::ThreadHealth,
    probe::table::FACTS,
};

use crate::fixture::{PATIENCE, daemon::Place, eventually, memtrace, program::Program, said};

#[test]
fn every_fact_is_listed_and_attached_or_explained() {
    let output = memtrace(&["doctor", "-o", "json"]);
    assert!(output.status.success(), "{}", said(&output));
    let diagnosis: Diagnosis = serde_json::from_slice(&output.stdout).unwrap();
    assert!(diagnosis.works && diagnosis.failure.is_none());
    assert!(diagnosis.memory_controller.is_some());
    let listed: Vec<_> = diagnosis.probes.hooks.iter().map(|hook| hook.fact.as_str()).collect();
    assert_eq!(listed, FACTS.iter().map(|fact| fact.name).collect::<Vec<_>>());
    for hook in &diagnosis.probes.hooks {
        assert_ne!(hook.attached.is_some(), hook.lost.is_some(), "{hook:?}");
        assert!(hook.passed_over.iter().all(|passed| !passed.why.is_empty()), "{hook:?}");
    }
    // What cannot be trusted would be named here.
    assert_eq!(diagnosis.probes.missing_fields, [] as [&str; 0], "{}", diagnosis.probes.self_check);

    let text = said(&memtrace(&["doctor"]));
    for fact in FACTS {
        assert!(text.contains(fact.name), "{} is not in {text}", fact.name);
    }
}

#[test]
fn what_the_daemon_holds_back_is_shown() {
    let place = Place::new();
    let socket = place.socket();
    let doctor = |form: &str| memtrace(&["doctor", "-o", form, "--socket", socket.to_str().unwrap()]);
    let state = || serde_json::from_slice::<Diagnosis>(&doctor("json").stdout).unwrap().governor;
    let Known::Unknown(why) = state() else { panic!("no daemon runs there") };
    assert!(why.contains("no daemon answers"), "{why}");
    let _daemon = place.start(&["--cpu-budget", "1", "--event-budget", "0"]);
    // One percent of a CPU is too little to take in all that this does.
    let _busy = Program::eat(&["churn", "2000000000"]);
    let state = eventually("less is done", PATIENCE, || match state() {
        Known::Known(cpu) if cpu.step > 0 => Some(cpu),
        _ => None,
    });
    assert_eq!(state.budget_percent, 1);
    let text = said(&doctor("text"));
    assert!(text.contains("(budget 1%), REDUCED: page tables are read less often"), "{text}");
    let health = serde_json::from_slice::<Diagnosis>(&doctor("json").stdout).unwrap().health;
    let Known::Known(health) = health else { panic!("{health:?}") };
    assert_eq!(health.troubled(), [] as [&ThreadHealth; 0]);
    for name in ["engine", "recorder", "serving", "judge", "scanner", "unwinder", "symbols", "mount-watch"] {
        assert!(health.threads.iter().any(|thread| thread.name == name), "{name} is not in {health:?}");
    }
    assert!(text.contains(&format!("{0} of {0} threads are well", health.threads.len())), "{text}");
}

#[test]
fn without_btf_it_says_what_is_lost() {
    let output = memtrace(&["doctor", "-o", "json", "--without", "btf"]);
    assert!(output.status.success(), "{}", said(&output));
    let diagnosis: Diagnosis = serde_json::from_slice(&output.stdout).unwrap();
    let probes = &diagnosis.probes;
    assert_eq!(probes.attached("oom_kill"), Some("tracepoint:oom:mark_victim"));
    for fact in FACTS.iter().filter(|fact| matches!(fact.name, "signal" | "fork" | "exec" | "exit")) {
        let hook = probes.hooks.iter().find(|hook| hook.fact == fact.name).unwrap();
        assert_eq!((hook.attached.as_ref(), hook.lost.as_deref()), (None, Some(fact.lost)));
    }
}

#[test]
fn without_both_kills_cannot_be_watched() {
    let output = memtrace(&["doctor", "--without", "btf,tracefs"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("failed to trace oom_kill"), "{text}");
}
