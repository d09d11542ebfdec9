//! A node with a leaking pod, its sibling, another pod, and a service: the data of the tests of `top`.

use std::sync::Arc;

use super::{By, Data, ProcessId, RowId, Scope, State, rows, sort};
use crate::{
    allocator::counters::{Absent, Counters},
    api::v1::Kills,
    cgroup::{charge::Charge, memcg::Limit},
    container::name::Name,
    ingest::loss::Loss,
    mm::growth::WalkedBy,
    oom::record::{ScopeKind, circumstances::Source},
    probe::status::{HookStatus, PassedOver, ProbeStatus},
    snapshot::{
        ArenaRow, ContainerRow, GrowthStack, Memory, Node, ProcessRow, SCHEMA, Scans, Snapshot, StoreState,
        Tracer, UserFrame, Walks,
    },
    store::KillSummary,
    top::value::Value,
    units::{Bytes, Grade},
    verdict::{Confidence, Finding, Insight, Insights, Kind, Remedy},
};

const fn mib(mib: u64) -> Bytes {
    Bytes(mib << 20)
}

const POD: &str = "/kubepods/burstable/pod6e0b4bb2-1c7c-4f0d-8f2e-3f1f3a1c2b4d";

fn name(namespace: &str, pod: &str, container: &str) -> Option<Name> {
    Some(Name {
        namespace: Some(namespace.into()),
        pod: Some(pod.into()),
        container: Some(container.into()),
        ..Name::default()
    })
}

fn container(
    cgroup: &str,
    name: Option<Name>,
    used: u64,
    limit: Option<u64>,
    processes: usize,
) -> ContainerRow {
    let charge = Charge {
        usage_bytes: Some(mib(used)),
        peak_bytes: Some(mib(used + 8)),
        swap_bytes: Some(Bytes(0)),
        anon_bytes: Some(mib(used * 3 / 4)),
        active_file_bytes: Some(mib(used / 16)),
        inactive_file_bytes: Some(mib(used / 16)),
        shmem_bytes: Some(mib(used / 32)),
        kernel_bytes: Some(mib(used / 32)),
        pressure_some10: Some(0.004),
        ..Charge::default()
    };
    ContainerRow {
        cgroup: cgroup.into(),
        processes,
        usage_bytes: Some(mib(used)),
        limit: limit.map(|limit| Limit { bytes: mib(limit), owner: cgroup.into() }),
        rss_bytes: mib(used * 7 / 8),
        arenas: Arc::default(),
        name: name.map(Arc::new),
        member_kills: 0,
        cgroup_id: Some(7),
        is_group: false,
        charge_age_seconds: Some(0.2),
        charge: Some(charge),
        peak: None,
    }
}

fn process(
    pid: u32,
    comm: &str,
    cgroup: &str,
    rss: u64,
    growth: f64,
    memory: Option<Memory>,
) -> Arc<ProcessRow> {
    Arc::new(ProcessRow {
        pid,
        comm: comm.into(),
        uid: Some(999),
        started: Some("2026-01-02T01:00:00Z".parse().unwrap()),
        cgroup: Some(cgroup.into()),
        rss_bytes: Some(mib(rss)),
        rss_grade: Grade::Read,
        rss_read: Some("2026-01-02T03:04:04.9Z".parse().unwrap()),
        growth_bytes_per_second: Some(growth),
        growth_window_seconds: Some(10.0),
        limit: Some(Limit { bytes: mib(512), owner: cgroup.into() }),
        memory,
        not_read: None,
        totals_only: None,
        peak: None,
    })
}

fn arena(allocator: &'static str, kind: &'static str, resident: u64, growth: i64) -> ArenaRow {
    ArenaRow {
        allocator: allocator.into(),
        kind: kind.into(),
        arenas: 4,
        mapped_bytes: mib(resident * 2),
        resident_bytes: mib(resident),
        lazy_free_bytes: Bytes(0),
        swapped_bytes: Bytes(0),
        pss_bytes: None,
        grade: Grade::Measured,
        growth_bytes: [Some(growth << 20), Some(growth << 21), None],
    }
}

