//! OOM records for tests: realistic ones by case, and arbitrary ones.
//!
//! A number -> a record; the same number gives the same record. Nothing here reads a machine.

pub mod arbitrary;
pub mod full;

use jiff::Timestamp;

use crate::{
    oom::record::{
        AddressSpaceUse, Evidence, Frame, LimitOwner, Loss, MemcgLevel, OomRecord, SCHEMA, Scope, ScopeKind,
        TaskFacts, Trigger, Victim, circumstances::Circumstances,
    },
    units::{Bytes, Grade},
};

const POD: &str = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod6e0b4bb2_1c7c_4f0d_8f2e_3f1f3a1c2b4d.slice";
const CACHE: &str = "cri-containerd-3f9d0c1b7a5e4d2f8b6c9a0e1d3f5b7a9c8e6d4f2b0a1c3e5d7f9b8a6c4e2d0f.scope";
const LOADER: &str = "cri-containerd-b81e2d4c6f8a0b3d5e7f9c1a2b4d6e8f0a3c5e7d9b1f2a4c6e8d0b3a5f7c9e1d.scope";

/// A small process in a sibling container allocates, and the pod's limit, two levels above the victim, kills the large
/// one. `n` distinguishes records, which are a minute apart.
pub fn record(n: u32) -> OomRecord {
    let time = at(1_780_000_000 + 60 * i64::from(n), 123_456_789);
    let pid = 4242 + n;
    let victim_cgroup = format!("{POD}/{CACHE}/workers");
    let why = "only its oom counter grew, by 1, of all cgroups from the victim up".to_owned();
    OomRecord {
        schema: SCHEMA,
        id: format!("{}-{pid}-0f6c", time.strftime("%Y%m%dT%H%M%SZ")),
        time,
        boot_id: "0f6c3b0e-7c39-4a52-9d0a-5d1f2d7f6a11".to_owned(),
        ktime_ns: 18_182_123_456_789 + u64::from(n) * 60_000_000_000,
        cgroup_version: Some(2),
        scope: Scope {
            kind: ScopeKind::Memcg,
            grade: Grade::Read,
            why: "the kernel stack contains mem_cgroup_out_of_memory".to_owned(),
        },
        limit_owner: Some(LimitOwner {
            path: Some(POD.to_owned()),
            cgroup_id: Some(7003),
            limit_bytes: Some(mib(64)),
            usage_bytes: Some(mib(64)),
            peak_bytes: Some(mib(64)),
            fail_count: None,
            limit_hits: Some(312),
            grade: Grade::Read,
            why,
        }),
        victim: Victim {
            task: TaskFacts {
                pid: Some(pid),
                tid: pid,
                comm: "redis-server".to_owned(),
                process_comm: Some("redis-server".to_owned()),
                uid: Some(999),
                oom_score_adj: Some(985),
                started: Some(at(1_780_000_000 + 60 * i64::from(n) - 4_324, 0)),
                cgroup: Some(victim_cgroup.clone()),
                cgroup_id: Some(7115),
            },
            memory: AddressSpaceUse {
                anon_bytes: Some(Bytes::from_kib(50_932)),
                file_bytes: Some(Bytes::from_kib(3_072)),
                shmem_bytes: Some(Bytes::from_kib(516)),
                swap_bytes: Some(Bytes(0)),
                page_table_bytes: Some(Bytes::from_kib(172)),
                virtual_bytes: Some(Bytes::from_kib(148_480)),
            },
        },
        trigger: loader(),
        chain: vec![
            level(&victim_cgroup, 7115, 55, None),
            level(&format!("{POD}/{CACHE}"), 7110, 57, Some(96)),
            MemcgLevel { limit_hits: Some(312), oom_events: Some(1), ..level(POD, 7003, 64, Some(64)) },
            level("/kubepods.slice/kubepods-burstable.slice", 5002, 1_433, None),
            level("/kubepods.slice", 4711, 5_734, Some(30_720)),
            MemcgLevel { peak_bytes: None, ..level("/", 1, 9_011, None) },
        ],
        kernel_stack: kernel_stack(),
        user_stack: vec![
            frame(0x7f3a_91c4_2b10, Some("__memset_avx2_unaligned_erms")),
            frame(0x55d0_a8e0_19f2, Some("loader::table::Table<alloc::string::String, u64>::grow")),
            frame(0x55d0_a8e0_4410, None),
        ],
        evidence: Evidence {
            hook: "tp_btf/mark_victim".to_owned(),
            kill_signal_seen: true,
            losses: Vec::new(),
            unknown: Vec::new(),
        },
        circumstances: Circumstances::default(),
    }
}

/// The trigger.
fn loader() -> Trigger {
    Trigger {
        task: TaskFacts {
            pid: Some(5150),
            tid: 5150,
            comm: "loader".to_owned(),
            process_comm: Some("loader".to_owned()),
            uid: Some(0),
            oom_score_adj: Some(985),
            started: Some(at(1_780_000_000 - 3, 0)),
            cgroup: Some(format!("{POD}/{LOADER}")),
            cgroup_id: Some(7200),
        },
        is_victim: false,
    }
}

