//! Makes a record from the kernel log, with only the facts in its lines.

use jiff::tz::TimeZone;

use super::{Boot, Held, LoggedKill, Report};
use crate::{
    clock,
    oom::{
        dump::DumpTask,
        record::{
            AddressSpaceUse, Evidence, LimitOwner, OomRecord, SCHEMA, Scope, ScopeKind, TaskFacts, Trigger,
            Victim,
            circumstances::{Circumstances, Composition, ProcessAtKill, Request, Source},
        },
    },
    units::{Bytes, Grade},
};

/// Makes the record of a kill.
pub fn record(kill: &LoggedKill, boot: &Boot) -> OomRecord {
    let report = kill.report.as_ref();
    let mut unknown =
        vec!["everything that is not in the kernel log: the daemon did not see this kill".to_owned()];
    let scope = scope(kill);
    let limit_owner = report.and_then(limit_owner);
    if scope.kind == ScopeKind::Memcg && limit_owner.is_none() {
        unknown.push("whose limit was hit: the kernel wrote no report of this kill".to_owned());
    }
    let trigger = trigger(kill);
    if trigger.task.is_unknown() {
        unknown.push("who requested memory: it is not in the kernel log".to_owned());
    }
    let ktime_ns = boot.ktime(kill);
    let time = clock::at(boot.now.0, boot.now.1, ktime_ns);
    let short: String = boot.id.chars().filter(char::is_ascii_alphanumeric).take(4).collect();
    OomRecord {
        schema: SCHEMA,
        id: format!("{}-{}-{short}", time.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ"), kill.tid),
        time,
        boot_id: boot.id.clone(),
        ktime_ns,
        cgroup_version: boot.cgroup_version,
        scope,
        limit_owner,
        victim: victim(kill),
        trigger,
        chain: Vec::new(),
        kernel_stack: Vec::new(),
        user_stack: Vec::new(),
        evidence: Evidence {
            hook: format!("kernel log, record {}", kill.sequence),
            kill_signal_seen: false,
            losses: Vec::new(),
            unknown,
        },
        circumstances: Circumstances {
            source: Source::KernelLog,
            more_victims: kill.others.iter().map(victim).collect(),
            request: report.map(request),
            composition: report.and_then(composition),
            processes: report.map(|report| processes(report, kill, boot.page_size)).unwrap_or_default(),
            ..Circumstances::default()
        },
    }
}

fn scope(kill: &LoggedKill) -> Scope {
    let constraint = kill.report.as_ref().and_then(|report| report.dump.constraint.as_deref());
    let (kind, grade, why) = match (constraint, kill.is_memcg) {
        (Some("memcg"), _) => {
            (ScopeKind::Memcg, Grade::Read, "the kernel log says constraint=CONSTRAINT_MEMCG")
        }
        (Some(_), _) => (
            ScopeKind::Global,
            Grade::Read,
            "the constraint in the kernel log is not that of a memory cgroup",
        ),
        (None, Some(true)) => {
            (ScopeKind::Memcg, Grade::Read, "the kernel log says \"Memory cgroup out of memory\"")
        }
        (None, Some(false)) => (ScopeKind::Global, Grade::Read, "the kernel log says \"Out of memory\""),
        (None, None) => (ScopeKind::Unknown, Grade::Inferred, "the kernel log does not tell"),
    };
    Scope { kind, grade, why: why.to_owned() }
}

fn limit_owner(report: &Report) -> Option<LimitOwner> {
    let path = report.dump.owner.clone()?;
    Some(LimitOwner {
        path: Some(path),
        cgroup_id: None,
        limit_bytes: report.limit,
        usage_bytes: report.usage,
        peak_bytes: None,
        fail_count: report.fail_count,
        limit_hits: None,
        grade: Grade::Read,
        why: "the kernel log names it as oom_memcg".to_owned(),
    })
}

fn victim(kill: &LoggedKill) -> Victim {
    let Held { total, anon, file, shmem, page_tables } = kill.held;
    let tasks = kill.report.as_ref().map_or(&[][..], |report| &report.dump.tasks);
    Victim {
        task: TaskFacts {
            // The line has a thread id; the report lists processes.
            pid: tasks.iter().any(|task| task.tgid == kill.tid).then_some(kill.tid),
            uid: kill.uid,
            oom_score_adj: kill.oom_score_adj,
            cgroup: kill.report.as_ref().and_then(|report| report.victim_cgroup.clone()),
            ..task(kill.tid, &kill.comm)
        },
        memory: AddressSpaceUse {
            anon_bytes: anon,
            file_bytes: file,
            shmem_bytes: shmem,
            swap_bytes: None,
            page_table_bytes: page_tables,
            virtual_bytes: total,
        },
    }
}

fn trigger(kill: &LoggedKill) -> Trigger {
    let report = kill.report.as_ref();
    let tid = report.and_then(|report| report.invoker_tid);
    let comm = report.and_then(|report| report.invoker.as_deref()).unwrap_or_default();
    Trigger { task: task(tid.unwrap_or_default(), comm), is_victim: tid == Some(kill.tid) }
}

fn task(tid: u32, comm: &str) -> TaskFacts {
    TaskFacts {
        pid: None,
        tid,
        comm: comm.to_owned(),
        process_comm: None,
        uid: None,
        oom_score_adj: None,
        started: None,
        cgroup: None,
        cgroup_id: None,
    }
}

fn request(report: &Report) -> Request {
    Request {
        order: report.dump.order,
        gfp_mask: report.dump.gfp_mask.clone(),
        constraint: report.dump.constraint.clone(),
        grade: Some(Grade::Read),
    }
}

/// The charge in the report, which is of the same instant as the kill.
fn composition(report: &Report) -> Option<Composition> {
    let charge = report.dump.has_charge.then(|| report.dump.charge.clone())?;
    Some(Composition {
        charge,
        tmpfs: Vec::new(),
        tmpfs_not_read: None,
        grade: Grade::Read,
        age_seconds: 0.0,
    })
}

fn processes(report: &Report, kill: &LoggedKill, page_size: u64) -> Vec<ProcessAtKill> {
    let mut processes: Vec<ProcessAtKill> = report
        .dump
        .tasks
        .iter()
        .map(|DumpTask { tgid, name, uid, rss, rss_anon, oom_score_adj }| ProcessAtKill {
            task: TaskFacts {
                pid: Some(*tgid),
                process_comm: Some(name.clone()),
                uid: *uid,
                oom_score_adj: *oom_score_adj,
                ..task(*tgid, name)
            },
            rss_bytes: rss.map(|pages| Bytes(pages.saturating_mul(page_size))),
            anon_bytes: rss_anon.map(|pages| Bytes(pages.saturating_mul(page_size))),
            growth_bytes_per_second: None,
            threads: None,
            copy_of: None,
            copied_seconds_ago: None,
            is_victim: *tgid == kill.tid,
            grade: Grade::Read,
            age_seconds: Some(0.0),
        })
        .collect();
    processes.sort_by_key(|process| std::cmp::Reverse(process.rss_bytes));
    processes.truncate(64);
    processes
}
