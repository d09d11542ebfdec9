//! System calls that the daemon never makes once it is attached, and that its capabilities would permit.
//!
//! This thread -> the same thread, and all that it starts, without them. Runs after `privileges::drop_others`, while
//! there is one thread. Must not refuse what a library may need: each call here changes another process or the machine.

use std::{collections::BTreeMap, io};

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

/// The calls. A runtime's own profile permits the first group to whoever has SYS_PTRACE, DAC_READ_SEARCH or PERFMON.
const REFUSED: &[libc::c_long] = &[
    libc::SYS_ptrace,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_open_by_handle_at,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_fsmount,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_personality,
];

/// Refuses them with EPERM. Needs no new privileges to be set.
///
/// # Errors
/// When the kernel rejects the filter, or has none for this architecture.
pub fn refuse() -> io::Result<()> {
    let rules: BTreeMap<_, _> = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let arch = std::env::consts::ARCH.try_into().map_err(io::Error::other)?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch).map_err(io::Error::other)?;
    let program = BpfProgram::try_from(filter).map_err(io::Error::other)?;
    seccompiler::apply_filter(&program).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use rustix::{
        io::Errno,
        process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open},
    };

    use super::refuse;

    /// In a thread of its own, which takes the filter with it.
    #[test]
    fn another_process_can_be_read_but_not_entered() {
        let tried = std::thread::spawn(|| {
            let own = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
            let take = || pidfd_getfd(&own, 2, PidfdGetfdFlags::empty()).map(drop);
            let before = take();
            refuse().unwrap();
            // Programs can still be started: readers are.
            let status = std::process::Command::new("true").status().unwrap();
            (before, take(), std::fs::read("/proc/1/stat").is_ok(), status.success())
        });
        let (before, after, reads, starts) = tried.join().unwrap();
        assert_eq!((before, after), (Ok(()), Err(Errno::PERM)));
        assert!(reads && starts);
    }
}
