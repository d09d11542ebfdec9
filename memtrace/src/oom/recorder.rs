//! Makes the record of a kill from the kernel programs' data.
//!
//! Input: the kill and its context, as values. Output: [`OomRecord`]. Pure; must not store it.

use jiff::{Timestamp, tz::TimeZone};
use memtrace_common::{
    UNKNOWN,
    event::{
        oom::{self, OomKill, flag},
        task::Task,
    },
};

use super::{
    owner::{self, Baselines},
    record::{
        AddressSpaceUse, Evidence, Frame, LimitOwner, Loss, MemcgLevel, OomRecord, SCHEMA, ScopeKind,
        TaskFacts, Trigger, Victim, circumstances::Circumstances,
    },
    scope,
    symbols::KernelSymbols,
};
use crate::{
    cgroup::hierarchy,
    clock,
    text::{comm, escape},
    units::Bytes,
};

/// The context of a kill.
pub struct Context<'a> {
    /// The wall clock, and boot time at the same instant.
    pub now: (Timestamp, u64),
    /// The id of this boot.
    pub boot_id: &'a str,
    /// Version of the memory controller's interface.
    pub cgroup_version: Option<u8>,
    /// Bytes of a page.
    pub page_size: u64,
    /// The hook, as `doctor` names it.
    pub hook: &'a str,
    /// Whether the signal hook was attached.
    pub watches_signals: bool,
    /// Losses so far.
    pub losses: Vec<Loss>,
    /// Names of kernel addresses.
    pub symbols: &'a dyn KernelSymbols,
    /// The path of a cgroup outside the victim's chain.
    pub path_of: &'a dyn Fn(u64) -> Option<String>,
}

/// Whether the mark was a kill. A victim that is already dying is only marked; something else has ended it.
pub fn is_kill(kill: &OomKill, watches_signals: bool) -> bool {
    !watches_signals || kill.flags & flag::SIGNALLED != 0 || kill.flags & flag::VICTIM_READ == 0
}

/// Makes the record, and remembers the groups' counters for the next one.
pub fn record(kill: &OomKill, context: &Context<'_>, baselines: &mut Baselines) -> OomRecord {
    let mut unknown = Vec::new();
    let chain = kill.chain.get(..kill.chain_len as usize).unwrap_or_default();
    let levels = levels(kill, chain, context.page_size);
    let kernel_stack =
        frames(&kill.kernel_stack, kill.kernel_stack_len, |addresses| context.symbols.names(addresses));
    let owner = owner::owner(chain, baselines, &kill.request);
    baselines.remember(chain);
    let scope = scope::scope(
        kernel_stack.iter().map(|frame| frame.symbol.as_deref()),
        owner.as_ref().is_ok_and(|owner| owner.grade == crate::units::Grade::Read),
        &kill.request,
    );
    let limit_owner = match (scope.kind, owner) {
        (ScopeKind::Memcg, Ok(owner)) => levels.get(owner.index).map(|level| LimitOwner {
            path: level.path.clone(),
            cgroup_id: level.cgroup_id,
            limit_bytes: level.limit_bytes,
            usage_bytes: level.usage_bytes,
            peak_bytes: level.peak_bytes,
            fail_count: level.fail_count,
            limit_hits: level.limit_hits,
            grade: owner.grade,
            why: owner.why,
        }),
        (ScopeKind::Memcg | ScopeKind::Unknown, Err(why)) => {
            unknown.push(format!("whose limit was hit: {why}"));
            None
        }
        (ScopeKind::Unknown, Ok(_)) => {
            unknown
                .push("whose limit was hit: it is unknown whether it was the limit of a cgroup".to_owned());
            None
        }
        (ScopeKind::Global, _) => None,
    };
    if kill.flags & flag::VICTIM_READ == 0 {
        unknown.push("the victim's cgroups: the hook does not give the task".to_owned());
    }
    if kill.flags & flag::CHAIN_TRUNCATED != 0 {
        unknown.push(format!("cgroups more than {} levels above the victim", oom::LEVELS));
    }
    let path_of = |id: u64| {
        let own =
            levels.iter().find(|level| level.cgroup_id == Some(id)).and_then(|level| level.path.clone());
        own.or_else(|| (context.path_of)(id))
    };
    let time = clock::at(context.now.0, context.now.1, kill.header.ktime);
    let victim = task_facts(&kill.victim, context.now, &path_of);
    let is_victim = kill.victim.tgid != 0 && kill.victim.tgid == kill.trigger.tgid
        || kill.victim.tgid == 0 && kill.victim.tid == kill.trigger.tid;
    OomRecord {
        schema: SCHEMA,
        id: id(time, kill.victim.tid, context.boot_id),
        time,
        boot_id: context.boot_id.to_owned(),
        ktime_ns: kill.header.ktime,
        cgroup_version: context.cgroup_version,
        scope,
        limit_owner,
        victim: Victim { task: victim, memory: memory(kill, context.page_size) },
        trigger: Trigger { task: task_facts(&kill.trigger, context.now, &path_of), is_victim },
        kernel_stack,
        user_stack: frames(&kill.user_stack, kill.user_stack_len, |addresses| vec![None; addresses.len()]),
        chain: levels,
        evidence: Evidence {
            hook: context.hook.to_owned(),
            kill_signal_seen: kill.flags & flag::SIGNALLED != 0,
            losses: context.losses.clone(),
            unknown,
        },
        circumstances: Circumstances::default(),
    }
}

