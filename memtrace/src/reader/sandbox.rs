//! The sandbox of a reader process.
//!
//! This process -> the same process, able to read and to answer only: no new privileges, three capabilities, limits on
//! memory, descriptors and CPU time, and a seccomp filter without calls that create, write, send, mount, trace or run other
//! code.

use std::{
    collections::BTreeMap,
    ffi::CStr,
    fs, io,
    os::{fd::AsRawFd as _, unix::net::UnixStream},
    time::Duration,
};

use crate::mm::page_table::PAGEMAP_SCAN;

use rustix::{
    process::{Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit},
    thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_name, set_no_new_privs},
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// Bytes of address space: a program is mapped as a whole while its symbols are looked up.
const MEMORY: u64 = 8 << 30;
/// Bytes of memory of its own: the tables of the largest programs have some ten MiB. The chart's limit for all is 256 MiB.
const PRIVATE: u64 = 128 << 20;
/// Seconds of CPU time for one request; after that the kernel kills the process.
const SECONDS: u64 = 10;
/// Descriptors: one per program of a request.
const FILES: u64 = 1024;

const STDERR: i32 = 2;
/// The name of the thread.
const NAME: &CStr = c"memtrace-reader";
/// The adjustment of the OOM score.
const OOM_SCORE_ADJ: &str = "/proc/self/oom_score_adj";

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
    // It is read once, by calls that the filter does not allow.
    let _ = rustix::param::page_size();
    // Otherwise the kernel shows the name of the link that was executed.
    set_name(NAME)?;
    be_killable()?;
    set_no_new_privs(true)?;
    let had = capabilities(None)?;
    let kept = had.permitted & CAPABILITIES;
    let inheritable = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable })?;
    limit(Resource::As, MEMORY)?;
    limit(Resource::Data, PRIVATE)?;
    limit(Resource::Nofile, FILES)?;
    // No file can grow, and no core dump holds what was read.
    limit(Resource::Fsize, 0)?;
    limit(Resource::Core, 0)?;
    let program =
        BpfProgram::try_from(filter(answers).map_err(io::Error::other)?).map_err(io::Error::other)?;
    seccompiler::apply_filter(&program).map_err(io::Error::other)
}

/// The daemon may be exempt from OOM kills. A reader is not: its score is its size. Not more than that, because a kill of a
/// small reader would free nothing.
fn be_killable() -> io::Result<()> {
    let inherited = fs::read_to_string(OOM_SCORE_ADJ)?;
    let is_exempt = inherited.trim().parse::<i32>().is_ok_and(|adjustment| adjustment < 0);
    if is_exempt { fs::write(OOM_SCORE_ADJ, "0") } else { Ok(()) }
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
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_futex,
    libc::SYS_getdents64,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_newfstatat,
    libc::SYS_pread64,
    libc::SYS_preadv,
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
    libc::SYS_sigaltstack,
    libc::SYS_statfs,
    libc::SYS_statx,
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
    let mut rules: BTreeMap<_, _> = CALLS.iter().chain(OLD_CALLS).map(|call| (*call, Vec::new())).collect();
    let written = [number(answers.as_raw_fd()), number(STDERR)];
    for call in [libc::SYS_write, libc::SYS_writev, libc::SYS_sendto] {
        rules.insert(call, one_of(0, &written)?);
    }
    // Their numbers must not become those of other files.
    let closed = written.map(|kept| condition(0, SeccompCmpOp::Ne, kept));
    rules.insert(libc::SYS_close, vec![all_of(closed)?]);
    rules.insert(libc::SYS_mmap, maps()?);
    rules.insert(libc::SYS_mprotect, vec![all_of([without_code(2)])?]);
    let timeout = [(1, libc::SOL_SOCKET), (2, libc::SO_RCVTIMEO)];
    let timeout = timeout.map(|(argument, value)| condition(argument, SeccompCmpOp::Eq, number(value)));
    rules.insert(libc::SYS_setsockopt, vec![all_of(timeout)?]);
    // The daemon has the same user: limits and signals for this process only.
    let own = number(rustix::process::getpid().as_raw_pid());
    rules.insert(libc::SYS_prlimit64, one_of(0, &[0, own])?);
    rules.insert(libc::SYS_tgkill, one_of(0, &[own])?);
    // Not F_SETOWN, which sends signals too.
    let commands = [libc::F_GETFD, libc::F_SETFD, libc::F_GETFL, libc::F_DUPFD_CLOEXEC];
    rules.insert(libc::SYS_fcntl, one_of(1, &commands.map(number))?);
    // Its flags are behind a pointer: they could write-protect pages that their process has given to userfaultfd.
    rules.insert(libc::SYS_ioctl, one_of(1, &[PAGEMAP_SCAN.into()])?);
    // Not openat2, whose flags a filter cannot see.
    let mode = SeccompCmpOp::MaskedEq(number(libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC));
    rules.insert(libc::SYS_openat, vec![all_of([condition(2, mode, number(libc::O_RDONLY))])?]);
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    SeccompFilter::new(rules, refuse, SeccompAction::Allow, std::env::consts::ARCH.try_into()?)
}

/// Maps of its own memory, and of files that cannot be written: programs are mapped shared. No file can be open for
/// writing, so the kernel does not let such a map become writable.
fn maps() -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let of = |kind| condition(3, SeccompCmpOp::MaskedEq(number(libc::MAP_TYPE)), number(kind));
    let read_only = condition(2, SeccompCmpOp::Eq, number(libc::PROT_READ));
    Ok(vec![all_of([of(libc::MAP_PRIVATE), without_code(2)])?, all_of([of(libc::MAP_SHARED), read_only])?])
}

/// Memory that this argument protects has no code.
fn without_code(argument: u8) -> Result<SeccompCondition, seccompiler::BackendError> {
    condition(argument, SeccompCmpOp::MaskedEq(number(libc::PROT_EXEC)), 0)
}

fn number(number: i32) -> u64 {
    u64::from(number.unsigned_abs())
}

/// Rules that allow these values of an argument.
fn one_of(argument: u8, values: &[u64]) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    values.iter().map(|value| all_of([condition(argument, SeccompCmpOp::Eq, *value)])).collect()
}

fn condition(
    argument: u8,
    compare: SeccompCmpOp,
    value: u64,
) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, compare, value)
}

/// A rule that allows calls that meet all conditions.
fn all_of<const N: usize>(
    conditions: [Result<SeccompCondition, seccompiler::BackendError>; N],
) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(conditions.into_iter().collect::<Result<_, _>>()?)
}

#[cfg(test)]
#[path = "sandbox_tests.rs"]
mod tests;
