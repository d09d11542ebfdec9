//! Every fact that memtrace gets from the kernel: one row per fact, preferred hook first.
//!
//! The only place with the names of programs and hooks. Data, no logic.

/// Whether memtrace can work without a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The daemon does not start without it.
    Required,
    /// Without it something is lost, which `doctor` reports.
    Optional,
}

/// The kinds of hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A program at a tracepoint, with typed arguments; needs BTF, no tracefs.
    BtfTracepoint {
        /// Name of the tracepoint.
        name: &'static str,
    },
    /// A program at a kernel function's return, with typed arguments; needs BTF.
    FunctionExit {
        /// Name of the function.
        function: &'static str,
    },
    /// A program at a kernel function's entry, with typed arguments; needs BTF.
    FunctionEntry {
        /// Name of the function.
        function: &'static str,
    },
    /// A breakpoint at a kernel function's entry.
    KernelProbe {
        /// Name of the function.
        function: &'static str,
    },
    /// A program at a tracepoint's event record; needs tracefs.
    Tracepoint {
        /// Folder in `events/`.
        category: &'static str,
        /// Name of the event.
        name: &'static str,
    },
    /// A program at the perf software event for page faults, on every CPU.
    PageFaults,
}

/// A hook and its program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Name of the program in the object.
    pub program: &'static str,
    /// The hook to attach to.
    pub form: Form,
    /// Whether the program reads a system call's saved registers, by helper or by offset.
    pub reads_registers: bool,
}

/// A fact and its hooks.
#[derive(Clone, Copy, Debug)]
pub struct Fact {
    /// Short name, the same in `doctor`, JSON and metrics.
    pub name: &'static str,
    /// See [`Need`].
    pub need: Need,
    /// Preferred first.
    pub hooks: &'static [Hook],
    /// What is lost without it, in words for a person.
    pub lost: &'static str,
}

const fn btf(program: &'static str, name: &'static str) -> Hook {
    Hook { program, form: Form::BtfTracepoint { name }, reads_registers: false }
}

const fn function_exit(program: &'static str, function: &'static str) -> Hook {
    Hook { program, form: Form::FunctionExit { function }, reads_registers: false }
}

const fn syscall_exit(program: &'static str, name: &'static str) -> Hook {
    Hook { program, form: Form::Tracepoint { category: "syscalls", name }, reads_registers: true }
}

/// The program that checks the offsets on the daemon's own task; it is run once, never attached.
pub const SELF_CHECK: &str = "self_check";

/// The facts whose programs stay attached when the daemon ends, if there is a bpffs: a kill, and what precedes it. The
/// first is the one that the others are of no use without. Of signals only the SIGKILL that precedes a mark matters then;
/// nobody reads their ring.
pub const OUTLIVING: [&str; 3] = ["oom_kill", "signal", "oom_request"];

/// All facts, in the order in which they are attached: the signal that precedes an OOM mark before the mark.
pub const FACTS: &[Fact] = &[
    Fact {
        name: "signal",
        need: Need::Optional,
        hooks: &[btf("signal_generate", "signal_generate")],
        lost: "who sent SIGKILL, SIGABRT or SIGSEGV; OOM marks that kill nobody are recorded as kills",
    },
    Fact {
        name: "oom_kill",
        need: Need::Required,
        hooks: &[
            btf("mark_victim", "mark_victim"),
            Hook {
                program: "mark_victim_classic",
                form: Form::Tracepoint { category: "oom", name: "mark_victim" },
                reads_registers: false,
            },
        ],
        lost: "OOM kills",
    },
    Fact {
        name: "oom_request",
        need: Need::Optional,
        hooks: &[
            Hook {
                program: "fentry_oom_kill_process",
                form: Form::FunctionEntry { function: "oom_kill_process" },
                reads_registers: false,
            },
            Hook {
                program: "kprobe_oom_kill_process",
                form: Form::KernelProbe { function: "oom_kill_process" },
                reads_registers: false,
            },
        ],
        lost: "order, flags and constraint of a kill, unless the kernel log has them; \
               the limit is identified by counters instead",
    },
    Fact {
        name: "fork",
        need: Need::Optional,
        hooks: &[btf("process_fork", "sched_process_fork")],
        lost: "new processes, until /proc is read again",
    },
    Fact {
        name: "exec",
        need: Need::Optional,
        hooks: &[btf("process_exec", "sched_process_exec")],
        lost: "changes of program, until /proc is read again",
    },
    Fact {
        name: "exit",
        need: Need::Optional,
        hooks: &[btf("process_exit", "sched_process_exit")],
        lost: "exit codes, and the end of processes until /proc is read again",
    },
    Fact {
        name: "cgroup_mkdir",
        need: Need::Optional,
        hooks: &[btf("cgroup_mkdir", "cgroup_mkdir")],
        lost: "names of containers that live only a few seconds",
    },
    Fact {
        name: "cgroup_rmdir",
        need: Need::Optional,
        hooks: &[btf("cgroup_rmdir", "cgroup_rmdir")],
        lost: "the end of containers, until the cgroups are walked again",
    },
    Fact {
        name: "mmap",
        need: Need::Optional,
        hooks: &[function_exit("fexit_mmap", "__x64_sys_mmap"), syscall_exit("exit_mmap", "sys_exit_mmap")],
        lost: "new mappings, until /proc is read again",
    },
    Fact {
        name: "munmap",
        need: Need::Optional,
        hooks: &[
            function_exit("fexit_munmap", "__x64_sys_munmap"),
            syscall_exit("exit_munmap", "sys_exit_munmap"),
        ],
        lost: "removed mappings, until /proc is read again",
    },
    Fact {
        name: "mremap",
        need: Need::Optional,
        hooks: &[
            function_exit("fexit_mremap", "__x64_sys_mremap"),
            syscall_exit("exit_mremap", "sys_exit_mremap"),
        ],
        lost: "moved and resized mappings, until /proc is read again",
    },
    Fact {
        name: "brk",
        need: Need::Optional,
        hooks: &[function_exit("fexit_brk", "__x64_sys_brk"), syscall_exit("exit_brk", "sys_exit_brk")],
        lost: "changes of the heap's end (brk), until /proc is read again",
    },
    Fact {
        name: "madvise",
        need: Need::Optional,
        hooks: &[
            function_exit("fexit_madvise", "__x64_sys_madvise"),
            syscall_exit("exit_madvise", "sys_exit_madvise"),
        ],
        lost: "memory given back with madvise, until page tables are read again",
    },
    Fact {
        name: "mprotect",
        need: Need::Optional,
        hooks: &[
            function_exit("fexit_mprotect", "__x64_sys_mprotect"),
            syscall_exit("exit_mprotect", "sys_exit_mprotect"),
        ],
        lost: "ranges that become usable or unusable, until /proc is read again",
    },
    Fact {
        name: "page_fault",
        need: Need::Optional,
        hooks: &[Hook { program: "page_fault", form: Form::PageFaults, reads_registers: false }],
        lost: "who touches new memory, and from which call stack",
    },
];
