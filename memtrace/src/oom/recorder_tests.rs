//! Records made from kills: values that were read arrive, others are `None`, names are escaped.

use memtrace_common::event::oom::{MemcgLevel as RawLevel, level_flag};
use proptest::prelude::*;
use zerocopy::{FromBytes, FromZeros};

use super::*;
use crate::units::Grade;

struct Names(&'static [&'static str]);

impl KernelSymbols for Names {
    fn names(&self, addresses: &[u64]) -> Vec<Option<String>> {
        addresses.iter().enumerate().map(|(i, _)| self.0.get(i).map(|name| (*name).to_owned())).collect()
    }
}

const MEMCG_STACK: Names = Names(&["mark_oom_victim", "out_of_memory", "mem_cgroup_out_of_memory"]);
const GLOBAL_STACK: Names = Names(&["mark_oom_victim", "out_of_memory", "__alloc_pages_slowpath"]);

fn context(symbols: &Names) -> Context<'_> {
    Context {
        now: ("2026-01-02T03:04:05Z".parse().unwrap(), 100_000_000_000),
        boot_id: "5f3ab2c1-0000",
        cgroup_version: Some(2),
        page_size: 4096,
        hook: "tp_btf:mark_victim",
        watches_signals: true,
        losses: Vec::new(),
        symbols,
        path_of: &|id| (id == 99).then(|| "/elsewhere".to_owned()),
    }
}

fn level(id: u64, name: &str, usage: u64, max: u64, oom_local: u64) -> RawLevel {
    let mut level = RawLevel { id, usage, max, oom_local, ..RawLevel::new_zeroed() };
    level.name[..name.len()].copy_from_slice(name.as_bytes());
    level.name_len = name.len() as u32;
    level
}

/// The large process in /a/b/c is killed when the small one in /a/b/d allocates at the limit of /a/b.
fn kill() -> OomKill {
    let mut kill = OomKill::new_zeroed();
    kill.header.ktime = 99_000_000_000;
    kill.flags = flag::SIGNALLED | flag::VICTIM_READ;
    (kill.victim.tgid, kill.victim.tid, kill.victim.memcg) = (249, 249, 375);
    kill.victim.comm[..4].copy_from_slice(b"bigB");
    (kill.trigger.tgid, kill.trigger.tid, kill.trigger.memcg) = (251, 251, 99);
    kill.trigger.uid = u32::MAX;
    (kill.mm.anon, kill.mm.file, kill.mm.shmem, kill.mm.swap) = (12303, 0, 162, UNKNOWN);
    kill.chain[0] = level(375, "c", 12313, i64::MAX as u64 / 4096, 0);
    kill.chain[1] = level(357, "b", 16384, 16384, 1);
    kill.chain[2] = level(317, "a", 16387, i64::MAX as u64 / 4096, 0);
    kill.chain[3] = level(1, "", 0, UNKNOWN, 0);
    kill.chain_len = 4;
    kill.kernel_stack_len = 3;
    kill
}

#[test]
fn victim_trigger_and_owner_are_kept_apart() {
    let record = record(&kill(), &context(&MEMCG_STACK), &mut Baselines::default());
    assert_eq!(record.scope.kind, ScopeKind::Memcg);
    let owner = record.limit_owner.unwrap();
    assert_eq!(owner.path.as_deref(), Some("/a/b"));
    assert_eq!((owner.limit_bytes, owner.grade), (Some(Bytes(64 << 20)), Grade::Read));
    assert_eq!(record.victim.task.cgroup.as_deref(), Some("/a/b/c"));
    assert_eq!(record.trigger.task.cgroup.as_deref(), Some("/elsewhere"));
    assert!(!record.trigger.is_victim);
    assert_eq!(record.time, "2026-01-02T03:04:04Z".parse().unwrap());
    assert_eq!(record.id, "20260102T030404Z-249-5f3a");
    assert_eq!(record.victim.memory.anon_bytes, Some(Bytes(12303 * 4096)));
    assert!(record.evidence.unknown.is_empty());
}

