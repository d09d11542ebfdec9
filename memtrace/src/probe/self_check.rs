//! Checks the offsets: compares an OOM record that the programs make of the daemon itself with /proc.
//!
//! Input: the record and values from /proc. Output: the fields that cannot be trusted. Pure.

use memtrace_common::{UNKNOWN, event::oom::OomKill};

use super::pid_namespace::OwnIds;
use crate::text::until_nul;

/// This process's values in /proc and cgroupfs. `None` is not compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnFacts {
    /// Its process ids.
    pub ids: OwnIds,
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
    /// Allowed difference of a resident count in pages, because of per-CPU batches.
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
    /// The kernel fields that the value depends on, as `structure.member`.
    pub fields: &'static [&'static str],
    /// Both values, in words.
    pub what: String,
}

/// Compares; returns how many values agreed and those that did not.
pub fn compare(record: &OomKill, own: &OwnFacts) -> (usize, Vec<Mismatch>) {
    let mut checks = Checks::default();
    checks.task(record, own);
    checks.memory(record, own);
    checks.cgroup(record, own);
    (checks.agreed, checks.mismatches)
}

/// The comparisons so far.
#[derive(Default)]
struct Checks {
    agreed: usize,
    mismatches: Vec<Mismatch>,
}

impl Checks {
    /// Records a comparison that depends on these fields; `same` is `None` when one side is unknown.
    fn check(&mut self, fields: &'static [&'static str], name: &str, same: Option<bool>, ours: String) {
        match same {
            None => {}
            Some(true) => self.agreed += 1,
            Some(false) => self.mismatches.push(Mismatch { fields, what: format!("{name}: {ours}") }),
        }
    }

    /// Compares numbers with a tolerance.
    fn near(
        &mut self,
        fields: &'static [&'static str],
        name: &str,
        (read, own): (Option<u64>, Option<u64>),
        tolerance: u64,
    ) {
        let same = read.zip(own).map(|(read, own)| read.abs_diff(own) <= tolerance);
        self.check(fields, name, same, format!("read {read:?}, /proc says {own:?}"));
    }

    fn task(&mut self, record: &OomKill, own: &OwnFacts) {
        let victim = &record.victim;
        // The header's ids come from a helper, not from an offset.
        self.check(
            &["task_struct.tgid", "task_struct.pid"],
            "pid and tid",
            Some((victim.tgid, victim.tid) == (record.header.tgid, record.header.tid)),
            format!(
                "read {}/{}, the helper says {}/{}",
                victim.tgid, victim.tid, record.header.tgid, record.header.tid
            ),
        );
        let comm = until_nul(&victim.comm);
        self.check(
            &["task_struct.comm"],
            "comm",
            own.comm.as_ref().map(|own| own.as_slice() == comm),
            format!("read {comm:?}, /proc says {:?}", own.comm),
        );
        self.check(
            &["cred.uid", "task_struct.real_cred"],
            "uid",
            own.uid.map(|uid| uid == victim.uid),
            format!("read {}, /proc says {:?}", victim.uid, own.uid),
        );
        self.check(
            &["signal_struct.oom_score_adj", "task_struct.signal"],
            "oom_score_adj",
            own.oom_score_adj.map(|adj| adj == victim.oom_score_adj),
            format!("read {}, /proc says {:?}", victim.oom_score_adj, own.oom_score_adj),
        );
        let ticks = own.start_ticks.and_then(|(_, per_second)| {
            let nanoseconds = known(victim.start_boottime)?;
            nanoseconds.checked_div(1_000_000_000_u64.checked_div(per_second)?)
        });
        let own_ticks = own.start_ticks.map(|(ticks, _)| ticks);
        self.near(&["task_struct.start_boottime"], "start time", (ticks, own_ticks), 1);
    }

    fn memory(&mut self, record: &OomKill, own: &OwnFacts) {
        let mm = &record.mm;
        let [anon, file, shmem] = own.rss_pages.map_or([None; 3], |pages| pages.map(Some));
        for (name, read, pages) in
            [("anon", mm.anon, anon), ("file", mm.file, file), ("shmem", mm.shmem, shmem)]
        {
            self.near(&["mm_struct.rss_stat"], name, (known(read), pages), own.rss_tolerance_pages);
        }
        // This process may map some memory between the two readings.
        let mapped = (known(mm.total_vm), own.total_vm_pages);
        self.near(&["mm_struct.total_vm"], "mapped pages", mapped, 4096);
        let tables = (known(mm.pgtables_bytes), own.pgtables_bytes);
        self.near(&["mm_struct.pgtables_bytes"], "page tables", tables, 256 << 10);
    }

    fn cgroup(&mut self, record: &OomKill, own: &OwnFacts) {
        let leaf = record.chain.first().filter(|_| record.chain_len > 0);
        let id = (leaf.and_then(|leaf| known(leaf.id)), own.cgroup_id);
        let fields = &["kernfs_node.id", "cgroup.kn", "css_set.subsys", "task_struct.cgroups"];
        self.near(fields, "cgroup id", id, 0);
        let name = leaf.map(|leaf| leaf.name.get(..leaf.name_len as usize).unwrap_or_default());
        self.check(
            &["kernfs_node.name"],
            "cgroup name",
            name.zip(own.cgroup_name.as_deref()).map(|(read, own)| read == own),
            format!("read {name:?}, cgroupfs says {:?}", own.cgroup_name),
        );
        let limit = (leaf.and_then(|leaf| known(leaf.max)), own.limit_pages);
        self.near(&["mem_cgroup.memory.max"], "cgroup limit", limit, 0);
    }
}

/// A number, `None` if the kernel program could not read it.
fn known(value: u64) -> Option<u64> {
    (value != UNKNOWN).then_some(value)
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
