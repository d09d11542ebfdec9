use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use jiff::Timestamp;

use super::{Exporter, Inputs, Own};
use crate::{
    cgroup::{charge::Charge, memcg::Limit},
    container::{name::Name, workload_labels::WorkloadLabels},
    health::{Health, State, ThreadHealth},
    probe::status::{HookStatus, ProbeStatus, ProgramCost},
    snapshot::{ContainerRow, Node, Scans, Snapshot, StoreState},
    store::Tally,
    units::Bytes,
    verdict::{Confidence, Finding, Insight, Insights, Kind},
};

fn name(pod: &str, container: &str) -> Name {
    Name {
        namespace: Some("shop".into()),
        pod: Some(pod.into()),
        pod_uid: Some(format!("uid-of-{pod}")),
        container: Some(container.into()),
        ..Name::default()
    }
}

fn row(cgroup: &str, name: Name, usage: u64, limit: Option<u64>) -> ContainerRow {
    ContainerRow {
        usage_bytes: Some(Bytes(usage)),
        limit: limit.map(|bytes| Limit { bytes: Bytes(bytes), owner: "/pod".into() }),
        name: Some(name.into()),
        ..ContainerRow::empty(cgroup.into())
    }
}

fn finding(kind: Kind, confidence: Confidence) -> Finding {
    Finding { kind, confidence, sentence: String::new(), evidence: Vec::new(), remedies: Vec::new() }
}

fn facts(rows: Vec<ContainerRow>) -> Inputs {
    let snapshot = Snapshot {
        schema: 1,
        time: "2026-01-02T03:04:05Z".parse().unwrap(),
        tracer: None,
        processes: Vec::new(),
        containers: rows,
        node: Node::default(),
    };
    let insights = Insights::from([(
        "/a".to_owned(),
        Insight {
            growth_bytes_per_second: Some(1024.0),
            seconds_to_limit: Some(61.5),
            findings: vec![finding(Kind::Leak, Confidence::High), finding(Kind::Step, Confidence::Low)],
            advised_limit_bytes: Some(Bytes(4096)),
            ..Insight::default()
        },
    )]);
    let tally = |container: &str, scope: &str, cause: &str, kills| Tally {
        join: WorkloadLabels::of(Some(&name("cart-0", container)), None),
        scope: scope.into(),
        cause: cause.into(),
        kills,
        victims: kills * 2,
        last: Timestamp::from_second(1_780_000_000).unwrap(),
    };
    let rest = Tally { join: WorkloadLabels::default(), ..tally("", "node", "unknown", 7) };
    Inputs {
        snapshot: Arc::new(snapshot),
        insights: Arc::new(insights),
        probes: Arc::new(ProbeStatus {
            hooks: vec![HookStatus {
                fact: "oom_kill".into(),
                required: true,
                attached: Some("tp_btf:mark_victim".into()),
                program: Some(ProgramCost {
                    id: 61,
                    name: "mark".into(),
                    verified: None,
                    instructions: None,
                }),
                passed_over: Vec::new(),
                lost: None,
            }],
            ..ProbeStatus::default()
        }),
        otlp: Some(crate::export::otlp::Counts { sent: 5, dropped: 1, failures: 2 }),
        tallies: Some(vec![tally("redis", "memcg", "leak", 2), tally("gone", "node", "burst", 1), rest]),
        members: Some(vec![
            (WorkloadLabels::of(Some(&name("cart-0", "gone")), None), 3),
            (WorkloadLabels::of(Some(&name("cart-0", "redis")), None), 2),
        ]),
        own: Own {
            runs: Some(vec![super::self_series::Runs { id: 61, count: 3, seconds: 0.25 }]),
            health: Health {
                threads: [("engine", State::Well), ("scanner", State::Late { since: Timestamp::UNIX_EPOCH })]
                    .map(|(name, state)| ThreadHealth {
                        name: name.into(),
                        is_vital: name == "engine",
                        state,
                    })
                    .to_vec(),
            },
            ..Own::default()
        },
    }
}

