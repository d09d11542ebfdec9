//! A record as `memtrace report show -o json` prints it.
//!
//! JSON -> the fields that are compared, and the names of those that are null. Must not know memtrace's own types:
//! what is tested is what others read.

use serde::Deserialize;
use serde_json::Value;

/// One kill.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Record {
    pub(crate) ktime_ns: u64,
    pub(crate) scope: Scope,
    pub(crate) limit_owner: Option<Owner>,
    pub(crate) victim: Victim,
    /// Of a group that dies as one, which is one record.
    #[serde(default)]
    pub(crate) more_victims: Vec<Victim>,
    pub(crate) trigger: Trigger,
    pub(crate) chain: Vec<Level>,
    pub(crate) evidence: Evidence,
    #[serde(default)]
    pub(crate) cause: Option<Cause>,
    /// Everything that is not known.
    #[serde(skip)]
    pub(crate) unknown: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Cause {
    pub(crate) kind: String,
    pub(crate) confidence: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Scope {
    pub(crate) kind: String,
    pub(crate) grade: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Owner {
    pub(crate) path: Option<String>,
    pub(crate) limit_bytes: Option<u64>,
    pub(crate) usage_bytes: Option<u64>,
    pub(crate) grade: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Victim {
    pub(crate) pid: Option<u32>,
    pub(crate) tid: u32,
    pub(crate) comm: String,
    pub(crate) uid: Option<u32>,
    pub(crate) oom_score_adj: Option<i32>,
    pub(crate) cgroup: Option<String>,
    pub(crate) memory: Memory,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Memory {
    pub(crate) anon_bytes: Option<u64>,
    pub(crate) file_bytes: Option<u64>,
    pub(crate) shmem_bytes: Option<u64>,
    pub(crate) virtual_bytes: Option<u64>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Trigger {
    pub(crate) tid: u32,
    pub(crate) comm: String,
    pub(crate) is_victim: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Level {
    pub(crate) path: Option<String>,
    pub(crate) oom_events: Option<u64>,
    pub(crate) oom_kills: Option<u64>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Evidence {
    pub(crate) hook: String,
    pub(crate) kill_signal_seen: bool,
    pub(crate) losses: Vec<Loss>,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub(crate) struct Loss {
    pub(crate) name: String,
    pub(crate) count: u64,
}

impl Record {
    pub(crate) fn parse(json: &str) -> Result<Self, serde_json::Error> {
        let value: Value = serde_json::from_str(json)?;
        let unknown = unknown(&value);
        let mut record: Self = serde_json::from_value(value)?;
        record.unknown = unknown;
        Ok(record)
    }

    /// Thread ids are the only names that a hook without a task has.
    pub(crate) fn names_victim(&self, pid: u32) -> bool {
        self.victim.pid.unwrap_or(self.victim.tid) == pid
    }
}

/// The names of all that is null or empty without being so by nature.
fn unknown(record: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk(record, "", &mut found);
    let by_nature = |name: &str| match name {
        // Null where there is no limit, which is known; of swap there is none in the guests.
        "chain[].limit_bytes" | "chain[].swap_limit_bytes" => true,
        "limit_owner" => record.pointer("/scope/kind").and_then(Value::as_str) == Some("global"),
        "evidence.losses" | "evidence.unknown" => true,
        // Most addresses of a program have no name, and the first of the kernel's stack are the tracer's.
        "user_stack[].symbol" | "kernel_stack[].symbol" => true,
        _ => false,
    };
    found.retain(|name| !by_nature(name));
    found.sort();
    found.dedup();
    found
}

fn walk(value: &Value, name: &str, found: &mut Vec<String>) {
    match value {
        Value::Null => found.push(name.to_owned()),
        Value::Array(items) if items.is_empty() => found.push(name.to_owned()),
        Value::Array(items) => items.iter().for_each(|item| walk(item, &format!("{name}[]"), found)),
        Value::Object(fields) => {
            let dot = if name.is_empty() { "" } else { "." };
            fields.iter().for_each(|(key, value)| walk(value, &format!("{name}{dot}{key}"), found));
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// As 5.10 gave it, for the first kill in the kernel log's example.
    pub(crate) const JSON: &str = r#"{"schema": 1, "id": "20261122T201143Z-113-5bc6", "ktime_ns": 5489452817,
        "scope": {"kind": "memcg", "grade": "read", "why": "the kernel stack passes mem_cgroup_out_of_memory"},
        "limit_owner": {"path": "/own", "cgroup_id": 20, "limit_bytes": 25165824, "usage_bytes": 25165824,
            "fail_count": null, "grade": "read", "why": "grew by 1"},
        "victim": {"pid": 113, "tid": 113, "comm": "own", "uid": 0, "oom_score_adj": 0, "cgroup": "/own",
            "memory": {"anon_bytes": 25079808, "file_bytes": 4096, "shmem_bytes": 663552, "virtual_bytes": 51351552}},
        "trigger": {"pid": 113, "tid": 113, "comm": "own", "cgroup": "/own", "is_victim": true},
        "chain": [{"path": "/own", "limit_bytes": 25165824, "fail_count": null, "oom_events": 1, "oom_kills": 1},
            {"path": "/", "limit_bytes": null, "fail_count": null, "oom_events": 0, "oom_kills": 0}],
        "kernel_stack": [{"address": "0x1", "symbol": null}], "user_stack": [],
        "evidence": {"hook": "tp_btf:mark_victim", "kill_signal_seen": true, "losses": [], "unknown": []}}"#;

    #[test]
    fn what_is_null_is_named_once_and_what_is_so_by_nature_is_not() {
        let record = Record::parse(JSON).unwrap();
        assert_eq!(record.unknown, ["chain[].fail_count", "limit_owner.fail_count", "user_stack"]);
    }

    #[test]
    fn a_missing_owner_is_unknown_unless_the_node_was_out_of_memory() {
        let without = r#"{"scope": {"kind": "KIND"}, "limit_owner": null}"#;
        let of = |kind| unknown(&serde_json::from_str(&without.replace("KIND", kind)).unwrap());
        assert_eq!(of("memcg"), ["limit_owner"]);
        assert_eq!(of("global"), [""; 0]);
    }

    #[test]
    fn a_victim_is_named_by_its_thread_where_its_process_is_not_known() {
        let mut record = Record::parse(JSON).unwrap();
        assert!(record.names_victim(113));
        record.victim.pid = None;
        assert!(record.names_victim(113) && !record.names_victim(114));
    }
}
