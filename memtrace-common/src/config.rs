//! What the daemon tells the kernel programs before they are loaded.
//!
//! The daemon finds these facts in the running kernel's BTF by name and writes them into the object's read-only
//! data, so the verifier sees constants and drops the branches that this kernel does not need.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A period of the event budget is 2^30 ns, a little more than a second.
pub const BUDGET_PERIOD_SHIFT: u32 = 30;

/// A window of the fault sampling is 2^24 ns, some 17 ms.
pub const FAULT_WINDOW_SHIFT: u32 = 24;

/// Sampled faults that one CPU sends in a window before its sampling rate is halved. This limits the stream to about
/// 1,000 samples a second per CPU; each sample carries the number of faults it stands for.
pub const FAULT_WINDOW_MOST: u32 = 16;

/// The largest shift of that rate: one of 2^12 samples is sent.
pub const FAULT_THINNING_MOST: u32 = 12;

/// An offset that this kernel does not have.
pub const ABSENT: u32 = u32::MAX;

/// The type of `mark_victim`'s first argument. It changed inside stable series (commit 72ba14deb40a and its backports),
/// so it is read from BTF and never guessed from a version.
pub mod victim_form {
    /// `(int pid)`.
    pub const PID: u32 = 0;
    /// `(struct task_struct *, uid_t)`.
    pub const TASK: u32 = 1;
}

/// Where a program at a system call's exit finds the call's saved registers.
pub mod regs_form {
    /// The helper `bpf_task_pt_regs` (5.15) returns them.
    pub const HELPER: u32 = 0;
    /// They are at the top of the task's kernel stack.
    pub const STACK_TOP: u32 = 1;
}