fn memory() -> Memory {
    let frame = |symbol: &str, offset| UserFrame {
        address: format!("{:#x}", 0x55e0_0000_0000_u64 + offset),
        module: Some("/usr/bin/redis-server".into()),
        file_offset: Some(offset),
        symbol: Some(symbol.into()),
        inode: None,
    };
    Memory {
        arenas: vec![
            arena("jemalloc", "extents", 340, 12),
            arena("module", "data", 9, 0),
            arena("stack", "main", 1, 0),
        ],
        unaccounted_bytes: Bytes(123 << 10),
        excess_bytes: Bytes(0),
        stale: None,
        unfinished: None,
        scanned: Some("2026-01-02T03:04:01.8Z".parse().unwrap()),
        samples: Some(64),
        growth_stacks: vec![
            GrowthStack {
                bytes: [mib(12), mib(70), mib(300)],
                walked_by: WalkedBy::Tables,
                frames: vec![
                    frame("je_malloc", 0x1000),
                    frame("zmalloc", 0x2000),
                    frame("dictAddRaw", 0x3000),
                ],
            },
            GrowthStack {
                bytes: [Bytes(0), mib(1), mib(4)],
                walked_by: WalkedBy::Tables,
                frames: vec![frame("sdsnewlen", 0x4000)],
            },
        ],
        counters: vec![Counters {
            allocator: "jemalloc".into(),
            version: Some("5.3.0".into()),
            allocated_bytes: Some(mib(290)),
            free_resident_bytes: Some(mib(44)),
            retained_bytes: Some(mib(120)),
            ..Counters::default()
        }],
        without_counters: vec![Absent { allocator: "glibc".into(), reason: "no symbols".into() }],
        counters_read: Some("2026-01-02T03:04:01.8Z".parse().unwrap()),
    }
}

fn insights() -> Insights {
    let trend = |from: u64, to: u64| {
        (0..120).map(|at| Some(Bytes((from << 20) + ((to - from) << 20) * at / 119))).collect()
    };
    let leak = Finding {
        kind: Kind::Leak,
        confidence: Confidence::High,
        sentence: "anonymous memory grows by 1.2 MiB/s and has not stopped for 2 minutes".into(),
        evidence: Vec::new(),
        remedies: vec![Remedy { text: "look at who allocates: dictAddRaw".into(), setting: None }],
    };
    let insight = |trend, growth, eta, kills, findings| Insight {
        trend_bytes: trend,
        growth_bytes_per_second: growth,
        seconds_to_limit: eta,
        kills,
        findings,
        ..Insight::default()
    };
    Insights::from([
        (format!("{POD}/redis"), insight(trend(300, 440), Some(1_258_291.2), Some(61.0), 0, vec![leak])),
        (format!("{POD}/web"), insight(trend(99, 100), Some(0.0), None, 0, Vec::new())),
        ("/kubepods/podapi/server".into(), insight(trend(1100, 1200), Some(-2048.0), None, 3, Vec::new())),
    ])
}

fn kill(id: &str, time: &str, cgroup: &str) -> KillSummary {
    KillSummary {
        id: id.into(),
        time: time.parse().unwrap(),
        boot_id: "0f6c3b0e".into(),
        scope: ScopeKind::Memcg,
        victim_pid: Some(4100),
        victim_comm: "server".into(),
        cgroup: Some(cgroup.into()),
        limit_owner: Some(cgroup.into()),
        namespace: None,
        pod: None,
        container: None,
        cause: None,
        source: Source::Live,
    }
}

fn probes() -> ProbeStatus {
    let hook = |fact: &str, attached: Option<&str>, passed: Vec<PassedOver>| HookStatus {
        fact: fact.into(),
        required: false,
        attached: attached.map(str::to_owned),
        program: None,
        passed_over: passed,
        lost: attached.is_none().then(|| "who touches new memory".to_owned()),
    };
    let passed = PassedOver { hook: "fexit".into(), why: "the kernel refuses it".into() };
    ProbeStatus {
        hooks: vec![
            hook("oom_kill", Some("tp_btf:mark_victim"), vec![]),
            hook("mmap", Some("tracepoint:syscalls/sys_exit_mmap"), vec![passed]),
            hook("page_fault", None, vec![]),
        ],
        missing_fields: vec!["mem_cgroup.memory_events".into()],
        self_check: "12 fields agree with /proc".into(),
        fault_period: 64,
        ..ProbeStatus::default()
    }
}