/// Series by name and labels; each must occur exactly once.
fn series(text: &str) -> BTreeMap<String, f64> {
    let mut series = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(series.insert(name.to_owned(), value.parse().unwrap()).is_none(), "{name} twice");
    }
    series
}

fn exported(most: usize, rows: Vec<ContainerRow>) -> BTreeMap<String, f64> {
    let facts = Mutex::new(Some(facts(rows)));
    let exporter = Exporter::new(most, move || facts.lock().unwrap().take().unwrap()).unwrap();
    series(&exporter.text())
}

#[test]
fn a_container_has_the_labels_that_other_exporters_give_it() {
    let found = exported(10, vec![row("/a", name("cart-0", "redis"), 512, Some(1024))]);
    let of = |family: &str, more: &str| {
        let labels = format!("{{namespace=\"shop\",pod=\"cart-0\",container=\"redis\"{more}}}");
        found.get(&format!("memtrace_{family}{labels}")).copied()
    };
    assert_eq!(of("container_limit_used_ratio", ""), Some(0.5));
    assert_eq!(of("container_time_to_limit_seconds", ""), Some(61.5));
    assert_eq!(of("container_advised_limit_bytes", ""), Some(4096.0));
    assert_eq!(of("container_advised_request_bytes", ""), None);
    assert_eq!(of("container_finding", ",kind=\"leak\""), Some(1.0));
    assert_eq!(of("container_finding", ",kind=\"step\""), None, "a low one wakes nobody");
    assert_eq!(of("container_allocator_free_bytes", ""), None, "unknown is not 0");
    assert_eq!(of("oom_kills_total", ",scope=\"memcg\""), Some(2.0));
    assert_eq!(of("member_oom_kills_total", ""), Some(2.0));
    assert_eq!(of("last_oom_kill_timestamp_seconds", ",cause=\"leak\""), Some(1_780_000_000.0));
    assert_eq!(found["memtrace_node_oom_kills_total"], 10.0, "those that are added up count too");
    assert_eq!(found["memtrace_bpf_run_seconds_total{program=\"mark\"}"], 0.25);
    assert_eq!(found["memtrace_series_dropped_total"], 0.0);
    assert_eq!(found["memtrace_thread_late{thread=\"engine\",vital=\"yes\"}"], 0.0);
    assert_eq!(found["memtrace_thread_late{thread=\"scanner\",vital=\"no\"}"], 1.0);
}

#[test]
fn cache_at_the_limit_is_no_need_for_memory() {
    let charged = |cgroup: &str, container: &str, usage: u64, cache: u64| ContainerRow {
        charge: Some(Charge {
            active_file_bytes: Some(Bytes(cache)),
            inactive_file_bytes: Some(Bytes(0)),
            ..Charge::default()
        }),
        ..row(cgroup, name("cart-0", container), usage, Some(1000))
    };
    let of = |rows: Vec<ContainerRow>, family: &str| {
        let label = "{namespace=\"shop\",pod=\"cart-0\",container=\"redis\"}";
        exported(10, rows).get(&format!("memtrace_container_{family}{label}")).copied()
    };
    let cached = || vec![charged("/a", "redis", 990, 900)];
    assert_eq!(of(cached(), "limit_used_ratio"), Some(0.99));
    assert_eq!(of(cached(), "limit_firm_ratio"), Some(0.09));
    let unknown = vec![row("/a", name("cart-0", "redis"), 990, Some(1000))];
    assert_eq!(of(unknown, "limit_firm_ratio"), None, "nothing is known of its cache");
    // The limit of a pod is reached by its containers together.
    let mut pod = charged("/pod", "", 980, 100);
    pod.is_group = true;
    let mut shared = cached();
    shared[0].limit.as_mut().unwrap().owner = "/pod".into();
    shared.push(pod);
    assert_eq!(of(shared, "limit_firm_ratio"), Some(0.88));
}

