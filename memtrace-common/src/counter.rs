//! Every way the kernel side can lose a fact, as a counter.
//!
//! The programs add to a per-CPU array indexed by [`Counter`]; the daemon sums it over the CPUs and shows it.
//! A loss that has no variant here must not exist.

macro_rules! counters {
    ($($(#[$doc:meta])* $variant:ident => $name:literal, $meaning:literal;)*) => {
        /// One way in which the kernel programs lose a fact or become less exact.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum Counter { $($(#[$doc])* $variant,)* }

        impl Counter {
            /// All counters, in the order of their index.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name in metrics and JSON.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What was lost, in a few words for a person.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }
        }
    };
}

counters! {
    /// The stream's ring buffer was full.
    StreamFull => "stream_full", "address-space, fault and task events, lost because the ring buffer was full";
    /// A process was over its event budget.
    Throttled => "throttled", "address-space events of processes over their event budget";
    /// The ring buffer for kills was full.
    KillsFull => "kills_full", "OOM kills, lost because their ring buffer was full";
    /// A field of `task_struct`, `signal_struct` or `cred` could not be read.
    TaskRead => "task_read", "fields of a task that could not be read";
    /// A field of `mm_struct` could not be read.
    MmRead => "mm_read", "fields of an address space that could not be read";
    /// A field of `mem_cgroup` or of its cgroup could not be read.
    MemcgRead => "memcg_read", "fields of a memory cgroup that could not be read";
    /// A memory cgroup had more ancestors than a record holds.
    ChainTruncated => "chain_truncated", "memory cgroups with more ancestors than a record holds";
    /// The OOM hook gave only a pid, and the preceding SIGKILL was not seen.
    VictimUnknown => "victim_unknown", "OOM victims of which only the pid is known";
    /// The SIGKILL before an OOM mark could not be remembered.
    KillForgotten => "kill_forgotten", "kill signals that could not be matched with their OOM mark";
    /// The saved registers of a system call could not be read.
    RegsRead => "regs_read", "system calls whose arguments could not be read";
    /// The word at a caller's user stack pointer could not be read.
    CallerRead => "caller_read", "callers of mmap that could not be read";
    /// The kernel could not walk the kernel stack.
    KernelStack => "kernel_stack", "kernel stacks that could not be unwound";
    /// The kernel could not walk the user stack.
    UserStack => "user_stack", "user stacks that could not be unwound";
    /// The ring buffer for copies of stacks was full.
    StacksFull => "stacks_full", "copies of user stacks, lost because their ring buffer was full; unwound with frame pointers instead";
    /// Tasks of a cgroup were over their budget of signals, or all of the node were.
    SignalsThrottled => "signals_throttled", "signals of cgroups over their budget; who sent them is unknown";
    /// The ring buffer for signals was full.
    SignalsFull => "signals_full", "signals, lost because their ring buffer was full; who sent them is unknown";
    /// Tasks of a cgroup were over their budget of cgroups made and removed, or all of the node were.
    CgroupsThrottled => "cgroups_throttled", "cgroups made and removed over the budget; found by reading the hierarchy again";
}

impl Counter {
    /// The number of counters: the size of the map.
    pub const COUNT: usize = Self::ALL.len();
}

#[cfg(test)]
mod tests {
    use super::Counter;

    #[test]
    fn index_of_each_counter_is_its_place_in_all() {
        for (index, counter) in Counter::ALL.iter().enumerate() {
            assert_eq!(index, *counter as usize);
        }
    }

    #[test]
    fn names_are_distinct() {
        for (index, counter) in Counter::ALL.iter().enumerate() {
            assert!(Counter::ALL.iter().skip(index + 1).all(|other| other.name() != counter.name()));
        }
    }
}