/// `20261122T190501Z-4242-5f3a`: sorts by time, and can be read aloud.
pub fn id(time: Timestamp, tid: u32, boot_id: &str) -> String {
    let boot: String = boot_id.chars().filter(char::is_ascii_alphanumeric).take(4).collect();
    let time = time.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ").to_string();
    format!("{time}-{tid}-{boot}")
}

fn known(value: u64) -> Option<u64> {
    (value != UNKNOWN).then_some(value)
}

fn pages(value: u64, page_size: u64) -> Option<Bytes> {
    known(value).map(|pages| Bytes(pages.saturating_mul(page_size)))
}

fn memory(kill: &OomKill, page_size: u64) -> AddressSpaceUse {
    // The classic tracepoint counts in kB.
    let unit = if kill.flags & flag::CLASSIC == 0 { page_size } else { 1024 };
    let oom::MmUse { file, anon, swap, shmem, pgtables_bytes, total_vm } = kill.mm;
    AddressSpaceUse {
        anon_bytes: pages(anon, unit),
        file_bytes: pages(file, unit),
        shmem_bytes: pages(shmem, unit),
        swap_bytes: pages(swap, page_size),
        page_table_bytes: known(pgtables_bytes).map(Bytes),
        virtual_bytes: pages(total_vm, unit),
    }
}

fn levels(kill: &OomKill, chain: &[oom::MemcgLevel], page_size: u64) -> Vec<MemcgLevel> {
    let names: Vec<&[u8]> =
        chain.iter().map(|level| level.name.get(..level.name_len as usize).unwrap_or_default()).collect();
    let is_whole = kill.flags & flag::CHAIN_TRUNCATED == 0;
    chain
        .iter()
        .enumerate()
        .map(|(index, level)| {
            let has_limit = owner::has_limit(level);
            // An empty name could not be read, except for the root's.
            let rest = names.get(index..).unwrap_or_default();
            let is_named =
                rest.split_last().is_some_and(|(_, below)| below.iter().all(|name| !name.is_empty()));
            MemcgLevel {
                path: (is_whole && is_named).then(|| hierarchy::join(rest)),
                cgroup_id: known(level.id),
                usage_bytes: pages(level.usage, page_size),
                limit_bytes: has_limit.then(|| pages(level.max, page_size)).flatten(),
                unlimited: level.max != UNKNOWN && !has_limit,
                peak_bytes: pages(level.peak, page_size),
                fail_count: known(level.fail_count),
                limit_hits: known(level.limit_hits),
                swap_usage_bytes: pages(level.swap_usage, page_size),
                swap_limit_bytes: pages(level.swap_max, page_size)
                    .filter(|_| level.swap_max < i64::MAX as u64 / (64 << 10)),
                oom_events: known(level.oom_local),
                oom_kills: known(level.oom_kill_local),
                oom_group: level.flags & oom::level_flag::OOM_GROUP != 0,
            }
        })
        .collect()
}

/// The facts about a task; `now` is the wall clock, and boot time at the same instant.
pub fn task_facts(task: &Task, now: (Timestamp, u64), path_of: &dyn Fn(u64) -> Option<String>) -> TaskFacts {
    let memcg = known(task.memcg);
    TaskFacts {
        pid: (task.tgid != 0).then_some(task.tgid),
        tid: task.tid,
        comm: comm(&task.comm),
        process_comm: Some(comm(&task.leader_comm)).filter(|comm| !comm.is_empty()),
        uid: (task.uid != u32::MAX).then_some(task.uid),
        oom_score_adj: (task.oom_score_adj != i32::MIN).then_some(task.oom_score_adj),
        started: known(task.start_boottime).map(|start| clock::at(now.0, now.1, start)),
        cgroup: memcg.and_then(path_of),
        cgroup_id: memcg,
    }
}

fn frames(addresses: &[u64], len: u32, names: impl Fn(&[u64]) -> Vec<Option<String>>) -> Vec<Frame> {
    let addresses = addresses.get(..len as usize).unwrap_or_default();
    if addresses.is_empty() {
        return Vec::new();
    }
    addresses
        .iter()
        .zip(names(addresses))
        .map(|(address, symbol)| Frame {
            address: format!("{address:#x}"),
            symbol: symbol.map(|name| escape(name.as_bytes())),
        })
        .collect()
}

#[cfg(test)]
#[path = "recorder_tests.rs"]
mod tests;