#[test]
fn kills_stay_when_their_container_is_gone() {
    let found = exported(10, Vec::new());
    let gone =
        "memtrace_oom_kills_total{namespace=\"shop\",pod=\"cart-0\",container=\"gone\",scope=\"node\"}";
    assert_eq!(found[gone], 1.0);
    assert_eq!(found[&gone.replace("oom_kills", "member_oom_kills").replace(",scope=\"node\"", "")], 3.0);
    assert!(!found.keys().any(|name| name.starts_with("memtrace_container_")), "{found:?}");
}

#[test]
fn one_that_was_never_killed_has_a_count_to_grow_from() {
    let found = exported(10, vec![row("/b", name("pay-1", "api"), 1, None)]);
    let api = "memtrace_oom_kills_total{namespace=\"shop\",pod=\"pay-1\",container=\"api\",scope=\"memcg\"}";
    assert_eq!(found[api], 0.0);
    assert_eq!(found[&api.replace("oom_kills", "member_oom_kills").replace(",scope=\"memcg\"", "")], 0.0);
}

#[test]
fn two_cgroups_of_one_container_and_a_pods_own_are_no_series_twice() {
    let pod = Name { container: None, ..name("cart-0", "") };
    let mut group = row("/pod", pod.clone(), 4096, Some(8192));
    group.is_group = true;
    let old = row("/old", name("cart-0", "redis"), 256, Some(2048));
    let found = exported(
        10,
        vec![row("/a", name("cart-0", "redis"), 512, Some(1024)), old, group, row("/sandbox", pod, 1, None)],
    );
    let ratios: Vec<_> = found.iter().filter(|(name, _)| name.contains("limit_used_ratio")).collect();
    assert_eq!(ratios.len(), 1, "{ratios:?}");
    assert_eq!(*ratios[0].1, 0.5);
}

#[test]
fn there_are_never_too_many_and_what_is_left_out_is_counted() {
    let rows = |limit: fn(usize) -> Option<u64>| {
        (0..100)
            .map(|n| row(&format!("/{n}"), name("many-0", &format!("c{n:03}")), 1, limit(n)))
            .collect::<Vec<_>>()
    };
    let found = exported(5, rows(|n| (n >= 98).then_some(100)));
    let has = |container: &str| found.keys().any(|name| name.contains(&format!("container=\"{container}\"")));
    assert!(has("c098") && has("c099"), "those with a limit come first");
    assert!(has("c000") && !has("c050") && !has("gone"), "{found:?}");
    assert!(found["memtrace_series_dropped_total"] >= 95.0);
    assert_eq!(found["memtrace_node_oom_kills_total"], 10.0, "the sum knows all");
}

#[test]
fn odd_names_stay_in_their_quotes() {
    let found = exported(10, vec![row("/a", name("cart-0", "a\"b\\\\c\u{1f980}"), 1, None)]);
    assert!(found.keys().any(|name| name.contains(r#"container="a\"b\\\\c🦀""#)), "{found:?}");
}

#[test]
fn what_is_missing_in_the_history_of_workloads_is_counted() {
    let tracer = serde_json::json!({
        "started": "2026-01-02T03:00:00Z", "events": 0, "fault_period": 0, "hooks_attached": 0, "hooks_total": 0,
        "kills": 0, "bare_marks": 0, "kills_not_stored": 0, "losses": [], "scans": Scans::default(),
        "store": StoreState { history_readings_dropped: 7, ..StoreState::default() },
    });
    let facts = facts(Vec::new());
    let snapshot =
        Snapshot { tracer: Some(serde_json::from_value(tracer).unwrap()), ..(*facts.snapshot).clone() };
    let facts = Mutex::new(Some(Inputs { snapshot: Arc::new(snapshot), ..facts }));
    let exporter = Exporter::new(10, move || facts.lock().unwrap().take().unwrap()).unwrap();
    let found = series(&exporter.text());
    assert_eq!(found["memtrace_history_dropped_total{what=\"readings\"}"], 7.0);
    assert_eq!(found["memtrace_history_dropped_total{what=\"rows\"}"], 0.0);
}