/// The victim itself is the trigger, in the group whose limit was hit.
pub fn self_trigger() -> OomRecord {
    let mut record = record(0);
    let path = "/system.slice/report.service";
    set_cgroup(&mut record.victim.task, path, 2210);
    record.victim.task.started = Some(at(1_779_999_996, 923_456_789));
    record.trigger = Trigger { task: record.victim.task.clone(), is_victim: true };
    record.chain = vec![
        MemcgLevel { oom_events: Some(3), limit_hits: Some(9_001), ..level(path, 2210, 64, Some(64)) },
        level("/system.slice", 40, 900, None),
        level("/", 1, 9_011, None),
    ];
    if let Some(owner) = &mut record.limit_owner {
        owner.path = Some(path.to_owned());
        owner.cgroup_id = Some(2210);
        owner.limit_hits = Some(9_001);
    }
    record
}

/// The node ran out of memory; the tracer had lost events by then.
pub fn global() -> OomRecord {
    let mut record = record(0);
    record.scope = Scope {
        kind: ScopeKind::Global,
        grade: Grade::Read,
        why: "the kernel stack contains out_of_memory and no function of a memory cgroup".to_owned(),
    };
    record.limit_owner = None;
    set_cgroup(&mut record.victim.task, "/user.slice/user-1000.slice/session-4.scope", 3001);
    record.victim.memory.swap_bytes = Some(mib(2_048));
    record.trigger.task = TaskFacts {
        pid: Some(712),
        tid: 745,
        comm: "containerd".to_owned(),
        process_comm: Some("containerd".to_owned()),
        cgroup: Some("/system.slice/containerd.service".to_owned()),
        cgroup_id: Some(2301),
        started: None,
        ..record.trigger.task
    };
    record.chain = vec![
        level("/user.slice/user-1000.slice/session-4.scope", 3001, 55, None),
        level("/", 1, 15_872, None),
    ];
    record.kernel_stack.drain(7..11);
    record.kernel_stack.insert(7, frame(0xffff_ffff_8133_0420, Some("__alloc_pages_slowpath.constprop.0")));
    record.user_stack.clear();
    record.evidence.losses = vec![Loss {
        name: "stream_full".to_owned(),
        count: 1_204,
        meaning: "address-space, fault and task events, lost because the ring buffer was full".to_owned(),
    }];
    record
}

/// The kernel marked a thread, and few facts are known: a kernel without BTF.
pub fn thread_victim() -> OomRecord {
    let mut record = record(0);
    record.scope.grade = Grade::Inferred;
    record.scope.why =
        "the oom counter of a memory cgroup grew; the kernel stack has no symbol names".to_owned();
    record.limit_owner = None;
    record.victim.task = TaskFacts {
        pid: Some(4242),
        tid: 4251,
        comm: "bio_lazy_free".to_owned(),
        process_comm: None,
        uid: None,
        oom_score_adj: None,
        started: None,
        cgroup: None,
        cgroup_id: None,
    };
    record.victim.memory.swap_bytes = None;
    record.victim.memory.page_table_bytes = None;
    record.victim.memory.shmem_bytes = None;
    record.chain.clear();
    record.kernel_stack.clear();
    record.user_stack.clear();
    record.evidence = Evidence {
        hook: "oom:mark_victim".to_owned(),
        kill_signal_seen: false,
        losses: Vec::new(),
        unknown: vec![
            "whose limit was hit: no cgroup from the victim up to the root has a known limit".to_owned(),
            "the victim's cgroups: the hook does not give the task".to_owned(),
        ],
    };
    record
}

fn set_cgroup(task: &mut TaskFacts, path: &str, id: u64) {
    task.cgroup = Some(path.to_owned());
    task.cgroup_id = Some(id);
}

fn level(path: &str, id: u64, usage_mib: u64, limit_mib: Option<u64>) -> MemcgLevel {
    MemcgLevel {
        path: Some(path.to_owned()),
        cgroup_id: Some(id),
        usage_bytes: Some(mib(usage_mib)),
        limit_bytes: limit_mib.map(mib),
        unlimited: limit_mib.is_none(),
        peak_bytes: Some(mib(usage_mib)),
        fail_count: None,
        limit_hits: Some(0),
        swap_usage_bytes: Some(Bytes(0)),
        swap_limit_bytes: None,
        oom_events: Some(0),
        oom_kills: Some(0),
        oom_group: false,
    }
}

fn kernel_stack() -> Vec<Frame> {
    let symbols = [
        "bpf_prog_6deef7357e7b4530_mark_victim",
        "bpf_trace_run1",
        "__traceiter_mark_victim",
        "mark_oom_victim",
        "__oom_kill_process",
        "oom_kill_process",
        "out_of_memory",
        "mem_cgroup_out_of_memory",
        "try_charge_memcg",
        "charge_memcg",
        "__mem_cgroup_charge",
        "do_anonymous_page",
        "__handle_mm_fault",
        "handle_mm_fault",
        "do_user_addr_fault",
        "exc_page_fault",
        "asm_exc_page_fault",
    ];
    symbols
        .iter()
        .zip(0..)
        .map(|(symbol, index): (_, u64)| frame(0xffff_ffff_8120_0000 + index * 0x140, Some(symbol)))
        .collect()
}

fn frame(address: u64, symbol: Option<&str>) -> Frame {
    Frame { address: format!("{address:#x}"), symbol: symbol.map(str::to_owned) }
}

fn mib(mib: u64) -> Bytes {
    Bytes(mib << 20)
}

fn at(second: i64, nanosecond: i32) -> Timestamp {
    Timestamp::new(second, nanosecond).unwrap()
}
