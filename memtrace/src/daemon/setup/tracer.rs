//! Starts the tracer: probes the kernel, checks the offsets against /proc values of this process, attaches.
//!
//! Input: options. Output: [`Probes`]. The one place where `probe` meets /proc and cgroupfs.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use crate::{
    cgroup::{hierarchy::Hierarchy, memcg},
    mm::procfs::Procfs,
    probe::{
        attach::{AttachError, Probes, attach},
        options::Options,
        pid_namespace::OwnIds,
        self_check::OwnFacts,
        support::{self, KernelSupport},
    },
};

/// Finds out what the kernel supports. `tracefs` comes from `tracefs::ensure`, called before there were threads.
pub fn probe(options: &Options, tracefs: Result<PathBuf, String>) -> KernelSupport {
    support::probe(&options.without, tracefs)
}

/// Attaches the available hooks.
///
/// # Errors
/// When the process may not trace, or OOM kills cannot be watched.
pub fn start(
    support: &KernelSupport,
    options: &Options,
    procfs: &Procfs,
    hierarchy: Option<&Hierarchy>,
) -> Result<Probes, AttachError> {
    attach(support, options, &own_facts(procfs, hierarchy))
}

/// This process's values in /proc and cgroupfs; missing values are not compared.
fn own_facts(procfs: &Procfs, hierarchy: Option<&Hierarchy>) -> OwnFacts {
    let pid = std::process::id();
    let page = rustix::param::page_size() as u64;
    let status = procfs.status(pid).ok();
    let cgroup = procfs
        .cgroup(pid)
        .ok()
        .zip(hierarchy)
        .and_then(|(lines, hierarchy)| Some((hierarchy, hierarchy.absolute(hierarchy.path_of(&lines)?))));
    let cpus = support_cpus();
    OwnFacts {
        ids: own_ids(procfs.root()),
        comm: fs::read(procfs.root().join("thread-self/comm"))
            .ok()
            .map(|comm| comm.trim_ascii_end().to_vec()),
        uid: status.as_ref().and_then(|status| status.uid).filter(|_| is_initial_user_namespace(procfs)),
        oom_score_adj: fs::read_to_string(procfs.root().join("self/oom_score_adj"))
            .ok()
            .and_then(|text| text.trim().parse().ok()),
        start_ticks: procfs
            .stat(pid)
            .ok()
            .map(|stat| (stat.start_ticks, rustix::param::clock_ticks_per_second())),
        rss_pages: status.as_ref().and_then(|status| {
            let pages = |kib: u64| kib * 1024 / page;
            Some([pages(status.rss_anon_kib?), pages(status.rss_file_kib?), pages(status.rss_shmem_kib?)])
        }),
        // percpu_counter_batch is max(32, 2 * cpus) for each CPU (lib/percpu_counter.c), and this process maps and
        // touches its own object between the two readings.
        rss_tolerance_pages: cpus * 32_u64.max(2 * cpus) + 4096,
        total_vm_pages: status.as_ref().and_then(|status| Some(status.size_kib? * 1024 / page)),
        pgtables_bytes: status.as_ref().and_then(|status| Some(status.page_tables_kib? * 1024)),
        cgroup_id: cgroup.as_ref().and_then(|(hierarchy, path)| hierarchy.id(path)),
        cgroup_name: cgroup
            .as_ref()
            .filter(|(hierarchy, path)| hierarchy.id(path).is_some())
            .and_then(|(_, path)| path.rsplit(|byte| *byte == b'/').next().map(<[u8]>::to_vec))
            .filter(|name| !name.is_empty()),
        limit_pages: cgroup
            .as_ref()
            .and_then(|(hierarchy, path)| memcg::own_limit(hierarchy, path))
            .map(|limit| limit.0 / page),
    }
}

/// The ids of this process in /proc, and its pid namespace.
fn own_ids(proc: &Path) -> OwnIds {
    let own = proc.join("self");
    let status = fs::read_to_string(own.join("status")).unwrap_or_default();
    let levels = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    OwnIds {
        own: std::process::id(),
        in_proc: fs::read_link(&own).ok().and_then(|target| target.to_str()?.parse().ok()),
        levels: levels.split_whitespace().filter_map(|id| id.parse().ok()).collect(),
        namespace: fs::metadata(own.join("ns/pid")).ok().map(|namespace| namespace.ino()),
    }
}

fn support_cpus() -> u64 {
    aya::util::nr_cpus().map_or(1, |cpus| cpus as u64)
}

/// Whether uids are those of the kernel: in another user namespace they differ. `0 0 4294967295` is the initial one's
/// map.
fn is_initial_user_namespace(procfs: &Procfs) -> bool {
    fs::read_to_string(procfs.root().join("self/uid_map"))
        .is_ok_and(|map| map.split_whitespace().eq(["0", "0", "4294967295"]))
}
