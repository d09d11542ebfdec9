//! The constants of the kernel programs for this kernel, looked up by name.
//!
//! Input: [`KernelTypes`]. Output: the `Config` for the object and the names that were not found. Never compares
//! versions: two kernels of one version differ (a 6.18 has `task_struct.mm` at 1136, another at 2576).

use memtrace_common::config::{ABSENT, Config, victim_form};

use super::btf::{Argument, KernelTypes};

/// The constants, and the names that are missing.
#[derive(Clone, Debug)]
pub struct Layout {
    /// For the kernel programs.
    pub config: Config,
    /// `structure.member` or enumerators that this kernel does not have.
    pub missing: Vec<String>,
}

/// Members whose absence is normal on some kernels, so `doctor` does not list them as lost.
const OPTIONAL: &[&str] = &["mem_cgroup.oom_lock", "mem_cgroup.memory.track_failcnt"];

/// A kernel entry function that exists if the kernel was built with FRED support.
const FRED: &str = "fred_entry_from_user";
/// Bytes that such a kernel keeps free at the top of a stack, on any processor (arch/x86/include/asm/thread_info.h
/// `TOP_OF_KERNEL_STACK_PADDING`).
const FRED_PADDING: u32 = 16;

/// Looks up all fields.
pub fn look_up(types: &KernelTypes) -> Layout {
    let mut config = Config::UNKNOWN;
    let mut missing = Vec::new();
    for (structure, member, offset) in config.offsets.fields() {
        match types.offset(structure, member) {
            Some(found) => *offset = found,
            None => missing.push(format!("{structure}.{member}")),
        }
    }
    // Before 6.2 `mm_struct.rss_stat` is `struct mm_rss_stat`, an array of longs (f1a7941243c1).
    let (stride, count) = match (types.size("mm_rss_stat"), types.size("percpu_counter")) {
        (Some(_), _) => (Some(size_of::<u64>() as u32), Some(0)),
        (None, Some(size)) => (Some(size), types.offset("percpu_counter", "count")),
        (None, None) => (None, None),
    };
    let mut set = |field: &mut u32, name: &str, found: Option<u32>| match found {
        Some(value) => *field = value,
        None => {
            *field = ABSENT;
            missing.push(name.to_owned());
        }
    };
    set(&mut config.rss_stride, "percpu_counter", stride);
    set(&mut config.rss_count, "percpu_counter.count", count);
    for (field, enumeration, name) in [
        (&mut config.memory_subsys, "cgroup_subsys_id", "memory_cgrp_id"),
        (&mut config.memcg_event_max, "memcg_memory_event", "MEMCG_MAX"),
        (&mut config.memcg_event_oom, "memcg_memory_event", "MEMCG_OOM"),
        (&mut config.memcg_event_oom_kill, "memcg_memory_event", "MEMCG_OOM_KILL"),
    ] {
        set(field, &format!("{enumeration}.{name}"), types.enumerator(enumeration, name));
    }
    if types.has_function(FRED) {
        config.kernel_stack_bytes -= FRED_PADDING;
    }
    if let Some(arguments) = types.tracepoint("mark_victim") {
        config.victim_form = match arguments.first() {
            Some(Argument::Pointer) => victim_form::TASK,
            _ => victim_form::PID,
        };
    }
    missing.retain(|name| !OPTIONAL.contains(&name.as_str()));
    Layout { config, missing }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use memtrace_common::config::ABSENT;

    use super::{KernelTypes, look_up};

    /// All kernels that the tests run on have it; if one has not, the test must fail, not skip.
    const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

    /// The running kernel has all fields that memtrace reads, so a misspelt name is detected.
    #[test]
    fn the_running_kernel_has_every_field() {
        let layout = look_up(&KernelTypes::open(Path::new(VMLINUX)).unwrap());
        assert_eq!(layout.missing, Vec::<String>::new());
        assert_ne!(layout.config.offsets.task_tgid, ABSENT);
        assert_eq!(
            layout.config.offsets.task_tgid,
            layout.config.offsets.task_pid + 4,
            "pid and tgid stand side by side in every kernel known"
        );
    }

    #[test]
    fn names_that_do_not_exist_are_absent() {
        let types = KernelTypes::open(Path::new(VMLINUX)).unwrap();
        assert_eq!(types.offset("task_struct", "no_such_member"), None);
        assert_eq!(types.offset("no_such_struct", "pid"), None);
        assert_eq!(types.enumerator("cgroup_subsys_id", "no_such_id"), None);
        assert_eq!(types.tracepoint("no_such_tracepoint"), None);
        assert_eq!(types.offset("task_struct", "signal.rlim"), None, "a pointer is no nested structure");
    }
}
