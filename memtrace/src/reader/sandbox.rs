//! The sandbox of a reader process.
//!
//! This process -> the same process, able to read and to answer only: no new privileges, three capabilities, limits on
//! memory, descriptors and CPU time, and a seccomp filter without calls that create, write, send, mount or trace.

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

/// Bytes of address space: a program is mapped as a whole while its symbols are looked up.
const MEMORY: u64 = 8 << 30;
/// Seconds of CPU time for one request; after that the kernel kills the process.
const SECONDS: u64 = 10;
/// Descriptors: one per program of a request.
const FILES: u64 = 1024;

/// The greatest: a reader is replaced, the daemon is not.
const OOM_SCORE_ADJ: &str = "1000";

/// For /proc, files and memory of other users' processes, and for /proc/PID/map_files.
const CAPABILITIES: CapabilitySet =
    CapabilitySet::SYS_PTRACE.union(CapabilitySet::DAC_READ_SEARCH).union(CapabilitySet::CHECKPOINT_RESTORE);

/// Enters the sandbox. Writes are possible to this stream and to stderr.
///
/// # Errors
/// When the kernel rejects a part of it.
pub fn enter(answers: &UnixStream) -> io::Result<()> {
    // A reader that hangs would outlive the daemon; any other ends with the stream.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // When memory is short, the kernel kills a reader before the daemon.
    std::fs::write("/proc/self/oom_score_adj", OOM_SCORE_ADJ)?;
    set_no_new_privs(true)?;
    let had = capabilities(None)?;
    let kept = had.permitted & CAPABILITIES;
    let inheritable = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable })?;
    limit(Resource::As, MEMORY)?;
    limit(Resource::Nofile, FILES)?;
    // No file can grow, and no core dump holds what was read.
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

/// Grants CPU time for one more request.
///
/// # Errors
/// When the kernel rejects the limit.
pub fn grant_time() -> io::Result<()> {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let used = Duration::from_secs(used.tv_sec.unsigned_abs()).as_secs();
    let maximum = getrlimit(Resource::Cpu).maximum;
    Ok(setrlimit(Resource::Cpu, Rlimit { current: Some(used + 1 + SECONDS), maximum })?)
}

/// System calls without effects outside of this process.
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
    // A filter cannot see its flags. A file opened for writing is harmless: write is allowed for two descriptors only.
    libc::SYS_openat2,
];

/// System calls that other architectures lack.
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

/// Any other call fails with EPERM instead of killing the process, because libraries probe for features.
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
