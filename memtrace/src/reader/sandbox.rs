//! What a reader process gives up before it reads anything of others.
//!
//! A process -> the same, which can read and answer, and no more: no new privileges, the capabilities that reading takes,
//! bounds of memory and time, and a list of system calls in which nothing is created, written, sent or traced.

use std::{
    io,
    os::{fd::AsRawFd as _, unix::net::UnixStream},
    time::Duration,
};

use rustix::{
    process::{Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit},
    thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_no_new_privs},
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// Address space: a program is mapped whole while its symbols are looked up.
const MEMORY: u64 = 8 << 30;
/// Processor seconds for one question, after which the kernel ends it.
const SECONDS: u64 = 10;
/// Descriptors: one for each program of a question.
const FILES: u64 = 1024;

/// Reads /proc, files and memory of other users' processes, and the links to what they have mapped.
const CAPABILITIES: CapabilitySet =
    CapabilitySet::SYS_PTRACE.union(CapabilitySet::DAC_READ_SEARCH).union(CapabilitySet::CHECKPOINT_RESTORE);

/// Gives it up, for good. Answers go to this stream.
///
/// # Errors
/// When the kernel refuses one of them.
pub fn enter(answers: &UnixStream) -> io::Result<()> {
    // Without the core nobody asks. It also ends by the end of the stream, when it was started by a thread that is gone.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    set_no_new_privs(true)?;
    let had = capabilities(None)?;
    let kept = had.permitted & CAPABILITIES;
    let inheritable = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable })?;
    limit(Resource::As, MEMORY)?;
    limit(Resource::Nofile, FILES)?;
    // No file grows, and no core is dumped of what was read.
    limit(Resource::Fsize, 0)?;
    limit(Resource::Core, 0)?;
    let program =
        BpfProgram::try_from(filter(answers).map_err(io::Error::other)?).map_err(io::Error::other)?;
    seccompiler::apply_filter(&program).map_err(io::Error::other)
}

fn limit(what: Resource, to: u64) -> io::Result<()> {
    let most = getrlimit(what).maximum.map_or(to, |most| most.min(to));
    Ok(setrlimit(what, Rlimit { current: Some(most), maximum: Some(most) })?)
}

/// Processor time for one more question.
///
/// # Errors
/// When the kernel refuses.
pub fn grant_time() -> io::Result<()> {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let used = Duration::from_secs(used.tv_sec.unsigned_abs()).as_secs();
    let maximum = getrlimit(Resource::Cpu).maximum;
    Ok(setrlimit(Resource::Cpu, Rlimit { current: Some(used + 1 + SECONDS), maximum })?)
}

/// Calls that change nothing outside of this process.
const CALLS: &[libc::c_long] = &[
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fcntl,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_futex,
    libc::SYS_getdents64,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_newfstatat,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_prlimit64,
    libc::SYS_process_vm_readv,
    libc::SYS_read,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_yield,
    libc::SYS_setsockopt,
    libc::SYS_sigaltstack,
    libc::SYS_statfs,
    libc::SYS_statx,
    libc::SYS_tgkill,
    // Its flags are behind a pointer, and not seen: it opens nothing for writing, since nothing can be written to.
    libc::SYS_openat2,
];

/// Those that only this architecture has.
#[cfg(target_arch = "x86_64")]
const OLD_CALLS: &[libc::c_long] = &[
    libc::SYS_access,
    libc::SYS_getrlimit,
    libc::SYS_lstat,
    libc::SYS_readlink,
    libc::SYS_stat,
    libc::SYS_setrlimit,
];
#[cfg(not(target_arch = "x86_64"))]
const OLD_CALLS: &[libc::c_long] = &[libc::SYS_getrlimit, libc::SYS_setrlimit];

/// Any other call fails with EPERM: what a library tries besides must not end the process.
fn filter(answers: &UnixStream) -> Result<SeccompFilter, seccompiler::BackendError> {
    let stderr = 2;
    let to = |fd: i32| {
        SeccompRule::new(vec![SeccompCondition::new(
            0,
            SeccompCmpArgLen::Dword,
            SeccompCmpOp::Eq,
            u64::from(fd.unsigned_abs()),
        )?])
    };
    let writes = || Ok::<_, seccompiler::BackendError>(vec![to(answers.as_raw_fd())?, to(stderr)?]);
    let access = u64::from(libc::O_ACCMODE.unsigned_abs());
    let only_to_read = SeccompRule::new(vec![SeccompCondition::new(
        2,
        SeccompCmpArgLen::Dword,
        SeccompCmpOp::MaskedEq(access),
        u64::from(libc::O_RDONLY.unsigned_abs()),
    )?])?;
    let mut rules: std::collections::BTreeMap<_, _> =
        CALLS.iter().chain(OLD_CALLS).map(|call| (*call, Vec::new())).collect();
    for call in [libc::SYS_write, libc::SYS_writev, libc::SYS_sendto] {
        rules.insert(call, writes()?);
    }
    rules.insert(libc::SYS_openat, vec![only_to_read]);
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    SeccompFilter::new(rules, refuse, SeccompAction::Allow, std::env::consts::ARCH.try_into()?)
}
