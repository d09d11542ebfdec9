//! A kill as a flat row: the main fields of its record.
//!
//! [`OomRecord`] -> values by column. Pure. Columns are added at the end, and neither renamed nor removed.

use serde_json::Value;

use super::table::{Column, value};
use crate::{
    cgroup::charge::Charge,
    container::{name::Name, workload::label},
    oom::{
        cause::Cause,
        record::{LimitOwner, OomRecord, TaskFacts, circumstances::VictimMemory},
    },
    report::sentence,
    snapshot::stack::{Told, told},
    units::Bytes,
};

const fn column(name: &'static str, about: &'static str, get: fn(&OomRecord) -> Value) -> Column<OomRecord> {
    Column { name, about, get }
}

/// The columns.
pub static COLUMNS: &[Column<OomRecord>] = &[
    column("schema", "version of these columns: 1", |_| value(1)),
    column("time", "when the kernel marked the victim, RFC 3339 in UTC", |of| value(of.time)),
    column("id", "id of the record: `memtrace report show ID` has all of it", |of| value(&of.id)),
    column("boot_id", "the boot of the kill", |of| value(&of.boot_id)),
    column("source", "`live`, or `kernel_log`: made from the kernel log, with fewer facts", |of| {
        value(of.circumstances.source)
    }),
    column("scope", "what ran out: `memcg` (the limit of a cgroup), `global` (the node), `unknown`", |of| {
        value(of.scope.kind)
    }),
    column("scope_grade", "how that is known: `read`, `measured`, `sampled`, `inferred`", |of| {
        value(of.scope.grade)
    }),
    column("cause", "kind of the cause, as in [record.md](record.md#cause)", |of| {
        value(cause(of).map(|cause| cause.kind))
    }),
    column("cause_confidence", "`low`, `medium`, `high`", |of| {
        value(cause(of).map(|cause| cause.confidence))
    }),
    column("cause_sentence", "the cause in a sentence", |of| value(cause(of).map(|cause| &cause.sentence))),
    column("sentence", "the kill in a sentence: victim, limit, trigger", |of| value(sentence(of))),
    column(
        "workload",
        "`namespace/owner/container`, or a unit, or a cgroup: the same for all its pods",
        |of| {
            let cgroup = of.victim.task.cgroup.as_deref();
            value((name(of).is_some() || cgroup.is_some()).then(|| label(name(of), cgroup)))
        },
    ),
    column("namespace", "Kubernetes namespace of the victim", |of| {
        value(name(of).map(|name| &name.namespace))
    }),
    column("pod", "its pod", |of| value(name(of).map(|name| &name.pod))),
    column("pod_uid", "uid of the pod", |of| value(name(of).map(|name| &name.pod_uid))),
    column("container", "its container", |of| value(name(of).map(|name| &name.container))),
    column("container_id", "id of the container", |of| value(name(of).map(|name| &name.container_id))),
    column("container_restart", "earlier restarts of the container", |of| {
        value(name(of).map(|name| name.restart))
    }),
    column("image", "image of the container, as requested", |of| value(name(of).map(|name| &name.image))),
    column("unit", "systemd unit", |of| value(name(of).map(|name| &name.unit))),
    column("victim_pid", "process id of the victim, as the node sees it", |of| value(of.victim.task.pid)),
    column("victim_comm", "name of its process; of its thread when only that is known", |of| {
        value(comm(&of.victim.task))
    }),
    column("victim_uid", "its real user id", |of| value(of.victim.task.uid)),
    column("victim_oom_score_adj", "-1000 (never kill) to 1000", |of| value(of.victim.task.oom_score_adj)),
    column("victim_started", "when it started", |of| value(of.victim.task.started)),
    column("victim_cgroup", "path of its memory cgroup", |of| value(&of.victim.task.cgroup)),
    column("victim_rss_bytes", "its resident memory: the next three", |of| value(of.victim.memory.rss())),
    column("victim_anon_bytes", "anonymous memory", |of| value(of.victim.memory.anon_bytes)),
    column("victim_file_bytes", "pages of files", |of| value(of.victim.memory.file_bytes)),
    column("victim_shmem_bytes", "shared memory and tmpfs", |of| value(of.victim.memory.shmem_bytes)),
    column("victim_swap_bytes", "swapped out", |of| value(of.victim.memory.swap_bytes)),
    column("victim_page_table_bytes", "page tables", |of| value(of.victim.memory.page_table_bytes)),
    column("victims", "processes that this kill ended; more than one with `memory.oom.group`", |of| {
        value(1 + of.circumstances.more_victims.len())
    }),
    column("trigger_pid", "process id of the task whose allocation failed", |of| value(of.trigger.task.pid)),
    column("trigger_comm", "name of its process", |of| {
        value((!of.trigger.task.is_unknown()).then(|| comm(&of.trigger.task)))
    }),
    column("trigger_cgroup", "path of its memory cgroup", |of| value(&of.trigger.task.cgroup)),
    column("trigger_is_victim", "whether it is a thread of the victim", |of| {
        value((!of.trigger.task.is_unknown()).then_some(of.trigger.is_victim))
    }),
    column("limit_cgroup", "path of the cgroup whose limit was hit", |of| {
        value(owner(of).map(|owner| &owner.path))
    }),
    column("limit_grade", "how that is known", |of| value(owner(of).map(|owner| owner.grade))),
    column("limit_bytes", "its limit", |of| value(owner(of).map(|owner| owner.limit_bytes))),
    column("limit_usage_bytes", "its charge at the kill", |of| {
        value(owner(of).map(|owner| owner.usage_bytes))
    }),
    column("limit_peak_bytes", "its highest charge", |of| value(owner(of).map(|owner| owner.peak_bytes))),
    column("limit_hits", "how often the limit had been hit", |of| {
        value(owner(of).map(|owner| owner.limit_hits))
    }),
    column("charge_age_seconds", "age at the kill of the next four; negative: read after it", |of| {
        value(of.circumstances.composition.as_ref().map(|charge| charge.age_seconds))
    }),
    column("charge_anon_bytes", "anonymous memory under the limit", |of| charge(of, |of| of.anon_bytes)),
    column("charge_file_bytes", "page cache under the limit", |of| charge(of, Charge::file)),
    column("charge_shmem_bytes", "shared memory and tmpfs under the limit", |of| {
        charge(of, |of| of.shmem_bytes)
    }),
    column("charge_kernel_bytes", "kernel memory under the limit", |of| charge(of, Charge::kernel)),
    column("largest_arena_allocator", "owner of the largest part of the victim's memory", |of| {
        value(memory(of).and_then(|memory| Some(&memory.arenas.first()?.allocator)))
    }),
    column("largest_arena_kind", "what for", |of| {
        value(memory(of).and_then(|memory| Some(&memory.arenas.first()?.kind)))
    }),
    column("largest_arena_bytes", "resident in it", |of| {
        value(memory(of).and_then(|memory| Some(memory.arenas.first()?.resident_bytes)))
    }),
    column(
        "growth_function",
        "the program's own function that touched most new memory in the last minute",
        |of| value(grew(of).and_then(|told| told.stack.own_frame()?.symbol.as_ref())),
    ),
    column("node_total_bytes", "memory of the node", |of| {
        value(of.circumstances.node.as_ref().map(|node| node.total_bytes))
    }),
    column("node_available_bytes", "available without swapping", |of| {
        value(of.circumstances.node.as_ref().map(|node| node.available_bytes))
    }),
    column("lives_on", "whether the container's first process still ran two seconds later", |of| {
        value(of.circumstances.lives_on)
    }),
    column("exit_signal", "signal that ended the victim", |of| {
        value(of.circumstances.outcome.as_ref().map(|outcome| outcome.signal))
    }),
    column("exit_code", "its exit code, when no signal ended it", |of| {
        value(of.circumstances.outcome.as_ref().map(|outcome| outcome.exit_code))
    }),
    column("runtime_reason", "what the container runtime reports", |of| {
        value(of.circumstances.outcome.as_ref().map(|outcome| &outcome.runtime_reason))
    }),
    column("runtime_exit_code", "the exit code that it reports", |of| {
        value(of.circumstances.outcome.as_ref().map(|outcome| outcome.runtime_exit_code))
    }),
    column("hook", "how the kill was seen, as in `memtrace doctor`", |of| value(&of.evidence.hook)),
    column("losses", "what the tracer had lost until then, all kinds; 0: nothing", |of| {
        value(of.evidence.losses.iter().fold(0_u64, |sum, loss| sum.saturating_add(loss.count)))
    }),
    column(
        "growth_function_share",
        "the part of the sampled growth that its call stack stands for, 0 to 1",
        |of| value(grew(of).filter(|told| told.of.0 > 0).map(|told| told.share())),
    ),
];

