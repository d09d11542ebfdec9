//! Are the offsets right? The OOM record that the programs make of the daemon itself, compared with /proc.
//!
//! Input: the record and what /proc says. Output: the fields that cannot be trusted. Pure.

use memtrace_common::{UNKNOWN, event::oom::OomKill};

use crate::text::until_nul;

/// What /proc and cgroupfs say of this process. `None` is not compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnFacts {
    /// Name of the thread that runs the check.
    pub comm: Option<Vec<u8>>,
    /// Real user id, when this user namespace is the initial one.
    pub uid: Option<u32>,
    /// `/proc/self/oom_score_adj`.
    pub oom_score_adj: Option<i32>,
    /// Start time in clock ticks since boot, and ticks a second.
    pub start_ticks: Option<(u64, u64)>,
    /// Resident anonymous, file and shared pages.
    pub rss_pages: Option<[u64; 3]>,
    /// By how many pages a resident count may be off: the per-CPU batches.
    pub rss_tolerance_pages: u64,
    /// Mapped pages.
    pub total_vm_pages: Option<u64>,
    /// Bytes of page tables.
    pub pgtables_bytes: Option<u64>,
    /// Inode of the directory of its memory cgroup.
    pub cgroup_id: Option<u64>,
    /// Name of that directory.
    pub cgroup_name: Option<Vec<u8>>,
    /// Limit of that cgroup in pages; `None` when it has none.
    pub limit_pages: Option<u64>,
}

/// A comparison that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The structure fields that it depends on, as `structure.member`.
    pub fields: &'static [&'static str],
    /// Both sides, in words.
    pub what: String,
}

/// Compares; returns how many facts agreed and those that did not.
pub fn compare(record: &OomKill, own: &OwnFacts) -> (usize, Vec<Mismatch>) {
    let mut agreed = 0;
    let mut mismatches = Vec::new();
    let mut check = |fields: &'static [&'static str], name: &str, same: Option<bool>, ours: String| match same
    {
        None => {}
        Some(true) => agreed += 1,
        Some(false) => mismatches.push(Mismatch { fields, what: format!("{name}: {ours}") }),
    };
    let number = |value: u64| (value != UNKNOWN).then_some(value);
    let both = |a: Option<u64>, b: Option<u64>, tolerance: u64| Some(a?.abs_diff(b?) <= tolerance);
    let show = |a: Option<u64>, b: Option<u64>| format!("read {a:?}, /proc says {b:?}");

    let (victim, mm) = (&record.victim, &record.mm);
    // The header's ids come from a helper, not from an offset.
    check(
        &["task_struct.tgid", "task_struct.pid"],
        "pid and tid",
        Some((victim.tgid, victim.tid) == (record.header.tgid, record.header.tid)),
        format!(
            "read {}/{}, the helper says {}/{}",
            victim.tgid, victim.tid, record.header.tgid, record.header.tid
        ),
    );
    let comm = until_nul(&victim.comm);
    check(
        &["task_struct.comm"],
        "comm",
        own.comm.as_ref().map(|own| own.as_slice() == comm),
        format!("read {comm:?}, /proc says {:?}", own.comm),
    );
    check(
        &["cred.uid", "task_struct.real_cred"],
        "uid",
        own.uid.map(|uid| uid == victim.uid),
        format!("read {}, /proc says {:?}", victim.uid, own.uid),
    );
    check(
        &["signal_struct.oom_score_adj", "task_struct.signal"],
        "oom_score_adj",
        own.oom_score_adj.map(|adj| adj == victim.oom_score_adj),
        format!("read {}, /proc says {:?}", victim.oom_score_adj, own.oom_score_adj),
    );
    let ticks = own.start_ticks.and_then(|(_, per_second)| {
        let nanoseconds = number(victim.start_boottime)?;
        nanoseconds.checked_div(1_000_000_000_u64.checked_div(per_second)?)
    });
    let own_ticks = own.start_ticks.map(|(ticks, _)| ticks);
    check(&["task_struct.start_boottime"], "start time", both(ticks, own_ticks, 1), show(ticks, own_ticks));
    let [anon, file, shmem] = match own.rss_pages {
        Some(pages) => pages.map(Some),
        None => [None; 3],
    };
    for (name, read, own_pages) in
        [("anon", mm.anon, anon), ("file", mm.file, file), ("shmem", mm.shmem, shmem)]
    {
        let read = number(read);
        check(
            &["mm_struct.rss_stat"],
            name,
            both(read, own_pages, own.rss_tolerance_pages),
            show(read, own_pages),
        );
    }
    let (vm, tables) = (number(mm.total_vm), number(mm.pgtables_bytes));
    // Between the two readings this process may map a little.
    check(
        &["mm_struct.total_vm"],
        "mapped pages",
        both(vm, own.total_vm_pages, 4096),
        show(vm, own.total_vm_pages),
    );
    check(
        &["mm_struct.pgtables_bytes"],
        "page tables",
        both(tables, own.pgtables_bytes, 256 << 10),
        show(tables, own.pgtables_bytes),
    );
    let leaf = record.chain.first().filter(|_| record.chain_len > 0);
    let id = leaf.and_then(|leaf| number(leaf.id));
    check(
        &["kernfs_node.id", "cgroup.kn", "css_set.subsys", "task_struct.cgroups"],
        "cgroup id",
        both(id, own.cgroup_id, 0),
        show(id, own.cgroup_id),
    );
    let name = leaf.map(|leaf| leaf.name.get(..leaf.name_len as usize).unwrap_or_default());
    check(
        &["kernfs_node.name"],
        "cgroup name",
        name.zip(own.cgroup_name.as_deref()).map(|(read, own)| read == own),
        format!("read {name:?}, cgroupfs says {:?}", own.cgroup_name),
    );
    let limit = leaf.and_then(|leaf| number(leaf.max));
    check(
        &["mem_cgroup.memory.max"],
        "cgroup limit",
        both(limit, own.limit_pages, 0),
        show(limit, own.limit_pages),
    );
    (agreed, mismatches)
}

#[cfg(test)]
mod tests {
    use memtrace_common::event::oom::OomKill;
    use zerocopy::FromZeros;

    use super::{OwnFacts, compare};

    fn record() -> OomKill {
        let mut record = OomKill::new_zeroed();
        (record.header.tgid, record.header.tid) = (7, 8);
        (record.victim.tgid, record.victim.tid) = (7, 8);
        record.victim.comm[..4].copy_from_slice(b"main");
        record.victim.start_boottime = 12_340_000_000;
        (record.mm.anon, record.mm.file) = (1000, 500);
        record
    }

    fn own() -> OwnFacts {
        OwnFacts {
            comm: Some(b"main".to_vec()),
            start_ticks: Some((1234, 100)),
            rss_pages: Some([1010, 490, 0]),
            rss_tolerance_pages: 64,
            ..OwnFacts::default()
        }
    }

    #[test]
    fn what_agrees_within_the_counters_batches_is_right() {
        assert_eq!(compare(&record(), &own()), (6, vec![]));
    }

    #[test]
    fn a_wrong_offset_is_named() {
        let mut wrong = record();
        wrong.mm.anon = 0xffff_8880_0000;
        let (_, mismatches) = compare(&wrong, &own());
        assert_eq!(mismatches.len(), 1);
        assert_eq!(mismatches[0].fields, ["mm_struct.rss_stat"]);
    }

    #[test]
    fn swapped_ids_are_found_without_proc() {
        let mut wrong = record();
        (wrong.victim.tgid, wrong.victim.tid) = (8, 7);
        assert_eq!(compare(&wrong, &OwnFacts::default()).1.len(), 1);
    }
}