#[test]
fn what_was_not_read_is_none() {
    let record = record(&kill(), &context(&MEMCG_STACK), &mut Baselines::default());
    assert_eq!(record.victim.memory.swap_bytes, None);
    assert_eq!(record.trigger.task.uid, None);
    let root = record.chain.last().unwrap();
    assert_eq!((root.limit_bytes, root.unlimited), (None, false));
    assert!(record.chain[0].unlimited);
}

/// Measured on 7.3: it counts limit hits, but no longer failed charges.
#[test]
fn an_uncounted_figure_is_none_and_not_zero() {
    let mut kill = kill();
    (kill.chain[1].fail_count, kill.chain[1].limit_hits) = (UNKNOWN, 71);
    let owner = record(&kill, &context(&MEMCG_STACK), &mut Baselines::default()).limit_owner.unwrap();
    assert_eq!((owner.fail_count, owner.limit_hits), (None, Some(71)));
}

#[test]
fn a_node_wide_kill_has_no_limit_owner() {
    let record = record(&kill(), &context(&GLOBAL_STACK), &mut Baselines::default());
    assert_eq!(record.scope.kind, ScopeKind::Global);
    assert_eq!(record.limit_owner, None);
}

#[test]
fn a_name_that_was_not_read_leaves_the_path_unknown() {
    let mut kill = kill();
    kill.chain[1].name_len = 0;
    let record = record(&kill, &context(&MEMCG_STACK), &mut Baselines::default());
    assert_eq!(record.chain[0].path, None);
    assert_eq!(record.chain[2].path.as_deref(), Some("/a"));
    assert_eq!(record.chain[3].path.as_deref(), Some("/"));
}

#[test]
fn the_next_kill_is_judged_by_what_grew_since() {
    let mut baselines = Baselines::default();
    let mut next = kill();
    record(&next, &context(&MEMCG_STACK), &mut baselines);
    next.chain[0].max = 12313;
    next.chain[0].oom_local = 1;
    next.chain[0].flags = level_flag::OOM_LOCK;
    let record = record(&next, &context(&MEMCG_STACK), &mut baselines);
    assert_eq!(record.limit_owner.unwrap().path.as_deref(), Some("/a/b/c"));
}

#[test]
fn a_mark_without_a_kill_signal_is_no_kill() {
    let mut mark = kill();
    assert!(is_kill(&mark, true));
    mark.flags = flag::VICTIM_READ;
    assert!(!is_kill(&mark, true));
    assert!(is_kill(&mark, false), "without the signal hook a mark is all there is");
    mark.flags = 0;
    assert!(is_kill(&mark, true), "a victim that could not be read says nothing about its signal");
}

#[test]
fn the_classic_tracepoint_counts_in_kib() {
    let mut classic = kill();
    classic.flags = flag::CLASSIC;
    (classic.victim.tgid, classic.chain_len) = (0, 0);
    let record = record(&classic, &context(&MEMCG_STACK), &mut Baselines::default());
    assert_eq!(record.victim.memory.anon_bytes, Some(Bytes(12303 * 1024)));
    assert_eq!(record.victim.task.pid, None);
    assert_eq!(record.limit_owner, None);
    assert_eq!(record.evidence.unknown.len(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any decodable bytes make a record that survives a JSON round trip.
    #[test]
    fn any_kill_makes_a_record(bytes in prop::collection::vec(any::<u8>(), size_of::<OomKill>())) {
        let mut kill = OomKill::read_from_bytes(&bytes).unwrap();
        kill.chain_len %= oom::LEVELS as u32 + 1;
        for level in &mut kill.chain {
            level.name_len %= oom::NAME_LEN as u32 + 1;
        }
        (kill.kernel_stack_len, kill.user_stack_len) = (kill.kernel_stack_len % 33, kill.user_stack_len % 33);
        let record = record(&kill, &context(&MEMCG_STACK), &mut Baselines::default());
        let json = serde_json::to_string(&record).unwrap();
        prop_assert!(!json.chars().any(char::is_control));
        prop_assert_eq!(serde_json::from_str::<OomRecord>(&json).unwrap(), record);
    }
}