fn cause(record: &OomRecord) -> Option<&Cause> {
    record.circumstances.cause.as_ref()
}

fn name(record: &OomRecord) -> Option<&Name> {
    record.circumstances.container.as_ref()
}

fn owner(record: &OomRecord) -> Option<&LimitOwner> {
    record.limit_owner.as_ref()
}

fn memory(record: &OomRecord) -> Option<&VictimMemory> {
    record.circumstances.victim_memory.as_ref()
}

fn grew(record: &OomRecord) -> Option<Told<'_>> {
    told(&memory(record)?.growth_stacks)
}

fn comm(task: &TaskFacts) -> &str {
    task.process_comm.as_ref().unwrap_or(&task.comm)
}

fn charge(record: &OomRecord, get: fn(&Charge) -> Option<Bytes>) -> Value {
    value(record.circumstances.composition.as_ref().and_then(|composition| get(&composition.charge)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{COLUMNS, OomRecord};
    use crate::{
        export::table::{Form, Rows, check_documentation},
        store::fixture,
    };

    fn written(form: Form, records: &[OomRecord]) -> String {
        let mut out = Vec::new();
        let mut rows = Rows::begin(COLUMNS, form, &mut out).unwrap();
        records.iter().for_each(|record| rows.write(record).unwrap());
        String::from_utf8(out).unwrap()
    }

    fn object(record: &OomRecord) -> serde_json::Value {
        serde_json::from_str(&written(Form::Ndjson, std::slice::from_ref(record))).unwrap()
    }

    /// The fields of each line, by RFC 4180.
    fn fields(csv: &str) -> Vec<Vec<String>> {
        let (mut lines, mut line, mut field, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
        let mut rest = csv.chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                '"' if quoted && rest.peek() == Some(&'"') => field.extend(rest.next()),
                '"' => quoted = !quoted,
                ',' if !quoted => line.push(std::mem::take(&mut field)),
                '\r' if !quoted => {
                    assert_eq!(rest.next(), Some('\n'));
                    line.push(std::mem::take(&mut field));
                    lines.push(std::mem::take(&mut line));
                }
                c => field.push(c),
            }
        }
        assert!(line.is_empty() && field.is_empty() && !quoted, "the last line ends");
        lines
    }

    #[test]
    fn the_columns_are_documented_and_have_one_name_each() {
        check_documentation("kills", COLUMNS);
        let names: std::collections::BTreeSet<&str> = COLUMNS.iter().map(|column| column.name).collect();
        assert_eq!(names.len(), COLUMNS.len());
    }

    #[test]
    fn a_row_says_what_the_record_says() {
        let row = object(&fixture::full::record());
        for (column, expected) in [
            ("workload", "shop/cart/redis"),
            ("image", "registry.example/shop/cart:1.14.2"),
            ("cause", "leak"),
            ("cause_confidence", "high"),
            ("victim_comm", "redis-server"),
            ("trigger_comm", "loader"),
        ] {
            assert_eq!(row[column], expected, "{column}");
        }
        assert_eq!((row["limit_bytes"].as_u64(), row["victims"].as_u64()), (Some(64 << 20), Some(2)));
        assert_eq!(row["victim_rss_bytes"].as_u64(), Some((50_932 + 3_072 + 516) << 10));
        assert_eq!(row["lives_on"], false);
    }

    #[test]
    fn what_is_not_known_of_a_kill_is_null() {
        let row = object(&fixture::thread_victim());
        for column in ["limit_cgroup", "limit_bytes", "victim_rss_bytes", "cause", "workload", "lives_on"] {
            assert_eq!(row[column], serde_json::Value::Null, "{column}");
        }
        assert_eq!(row["victim_comm"], "bio_lazy_free");
    }

    #[test]
    fn a_hostile_name_is_no_formula() {
        let mut record = fixture::record(0);
        record.victim.task.process_comm = Some("=HYPERLINK(\"http://x\",1)".into());
        record.victim.task.cgroup = Some("+evil,\r\n-2".into());
        let csv = written(Form::Csv, &[record]);
        let lines = fields(&csv);
        assert_eq!(lines.len(), 2, "{csv}");
        let of = |name: &str| {
            let at = lines[0].iter().position(|column| column == name).unwrap();
            lines[1][at].clone()
        };
        assert_eq!(of("victim_comm"), "'=HYPERLINK(\"http://x\",1)");
        assert!(of("victim_cgroup").starts_with("'+evil"), "{csv}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

        /// Whatever the names are: one object a line, one line a record, as many fields as columns, no formula.
        #[test]
        fn any_record_is_one_row(record in fixture::arbitrary::record()) {
            let ndjson = written(Form::Ndjson, std::slice::from_ref(&record));
            prop_assert_eq!(ndjson.matches('\n').count(), 1);
            let object: serde_json::Value = serde_json::from_str(&ndjson).unwrap();
            prop_assert_eq!(object.as_object().unwrap().len(), COLUMNS.len());
            let lines = fields(&written(Form::Csv, &[record]));
            prop_assert_eq!(lines.len(), 2);
            for line in &lines {
                prop_assert_eq!(line.len(), COLUMNS.len());
            }
            for (column, field) in lines[0].iter().zip(&lines[1]) {
                if object[column].is_string() {
                    prop_assert!(!field.starts_with(['=', '+', '-', '@']), "{}: {}", column, field);
                }
            }
        }
    }
}