macro_rules! offsets {
    ($($(#[$doc:meta])* $field:ident = $structure:literal . $member:literal;)*) => {
        /// Byte offsets of kernel structure fields, or [`ABSENT`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
        #[repr(C)]
        pub struct Offsets { $($(#[$doc])* pub $field: u32,)* }

        impl Offsets {
            /// No field known.
            pub const UNKNOWN: Self = Self { $($field: ABSENT,)* };

            /// Each field to look up: the structure, the path of members, and the place of the result. A member path
            /// may name alternatives (`a|b`); the first that exists wins.
            pub fn fields(&mut self) -> impl Iterator<Item = (&'static str, &'static str, &mut u32)> {
                [$(($structure, $member, &mut self.$field),)*].into_iter()
            }
        }
    };
}

offsets! {
    /// Thread id in the initial pid namespace.
    task_pid = "task_struct"."pid";
    /// Process id in the initial pid namespace.
    task_tgid = "task_struct"."tgid";
    /// Name of the thread.
    task_comm = "task_struct"."comm";
    /// The thread group's leader.
    task_group_leader = "task_struct"."group_leader";
    /// The process that waits for this one: its parent.
    task_real_parent = "task_struct"."real_parent";
    /// Start time since boot, in ns: `/proc/PID/stat` field 22 in finer units.
    task_start_boottime = "task_struct"."start_boottime";
    /// Exit code as `wait` sees it.
    task_exit_code = "task_struct"."exit_code";
    /// Address space.
    task_mm = "task_struct"."mm";
    /// Process-wide state.
    task_signal = "task_struct"."signal";
    /// Objective credentials.
    task_real_cred = "task_struct"."real_cred";
    /// Cgroup membership.
    task_cgroups = "task_struct"."cgroups";
    /// Bottom of the kernel stack.
    task_stack = "task_struct"."stack";
    /// User id.
    cred_uid = "cred"."uid";
    /// OOM score adjustment.
    signal_oom_score_adj = "signal_struct"."oom_score_adj";
    /// Threads that are alive.
    signal_live = "signal_struct"."live";
    /// Threads that are not reaped yet.
    signal_nr_threads = "signal_struct"."nr_threads";
    /// High-water mark of RSS in pages, set before the address space is dropped.
    signal_maxrss = "signal_struct"."maxrss";
    /// Exit code of the group, once it is dying.
    signal_group_exit_code = "signal_struct"."group_exit_code";
    /// RSS counters: an array of `percpu_counter` since 6.2, of atomic counts before.
    mm_rss_stat = "mm_struct"."rss_stat";
    /// Bytes of page tables.
    mm_pgtables_bytes = "mm_struct"."pgtables_bytes";
    /// Pages mapped.
    mm_total_vm = "mm_struct"."total_vm";
    /// Per-subsystem states of a task.
    css_set_subsys = "css_set"."subsys";
    /// The cgroup of a subsystem state.
    css_cgroup = "cgroup_subsys_state"."cgroup";
    /// The state one level up.
    css_parent = "cgroup_subsys_state"."parent";
    /// A cgroup's directory node.
    cgroup_kn = "cgroup"."kn";
    /// A cgroup's hierarchy.
    cgroup_root = "cgroup"."root";
    /// The hierarchy's id in `/proc/PID/cgroup`.
    cgroup_root_hierarchy = "cgroup_root"."hierarchy_id";
    /// A directory's id: the inode number in cgroupfs, and the cgroup id.
    kernfs_id = "kernfs_node"."id";
    /// A directory's name.
    kernfs_name = "kernfs_node"."name";
    /// Pages charged.
    memcg_usage = "mem_cgroup"."memory.usage";
    /// Limit in pages.
    memcg_max = "mem_cgroup"."memory.max";
    /// Highest usage in pages.
    memcg_watermark = "mem_cgroup"."memory.watermark";
    /// How often a charge failed at the limit.
    memcg_failcnt = "mem_cgroup"."memory.failcnt";
    /// Whether `failcnt` is counted: only on v1 since 6.16, always before.
    memcg_track_failcnt = "mem_cgroup"."memory.track_failcnt";
    /// Pages of swap (v2), or of memory and swap (v1).
    memcg_swap_usage = "mem_cgroup"."swap.usage";
    /// Limit of `swap.usage`, in pages.
    memcg_swap_max = "mem_cgroup"."swap.max";
    /// The group's own events, one `atomic_long_t` each.
    memcg_events_local = "mem_cgroup"."memory_events_local";
    /// True during an OOM kill, on the group at its limit and on its descendants (since 6.12 only with v1 support).
    memcg_oom_lock = "mem_cgroup"."oom_lock";
    /// Whether an OOM kill ends every process of the group (`memory.oom.group`).
    memcg_oom_group = "mem_cgroup"."oom_group";
    /// The memory cgroup that ran out, null for the node.
    oc_memcg = "oom_control"."memcg";
    /// Allocation flags.
    oc_gfp_mask = "oom_control"."gfp_mask";
    /// log2 of the number of pages requested.
    oc_order = "oom_control"."order";
    /// `enum oom_constraint`.
    oc_constraint = "oom_control"."constraint";
}

/// Fields of the classic tracepoint `oom:mark_victim`, for kernels without BTF; offsets from its `format` file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ClassicVictim {
    /// `int pid`, the only field of the older format.
    pub pid: u32,
    /// `__data_loc char[] comm`.
    pub comm: u32,
    /// `unsigned long total_vm`, in kB.
    pub total_vm: u32,
    /// `unsigned long anon_rss`, in kB.
    pub anon_rss: u32,
    /// `unsigned long file_rss`, in kB.
    pub file_rss: u32,
    /// `unsigned long shmem_rss`, in kB.
    pub shmem_rss: u32,
    /// `uid_t uid`.
    pub uid: u32,
    /// `unsigned long pgtables`, in kB.
    pub pgtables: u32,
    /// `short oom_score_adj`.
    pub oom_score_adj: u32,
}

impl ClassicVictim {
    /// No field known.
    pub const UNKNOWN: Self = Self {
        pid: ABSENT,
        comm: ABSENT,
        total_vm: ABSENT,
        anon_rss: ABSENT,
        file_rss: ABSENT,
        shmem_rss: ABSENT,
        uid: ABSENT,
        pgtables: ABSENT,
        oom_score_adj: ABSENT,
    };
}

/// All constants of the kernel programs: the read-only global `CONFIG`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Config {
    /// Offsets of kernel structure fields.
    pub offsets: Offsets,
    /// Offsets of the classic tracepoint's fields.
    pub classic_victim: ClassicVictim,
    /// See [`victim_form`].
    pub victim_form: u32,
    /// See [`regs_form`].
    pub regs_form: u32,
    /// Bytes of a kernel stack up to the end of the saved registers, for [`regs_form::STACK_TOP`].
    pub kernel_stack_bytes: u32,
    /// Bytes from one RSS counter to the next (`sizeof(struct percpu_counter)`, before 6.2 `sizeof(long)`).
    pub rss_stride: u32,
    /// Offset of the count inside one RSS counter.
    pub rss_count: u32,
    /// `memory_cgrp_id` of `enum cgroup_subsys_id`: depends on the configured controllers.
    pub memory_subsys: u32,
    /// `MEMCG_MAX` of `enum memcg_memory_event`.
    pub memcg_event_max: u32,
    /// `MEMCG_OOM` of `enum memcg_memory_event`.
    pub memcg_event_oom: u32,
    /// `MEMCG_OOM_KILL` of `enum memcg_memory_event`.
    pub memcg_event_oom_kill: u32,
    /// Bytes of a page.
    pub page_size: u32,
    /// The tracer's own process, whose events are not streamed.
    pub own_tgid: u32,
    /// The most system calls of one process that are streamed in a period; 0 means all.
    pub event_budget: u32,
    /// Bytes of user stack copied for a sampled fault, a power of two; 0 copies none.
    pub stack_bytes: u32,
    /// The least time between two copies on one CPU, in ns.
    pub stack_interval: u32,
}

impl Config {
    /// The value in the object file, before the daemon writes what it found: nothing is known.
    pub const UNKNOWN: Self = Self {
        offsets: Offsets::UNKNOWN,
        classic_victim: ClassicVictim::UNKNOWN,
        victim_form: victim_form::PID,
        regs_form: regs_form::HELPER,
        kernel_stack_bytes: 16 << 10,
        rss_stride: ABSENT,
        rss_count: ABSENT,
        memory_subsys: ABSENT,
        memcg_event_max: ABSENT,
        memcg_event_oom: ABSENT,
        memcg_event_oom_kill: ABSENT,
        page_size: 4096,
        own_tgid: 0,
        event_budget: 0,
        stack_bytes: 0,
        stack_interval: 0,
    };
}