/// The node.
pub fn data() -> Data {
    let (redis, web) = (format!("{POD}/redis"), format!("{POD}/web"));
    let (server, sshd) = ("/kubepods/podapi/server", "/system.slice/sshd.service");
    let snapshot = Snapshot {
        schema: SCHEMA,
        time: "2026-01-02T03:04:05Z".parse().unwrap(),
        tracer: Some(Tracer {
            started: "2026-01-02T03:00:00Z".parse().unwrap(),
            events: 1_234_567,
            wakeups: 0,
            fault_period: 64,
            fault_period_now: 0,
            hooks_attached: 2,
            hooks_total: 3,
            kills: 1,
            bare_marks: 0,
            kills_not_stored: 0,
            store: StoreState::default(),
            losses: vec![Loss {
                name: "stream_full".into(),
                count: 1234,
                meaning: "events for which the ring had no room".into(),
            }],
            scans: Scans { followed: 3, done: 7, seconds: 0.25, share_percent: 5, ..Scans::default() },
            walks: Walks::default(),
            memory: crate::snapshot::MemoryUse::default(),
        }),
        processes: vec![
            process(4242, "redis-server", &redis, 400, 1_258_291.0, Some(memory())),
            process(4300, "nginx", &web, 60, 0.0, None),
            process(4301, "nginx", &web, 30, -2048.0, None),
            process(4100, "server", server, 1100, 0.0, None),
            process(900, "sshd", sshd, 6, 0.0, None),
        ],
        containers: vec![
            container(&redis, name("shop", "cart-0", "redis"), 440, Some(512), 1),
            container(&web, name("shop", "cart-0", "web"), 100, Some(512), 2),
            container(server, name("pay", "api-7f", "server"), 1200, Some(2048), 1),
            container(sshd, None, 7, None, 1),
        ],
        node: Node {
            total_bytes: Some(Bytes(16 << 30)),
            available_bytes: Some(Bytes(5 << 30)),
            free_bytes: Some(Bytes(1 << 30)),
            swap_total_bytes: Some(Bytes(2 << 30)),
            swap_free_bytes: Some(Bytes(2 << 30)),
            pressure_some10: Some(0.0),
            pressure_full10: Some(0.0),
        },
    };
    let kills = Kills {
        schema: Kills::SCHEMA,
        kills: vec![
            kill("20260102T030300Z-4100-0f6c", "2026-01-02T03:03:00Z", server),
            kill("20260101T000000Z-77-0f6c", "2026-01-01T00:00:00Z", "/kubepods/podold/app"),
        ],
    };
    Data {
        snapshot: Arc::new(snapshot),
        insights: Arc::new(insights()),
        events_per_second: Some(12_345.0),
        scan_share: Some(0.031),
        kills: Some(Arc::new(kills)),
        probes: Some(Arc::new(probes())),
        named: None,
    }
}

/// A value by its field.
pub fn value(data: &Data, by: By, row: usize, field: &str) -> Value {
    let table = rows(data, by, &Scope::Node);
    let (at, _) = table.column(field).unwrap();
    table.rows[row].values[at].clone()
}

#[test]
fn a_container_is_what_the_kernel_and_the_allocators_say() {
    let data = data();
    let of = |field: &str| value(&data, By::Container, 0, field);
    assert_eq!(of("used"), Value::Bytes(mib(440)));
    assert_eq!(of("%"), Value::Share(440.0 / 512.0));
    assert_eq!(of("file"), Value::Bytes(mib(27 * 2)));
    assert_eq!(of("slack"), Value::Bytes(mib(44)), "free in jemalloc's books");
    assert_eq!(value(&data, By::Container, 1, "slack"), Value::Unknown, "no allocator says");
    assert_eq!(value(&data, By::Container, 3, "limit"), Value::Unknown);
    let states: Vec<State> =
        rows(&data, By::Container, &Scope::Node).rows.iter().map(|row| row.state).collect();
    assert_eq!(states, [State::Alarm, State::Calm, State::Calm, State::Calm], "a minute to the limit");
}

