//! A kill as a basis for tests.

use crate::{
    oom::record::{
        AddressSpaceUse, Evidence, LimitOwner, OomRecord, SCHEMA, Scope, ScopeKind, TaskFacts, Trigger,
        Victim, circumstances::Circumstances,
    },
    units::{Bytes, Grade},
};

/// A MiB.
pub const MIB: u64 = 1 << 20;
/// The limit.
pub const LIMIT: u64 = 100 * MIB;

/// A task.
pub fn task(pid: u32, comm: &str, cgroup: &str) -> TaskFacts {
    TaskFacts {
        pid: Some(pid),
        tid: pid,
        comm: comm.into(),
        process_comm: Some(comm.into()),
        uid: Some(0),
        oom_score_adj: Some(0),
        started: Some("2026-01-01T00:00:00Z".parse().unwrap()),
        cgroup: Some(cgroup.into()),
        cgroup_id: Some(7),
    }
}

/// A kill at the limit of `/pod`, `age` seconds after the victim began.
pub fn record(age: i64) -> OomRecord {
    let memory = AddressSpaceUse {
        anon_bytes: Some(Bytes(90 * MIB)),
        file_bytes: Some(Bytes(MIB)),
        shmem_bytes: Some(Bytes(0)),
        swap_bytes: Some(Bytes(0)),
        page_table_bytes: None,
        virtual_bytes: None,
    };
    let started: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    OomRecord {
        schema: SCHEMA,
        id: "x".into(),
        time: started + jiff::SignedDuration::from_secs(age),
        boot_id: "b".into(),
        ktime_ns: 1,
        cgroup_version: Some(2),
        scope: Scope { kind: ScopeKind::Memcg, grade: Grade::Read, why: String::new() },
        limit_owner: Some(LimitOwner {
            path: Some("/pod".into()),
            cgroup_id: Some(7),
            limit_bytes: Some(Bytes(LIMIT)),
            usage_bytes: Some(Bytes(LIMIT)),
            peak_bytes: Some(Bytes(LIMIT)),
            fail_count: None,
            limit_hits: None,
            grade: Grade::Read,
            why: String::new(),
        }),
        victim: Victim { task: task(10, "victim", "/pod"), memory },
        trigger: Trigger { task: task(10, "victim", "/pod"), is_victim: true },
        chain: Vec::new(),
        kernel_stack: Vec::new(),
        user_stack: Vec::new(),
        evidence: Evidence {
            hook: String::new(),
            kill_signal_seen: true,
            losses: Vec::new(),
            unknown: Vec::new(),
        },
        circumstances: Circumstances::default(),
    }
}