#[test]
fn a_pod_is_the_sum_of_its_containers() {
    let data = data();
    let table = rows(&data, By::Pod, &Scope::Node);
    let names: Vec<_> = table.rows.iter().map(|row| row.values[0].short()).collect();
    assert_eq!(names, ["/system.slice/", "pay/api-7f", "shop/cart-0"]);
    assert_eq!(value(&data, By::Pod, 2, "used"), Value::Bytes(mib(540)));
    assert_eq!(value(&data, By::Pod, 2, "limit"), Value::Bytes(mib(1024)));
    assert_eq!(value(&data, By::Pod, 0, "limit"), Value::Unknown, "sshd has none");
    assert_eq!(rows(&data, By::Container, &Scope::Pod("shop/cart-0".into())).rows.len(), 2);
    assert_eq!(rows(&data, By::Process, &Scope::Pod("shop/cart-0".into())).rows.len(), 3);
}

#[test]
fn a_nested_cgroup_counts_once_in_the_sum() {
    let mut data = data();
    let snapshot = Arc::make_mut(&mut data.snapshot);
    for (container, cgroup) in snapshot.containers.iter_mut().zip(["/x/a", "/x/b", "/x/ab", "/x/c"]) {
        (container.name, container.cgroup) = (None, cgroup.into());
    }
    snapshot.containers[1].cgroup = "/x/a/b".into();
    snapshot.containers[1].name = None;
    let table = rows(&data, By::Pod, &Scope::Node);
    assert_eq!(table.rows.len(), 2, "/x/ and /x/a/");
    // One pod with a container inside another's cgroup.
    for container in &mut Arc::make_mut(&mut data.snapshot).containers {
        container.name = name("n", "p", "c").map(Arc::new);
    }
    assert_eq!(value(&data, By::Pod, 0, "used"), Value::Bytes(mib(440 + 1200 + 7)));
}

#[test]
fn the_order_is_stable_and_the_unknown_is_last() {
    let data = data();
    for (by_used, expected) in [("limit_share", [0, 2, 1, 3]), ("eta", [0, 2, 1, 3]), ("kills", [2, 0, 1, 3])]
    {
        let mut table = rows(&data, By::Container, &Scope::Node);
        let ids: Vec<RowId> = expected.map(|at: usize| table.rows[at].id.clone()).to_vec();
        table.rows.reverse();
        sort::sort(&mut table, By::Container, &sort::Sort::by(By::Container, by_used).unwrap());
        assert_eq!(table.rows.iter().map(|row| row.id.clone()).collect::<Vec<_>>(), ids, "{by_used}");
    }
}

#[test]
fn a_pid_that_is_used_again_is_another_process() {
    let data = data();
    let row = &data.snapshot.processes[0];
    let id = ProcessId::of(row);
    let at = |time: &str| ProcessRow { started: Some(time.parse().unwrap()), ..ProcessRow::clone(row) };
    assert!(id.is(&at("2026-01-02T01:00:00.9Z")), "the start is computed anew each time");
    assert!(!id.is(&at("2026-01-02T02:00:00Z")));
}

#[test]
fn kills_of_a_workload_are_counted_together() {
    let mut data = data();
    let of_pod = |id: &str, pod: &str| KillSummary {
        namespace: Some("shop".into()),
        pod: Some(pod.into()),
        container: Some("redis".into()),
        ..kill(id, "2026-01-02T03:03:00Z", "/kubepods/podold/app")
    };
    let pods = ["cart-7d9c5b8f6-x2x4q", "pay-7d9c5b8f6-x2x4q", "cart-7d9c5b8f6-bcdfg"];
    let kills = pods.iter().map(|pod| of_pod(pod, pod)).collect();
    data.kills = Some(Arc::new(Kills { schema: Kills::SCHEMA, kills }));
    let of = |field: &str| [0, 1, 2].map(|row| value(&data, By::Kill, row, field).short());
    assert_eq!(of("workload"), ["shop/cart/redis", "shop/pay/redis", "shop/cart/redis"]);
    assert_eq!(of("kills"), ["2", "1", "2"]);
}
